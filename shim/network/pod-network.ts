import { closeSync } from 'node:fs';
import { Code, RunvError } from '../../proto/error.ts';
import type { agent, cgroup } from '../../proto/messages.ts';
import * as rt from '../../proto/rtnetlink.ts';
import { Netlink, openPacketSocket, receiveMulticast, watchNetlink } from '../../proto/sys.ts';
import type { NetworkDevice } from '../hypervisor/hypervisor.ts';
import type { Log } from '../log.ts';
import { redirect } from './redirect.ts';
import { closeTap, openTap, type Tap } from './tap.ts';

/** linux/rtnetlink.h: RTMGRP_LINK, _NEIGH, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE */
const changes = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400;
/** A plugin changes several things one after the other. */
const calmMs = 50;
/** A VM has 24 places for devices, and 6 of them are taken (qemu-args.ts). */
const mostDevices = 16;

const tapName = (device: number) => `runv-tap${device}`;
const isTap = (name: string) => /^runv-tap\d+$/.test(name);

/** At power-on: the agent finds a device by it (agent.proto). */
function deviceMac(device: number): string {
  return `02:72:75:6e:76:${device.toString(16).padStart(2, '0')}`;
}

/**
 * The network of one pod: the interfaces that CNI plugins (or a hook) made in the pod's network
 * namespace, which is also this process's, and the VM's devices that stand for them.
 */
export class PodNetwork {
  #taps: readonly Tap[] = [];
  readonly #log: Log;
  readonly #least: number;
  readonly #record: (link: number) => void;
  /** The devices that stand for interfaces, by the indexes of these: the same as long as they live. */
  readonly #devices = new Map<number, number>();
  /** Interfaces for which there is no device. */
  readonly #unconnected = new Set<number>();
  /** Keeps the interfaces from dropping multicast that only the guest has asked for. */
  #multicast: number | undefined;
  #last = '';
  #watch: { close(): void } | undefined;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param least how many devices to make, though there may be fewer interfaces yet
   * @param record writes down what is about to be set up on an interface
   */
  constructor(log: Log, least: number, record: (link: number) => void) {
    this.#log = log;
    this.#least = least;
    this.#record = record;
  }

  /**
   * Makes as many devices as there are interfaces now, or more for those that will come.
   * @returns them for the VMM, in the order of their numbers
   * @throws RunvError when a tap cannot be made; InvalidArgument for more than a VM can have
   */
  openDevices(): readonly NetworkDevice[] {
    const netlink = Netlink.open();
    const taps: Tap[] = [];
    try {
      const count = Math.max(this.#least, this.#podLinks(netlink).length);
      if (count > mostDevices) {
        const message = `the pod's network namespace has ${count} interfaces, and a VM can have ${mostDevices}`;
        throw new RunvError(Code.InvalidArgument, message);
      }
      while (taps.length < count) taps.push(openTap(tapName(taps.length)));
      this.#taps = taps;
      return taps.map(({ fd, vhostFd }, n) => ({ fd, vhostFd, mac: deviceMac(n) }));
    } catch (e) {
      for (const tap of taps) closeTap(tap);
      throw e;
    } finally {
      netlink.close();
    }
  }

  /** The VMM has its own descriptors now, or has failed to start. */
  handedOver(): void {
    for (const tap of this.#taps) closeTap(tap);
  }

  /**
   * Joins interfaces and devices, and tells what the guest has to set up.
   * @throws RunvError FailedPrecondition for an interface that is down
   */
  connect(): agent.INetwork {
    return this.#look((links) => {
      const down = links.find((link) => !link.up);
      if (!down) return;
      const message = `interface ${down.name} of the pod's network namespace is down: whoever made it must bring it up`;
      throw new RunvError(Code.FailedPrecondition, message);
    });
  }

  /**
   * What the pod's interfaces have received and sent.
   * @throws RunvError when the kernel does not tell
   */
  statistics(): cgroup.INetworkStat[] {
    const netlink = Netlink.open();
    try {
      return this.#podLinks(netlink).map(({ name, statistics }) => ({ name, ...statistics }));
    } finally {
      netlink.close();
    }
  }

  /** Calls back with the whole network whenever it has changed since it was last told. */
  watch(onChange: (network: agent.INetwork) => void): void {
    const look = () => {
      try {
        const before = this.#last;
        const network = this.#look();
        if (this.#last !== before) onChange(network);
      } catch (err) {
        this.#log.warn({ err }, 'the change of the network is not passed on');
      }
    };
    this.#watch = watchNetlink(changes, () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(look, calmMs).unref();
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watch?.close();
    this.#watch = undefined;
    if (this.#multicast !== undefined) closeSync(this.#multicast);
    this.#multicast = undefined;
  }

  #look(check?: (links: readonly rt.Link[]) => void): agent.INetwork {
    const netlink = Netlink.open();
    try {
      const links = this.#podLinks(netlink);
      check?.(links);
      this.#join(netlink, links);
      const network = this.#describe(netlink, links);
      this.#last = key(network);
      return network;
    } finally {
      netlink.close();
    }
  }

  /**
   * The pod's interfaces in the order in which they were made. Some kernel modules put one of theirs
   * into every namespace (gretap0, erspan0): down and without an address. So is one that its maker
   * has not finished; one that the guest has seen stays the pod's.
   */
  #podLinks(netlink: Netlink): rt.Link[] {
    const addressed = new Set(rt.addresses(netlink).map(({ link }) => link));
    return rt
      .links(netlink)
      .filter(({ hardware, name }) => hardware === rt.ARPHRD_ETHER && !isTap(name))
      .filter(({ up, index }) => up || addressed.has(index) || this.#devices.has(index))
      .toSorted((a, b) => a.index - b.index);
  }

  /** Gives each interface a device, as long as there are any, and joins the two. */
  #join(netlink: Netlink, links: readonly rt.Link[]): void {
    const present = new Set(links.map(({ index }) => index));
    for (const index of this.#devices.keys()) {
      if (!present.has(index)) this.#devices.delete(index);
    }
    const taps = new Map(rt.links(netlink).map((link) => [link.name, link]));
    for (const link of links) {
      const device = this.#devices.get(link.index) ?? this.#freeDevice();
      const tap = taps.get(tapName(device));
      if (!tap) {
        this.#tellUnconnected(link);
        continue;
      }
      if (!tap.up || tap.mtu !== link.mtu) {
        rt.changeLink(netlink, tap.index, { mtu: link.mtu, up: true });
      }
      if (this.#devices.has(link.index)) continue;
      this.#record(link.index);
      redirect(netlink, link.index, tap.index);
      redirect(netlink, tap.index, link.index);
      receiveMulticast((this.#multicast ??= openPacketSocket()), link.index);
      this.#devices.set(link.index, device);
    }
  }

  /** The first that stands for no interface; none has that number when all are taken. */
  #freeDevice(): number {
    const taken = new Set(this.#devices.values());
    let device = 0;
    while (taken.has(device)) device += 1;
    return device;
  }

  #tellUnconnected({ index, name }: rt.Link): void {
    if (this.#unconnected.has(index)) return;
    this.#unconnected.add(index);
    const message =
      'the VM has no device for an interface that came later: not connected, see io.runv.interfaces';
    this.#log.warn({ interface: name }, message);
  }

  #describe(netlink: Netlink, links: readonly rt.Link[]): agent.INetwork {
    const devices = this.#devices;
    const addresses = rt.addresses(netlink).filter((a) => !rt.isLinkLocal(a.address));
    return {
      interfaces: links.flatMap(({ index, name, mac, mtu, up, noArp }) => {
        const device = devices.get(index);
        if (device === undefined) return [];
        const own = addresses
          .filter(({ link }) => link === index)
          .map(({ address, prefixLength, scope }) => ({ address, prefixLength, scope }));
        return [{ device, name, mac, mtu, down: !up, noArp, addresses: own }];
      }),
      routes: rt
        .routes(netlink)
        .filter((r) => (r.link === 0 || devices.has(r.link)) && !rt.isLinkLocal(r.destination))
        .map(({ link, version, ...route }) => ({
          ...route,
          version,
          device: devices.get(link) ?? 0,
        })),
      neighbors: rt
        .permanentNeighbors(netlink)
        .filter(({ link }) => devices.has(link))
        .map(({ link, address, mac }) => ({ device: devices.get(link) ?? 0, address, mac })),
    };
  }
}

const key = (network: agent.INetwork) =>
  JSON.stringify(network, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  );

import { Code, RunvError } from '../../proto/error.ts';
import type { agent, cgroup } from '../../proto/messages.ts';
import * as rt from '../../proto/rtnetlink.ts';
import { Netlink, watchNetlink } from '../../proto/sys.ts';
import type { NetworkDevice } from '../hypervisor/hypervisor.ts';
import type { Log } from '../log.ts';
import { redirect } from './redirect.ts';
import { closeTap, openTap, type Tap } from './tap.ts';

/** linux/rtnetlink.h: RTMGRP_LINK, _NEIGH, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE */
const changes = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400;
/** A plugin changes several things one after the other. */
const calmMs = 50;

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
  readonly #record: (link: number) => void;
  /** The interfaces that are joined to the devices. */
  readonly #joined = new Map<number, number>();
  #last = '';
  #watch: { close(): void } | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param record writes down what is about to be set up on an interface */
  constructor(log: Log, record: (link: number) => void) {
    this.#log = log;
    this.#record = record;
  }

  /**
   * Makes as many devices as there are interfaces now, and one at least: a hook may still come.
   * @returns them for the VMM, in the order of their numbers
   * @throws RunvError when a tap cannot be made
   */
  openDevices(): readonly NetworkDevice[] {
    const netlink = Netlink.open();
    const taps: Tap[] = [];
    try {
      const count = Math.max(1, podLinks(netlink).length);
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
    const netlink = Netlink.open();
    try {
      const links = podLinks(netlink);
      const down = links.find((link) => !link.up);
      if (down) {
        const message = `interface ${down.name} of the pod's network namespace is down: whoever made it must bring it up`;
        throw new RunvError(Code.FailedPrecondition, message);
      }
      for (const [device, link] of links.entries()) this.#join(netlink, device, link);
      const network = this.#describe(netlink, links);
      this.#last = key(network);
      return network;
    } finally {
      netlink.close();
    }
  }

  /**
   * What the pod's interfaces have received and sent.
   * @throws RunvError when the kernel does not tell
   */
  statistics(): cgroup.INetworkStat[] {
    const netlink = Netlink.open();
    try {
      return podLinks(netlink).map(({ name, statistics }) => ({ name, ...statistics }));
    } finally {
      netlink.close();
    }
  }

  /** Calls back with the whole network whenever it has changed since it was last told. */
  watch(onChange: (network: agent.INetwork) => void): void {
    const look = () => {
      try {
        const before = this.#last;
        const network = this.connect();
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
  }

  #join(netlink: Netlink, device: number, link: rt.Link): void {
    const tap = rt.links(netlink).find(({ name }) => name === tapName(device));
    if (!tap) {
      this.#log.warn(
        { interface: link.name },
        'the VM has no device for an interface that came later: not connected',
      );
      return;
    }
    if (!tap.up || tap.mtu !== link.mtu) {
      rt.changeLink(netlink, tap.index, { mtu: link.mtu, up: true });
    }
    if (this.#joined.get(device) === link.index) return;
    this.#record(link.index);
    redirect(netlink, link.index, tap.index);
    redirect(netlink, tap.index, link.index);
    this.#joined.set(device, link.index);
  }

  #describe(netlink: Netlink, links: readonly rt.Link[]): agent.INetwork {
    const connected = links.slice(0, this.#taps.length);
    const device = new Map(connected.map(({ index }, n) => [index, n]));
    const addresses = rt.addresses(netlink).filter((a) => !rt.isLinkLocal(a.address));
    return {
      interfaces: connected.map(({ index, name, mac, mtu }, n) => ({
        device: n,
        name,
        mac,
        mtu,
        addresses: addresses
          .filter(({ link }) => link === index)
          .map(({ address, prefixLength, scope }) => ({ address, prefixLength, scope })),
      })),
      routes: rt
        .routes(netlink)
        .filter((r) => (r.link === 0 || device.has(r.link)) && !rt.isLinkLocal(r.destination))
        .map(({ link, version, ...route }) => ({
          ...route,
          version,
          device: device.get(link) ?? 0,
        })),
      neighbors: rt
        .permanentNeighbors(netlink)
        .filter(({ link }) => device.has(link))
        .map(({ link, address, mac }) => ({ device: device.get(link) ?? 0, address, mac })),
    };
  }
}

/**
 * The pod's interfaces in the order in which they were made. Some kernel modules put one of theirs
 * into every namespace (gretap0, erspan0): down and without an address.
 */
function podLinks(netlink: Netlink): rt.Link[] {
  const addressed = new Set(rt.addresses(netlink).map(({ link }) => link));
  return rt
    .links(netlink)
    .filter(({ hardware, name }) => hardware === rt.ARPHRD_ETHER && !isTap(name))
    .filter(({ up, index }) => up || addressed.has(index))
    .toSorted((a, b) => a.index - b.index);
}

const key = (network: agent.INetwork) =>
  JSON.stringify(network, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  );

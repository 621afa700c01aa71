import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import * as rt from '../proto/rtnetlink.ts';
import { Netlink } from '../proto/sys.ts';

/** What a device's MAC is at power-on, followed by its number (agent.proto). */
const powerOnMac = Buffer.from('0272756e76', 'hex');
const maxName = 15;

const driver = '/sys/bus/virtio/drivers/virtio_net';

/** One of the machine's network devices. */
interface Device {
  /** Its name on the virtio bus. */
  readonly virtio: string;
  /** Index of its interface; undefined: the kernel has let go of it, so that no pod sees it. */
  link: number | undefined;
}

/** The guest's network: made the same as the pod's, whenever the shim tells of it. */
export class Network {
  /** By their numbers; all were there at power-on. */
  readonly #devices = new Map<number, Device>();

  /**
   * Sets up what `network` says and takes away what it does not.
   * @throws RunvError InvalidArgument for what is malformed or names no device; SysError
   */
  set(network: agent.Network): void {
    const netlink = Netlink.open();
    try {
      if (this.#devices.size === 0) this.#findDevices(netlink);
      this.#chooseDevices(network.interfaces.map(({ device }) => device));
      for (const each of network.interfaces) this.#setInterface(netlink, each);
      this.#setAddresses(netlink, network.interfaces);
      this.#setRoutes(netlink, network.routes);
      this.#setNeighbors(netlink, network.neighbors);
    } finally {
      netlink.close();
    }
  }

  #link(device: number): number {
    const index = this.#devices.get(device)?.link;
    if (index !== undefined) return index;
    throw new RunvError(Code.InvalidArgument, `the machine has no network device ${device}`);
  }

  get #links(): Set<number> {
    return new Set([...this.#devices.values()].flatMap(({ link }) => link ?? []));
  }

  #findDevices(netlink: Netlink): void {
    for (const { mac, index, name } of rt.links(netlink)) {
      if (mac.length !== 6 || !mac.subarray(0, 5).equals(powerOnMac)) continue;
      const virtio = basename(readlinkSync(`/sys/class/net/${name}/device`));
      this.#devices.set(mac[5] ?? 0, { virtio, link: index });
    }
  }

  /** The kernel drives those that stand for an interface and no others. */
  #chooseDevices(wanted: readonly number[]): void {
    for (const [number, device] of this.#devices) {
      const isWanted = wanted.includes(number);
      if (isWanted === (device.link !== undefined)) continue;
      writeFileSync(`${driver}/${isWanted ? 'bind' : 'unbind'}`, device.virtio);
      device.link = isWanted ? linkOf(device.virtio) : undefined;
    }
  }

  #setInterface(netlink: Netlink, wanted: agent.Interface): void {
    const { device, name, mac, mtu, down, noArp } = wanted;
    if (!/^[^\s/:]+$/.test(name) || Buffer.byteLength(name) > maxName) {
      throw new RunvError(Code.InvalidArgument, `${JSON.stringify(name)} is no interface's name`);
    }
    assertBytes(mac, [6], `the MAC of ${name}`);
    const index = this.#link(device);
    const all = rt.links(netlink);
    const link = all.find((l) => l.index === index);
    const other = all.find((l) => l.name === name && l.index !== index);
    // it waits for its own name under one that none has
    if (other) {
      rt.changeLink(netlink, other.index, { up: false });
      rt.changeLink(netlink, other.index, { name: `runv${other.index}` });
    }
    if (link?.name !== name || !link.mac.equals(mac)) {
      rt.changeLink(netlink, index, { up: false });
      rt.changeLink(netlink, index, { name, mac });
    }
    // The pod's namespace on the host has found the addresses to be unique.
    writeFileSync(`/proc/sys/net/ipv6/conf/${name}/accept_dad`, '0');
    rt.changeLink(netlink, index, { mtu, noArp, up: !down });
  }

  #setAddresses(netlink: Netlink, interfaces: readonly agent.Interface[]): void {
    const wanted = interfaces.flatMap(({ device, addresses }) =>
      addresses.map(({ address, prefixLength, scope }): rt.Address => {
        assertBytes(address, [4, 16], 'an address');
        assertPrefix(prefixLength, address.length);
        return { link: this.#link(device), address: Buffer.from(address), prefixLength, scope };
      }),
    );
    const links = this.#links;
    const present = rt
      .addresses(netlink)
      .filter((a) => links.has(a.link) && !rt.isLinkLocal(a.address));
    for (const address of missing(present, wanted)) {
      rt.removeAddress(netlink, address, shown(address.address));
    }
    for (const address of missing(wanted, present)) {
      rt.addAddress(netlink, address, shown(address.address));
    }
  }

  #setRoutes(netlink: Netlink, routes: readonly agent.Route[]): void {
    const wanted = routes.map((route): rt.Route => {
      const { destination, gateway, source, type } = route;
      const length = route.version === 6 ? 16 : 4;
      assertBytes(destination, [0, length], 'the destination of a route');
      assertBytes(gateway, [0, length], 'the gateway of a route');
      assertBytes(source, [0, length], 'the source of a route');
      assertPrefix(route.prefixLength, length);
      return {
        version: length === 16 ? 6 : 4,
        destination: Buffer.from(destination),
        prefixLength: route.prefixLength,
        gateway: Buffer.from(gateway),
        link: type === rt.routeTypes.unicast ? this.#link(route.device) : 0,
        source: Buffer.from(source),
        metric: route.metric,
        scope: route.scope,
        type,
        onLink: route.onLink,
      };
    });
    const links = this.#links.add(0);
    const present = rt
      .routes(netlink)
      .filter((r) => links.has(r.link) && !rt.isLinkLocal(r.destination));
    for (const route of missing(present, wanted)) {
      rt.removeRoute(netlink, route, shown(route.destination));
    }
    // what a gateway is reached by comes before what goes through it
    const added = missing(wanted, present);
    for (const route of [...added.filter(rt.isDirect), ...added.filter((r) => !rt.isDirect(r))]) {
      rt.addRoute(netlink, route, shown(route.destination));
    }
  }

  #setNeighbors(netlink: Netlink, neighbors: readonly agent.Neighbor[]): void {
    const wanted = neighbors.map(({ device, address, mac }): rt.Neighbor => {
      assertBytes(address, [4, 16], 'a neighbour');
      assertBytes(mac, [6], 'the MAC of a neighbour');
      return { link: this.#link(device), address: Buffer.from(address), mac: Buffer.from(mac) };
    });
    const links = this.#links;
    const present = rt.permanentNeighbors(netlink).filter(({ link }) => links.has(link));
    for (const neighbor of missing(present, wanted)) {
      rt.removeNeighbor(netlink, neighbor, shown(neighbor.address));
    }
    for (const neighbor of missing(wanted, present)) {
      rt.addNeighbor(netlink, neighbor, shown(neighbor.address));
    }
  }
}

/** Index of the interface that the driver has made for a device. */
function linkOf(virtio: string): number {
  const [name = ''] = readdirSync(`/sys/bus/virtio/devices/${virtio}/net`);
  return Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
}

/** Those of `these` that are not among `those`. */
function missing<T extends object>(these: readonly T[], those: readonly T[]): T[] {
  const known = new Set(those.map(keyOf));
  return these.filter((one) => !known.has(keyOf(one)));
}

const keyOf = (value: object) =>
  JSON.stringify(
    Object.entries(value)
      .map(([k, v]: [string, unknown]) => [k, Buffer.isBuffer(v) ? v.toString('hex') : v])
      .sort(),
  );

function assertBytes(bytes: Uint8Array, lengths: readonly number[], what: string): void {
  if (lengths.includes(bytes.length)) return;
  const message = `${what} has ${bytes.length} bytes, expected ${lengths.join(' or ')}`;
  throw new RunvError(Code.InvalidArgument, message);
}

function assertPrefix(length: number, bytes: number): void {
  if (length <= bytes * 8) return;
  throw new RunvError(Code.InvalidArgument, `/${length} is no prefix of ${bytes} bytes`);
}

/** An address as people write it, for messages. */
function shown(address: Uint8Array): string {
  if (address.length === 0) return 'default';
  if (address.length === 4) return [...address].join('.');
  return Buffer.from(address)
    .toString('hex')
    .replace(/(.{4})(?=.)/g, '$1:');
}

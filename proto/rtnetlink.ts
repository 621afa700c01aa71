/**
 * The messages of rtnetlink that pods need: linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h,
 * linux/neighbour.h. Numbers are in the byte order of the machine, which is little-endian here.
 */
import type { Netlink, NetlinkMessage } from './sys/netlink.ts';

export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;

export const AF_INET = 2;
export const AF_INET6 = 10;
const IFF_UP = 1;
const IFF_NOARP = 0x80;
export const ARPHRD_ETHER = 1;
const NUD_PERMANENT = 0x80;
const IFA_F_NODAD = 0x02;
const IFA_F_NOPREFIXROUTE = 0x200;
const RTNH_F_ONLINK = 4;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RTPROT_RA = 9;
const RT_SCOPE_LINK = 253;

/** Kinds of route that a pod may have in its main table. */
export const routeTypes = { unicast: 1, blackhole: 6, unreachable: 7, prohibit: 8 } as const;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** ARPHRD_ number. */
  readonly hardware: number;
  readonly mac: Buffer;
  readonly mtu: number;
  readonly up: boolean;
  /** Nobody there answers who asks for an address, as on an ipvlan in mode l3. */
  readonly noArp: boolean;
  /** Undefined where the kernel tells none. */
  readonly statistics: LinkStatistics | undefined;
}

/** What an interface has received and sent since it was made. */
export interface LinkStatistics {
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
}

export interface Address {
  readonly link: number;
  /** 4 or 16 bytes. */
  readonly address: Buffer;
  readonly prefixLength: number;
  /** RT_SCOPE_ number. */
  readonly scope: number;
}

export interface Route {
  /** 4 or 6. */
  readonly version: number;
  /** Empty for the default route. */
  readonly destination: Buffer;
  readonly prefixLength: number;
  /** Empty: on the link itself. */
  readonly gateway: Buffer;
  /** 0 for a route that leads nowhere. */
  readonly link: number;
  /** Preferred source; may be empty. */
  readonly source: Buffer;
  readonly metric: number;
  readonly scope: number;
  /** Of `routeTypes`. */
  readonly type: number;
  readonly onLink: boolean;
}

export interface Neighbor {
  readonly link: number;
  readonly address: Buffer;
  readonly mac: Buffer;
}

/** One attribute: length, type, value, padding to 4 bytes. */
export function attribute(type: number, value: Uint8Array | number | string): Buffer {
  const bytes =
    typeof value === 'number'
      ? uint32(value)
      : typeof value === 'string'
        ? Buffer.from(`${value}\0`)
        : value;
  const result = Buffer.alloc(4 + ((bytes.length + 3) & ~3));
  result.writeUInt16LE(4 + bytes.length, 0);
  result.writeUInt16LE(type, 2);
  result.set(bytes, 4);
  return result;
}

/** An attribute that is made of others. */
export function nested(type: number, ...attributes: Buffer[]): Buffer {
  return attribute(type, Buffer.concat(attributes));
}

/** The attributes from `from` on, by their types; of equal ones the last. */
export function attributesOf(body: Buffer, from: number): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = from; at + 4 <= body.length;) {
    const length = body.readUInt16LE(at);
    if (length < 4 || at + length > body.length) break;
    // the two highest bits are flags: nested, network byte order
    found.set(body.readUInt16LE(at + 2) & 0x3fff, body.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const none = Buffer.alloc(0);
const familyOf = (address: Uint8Array) => (address.length === 4 ? AF_INET : AF_INET6);
const version = (family: number) => (family === AF_INET ? 4 : 6);
const number = (value: Buffer | undefined) => (value?.length === 4 ? value.readUInt32LE() : 0);
const text = (value: Buffer | undefined) => (value ?? none).toString('utf8').replace(/\0.*$/s, '');

const [IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_STATS64] = [1, 3, 4, 23];

/** All interfaces of the namespace. */
export function links(netlink: Netlink): Link[] {
  return netlink.dump(RTM_GETLINK, Buffer.alloc(16), 'list interfaces').flatMap(parseLink);
}

/** Exported for its test. */
export function parseLink({ type, body }: NetlinkMessage): Link[] {
  if (type !== RTM_NEWLINK || body.length < 16) return [];
  const attributes = attributesOf(body, 16);
  return [
    {
      index: body.readInt32LE(4),
      name: text(attributes.get(IFLA_IFNAME)),
      hardware: body.readUInt16LE(2),
      mac: attributes.get(IFLA_ADDRESS) ?? none,
      mtu: number(attributes.get(IFLA_MTU)),
      up: (body.readUInt32LE(8) & IFF_UP) !== 0,
      statistics: parseStatistics(attributes.get(IFLA_STATS64)),
      noArp: (body.readUInt32LE(8) & IFF_NOARP) !== 0,
    },
  ];
}

/** The head of struct rtnl_link_stats64 (linux/if_link.h). */
function parseStatistics(bytes: Buffer = none): LinkStatistics | undefined {
  if (bytes.length < 64) return undefined;
  const at = (index: number) => bytes.readBigUInt64LE(index * 8);
  return {
    rxPackets: at(0),
    txPackets: at(1),
    rxBytes: at(2),
    txBytes: at(3),
    rxErrors: at(4),
    txErrors: at(5),
    rxDropped: at(6),
    txDropped: at(7),
  };
}

/** Changes one interface; a name can only be given while it is down. */
export function changeLink(
  netlink: Netlink,
  index: number,
  to: { up?: boolean; noArp?: boolean; name?: string; mac?: Uint8Array; mtu?: number },
): void {
  // struct ifinfomsg: family, pad, type, index, flags, mask of flags
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE((to.up === true ? IFF_UP : 0) | (to.noArp === true ? IFF_NOARP : 0), 8);
  const asked = (to.up === undefined ? 0 : IFF_UP) | (to.noArp === undefined ? 0 : IFF_NOARP);
  header.writeUInt32LE(asked, 12);
  const attributes: Buffer[] = [header];
  if (to.name !== undefined) attributes.push(attribute(IFLA_IFNAME, to.name));
  if (to.mac !== undefined) attributes.push(attribute(IFLA_ADDRESS, to.mac));
  if (to.mtu !== undefined) attributes.push(attribute(IFLA_MTU, to.mtu));
  const what = `set ${Object.keys(to).join(', ')} of interface ${to.name ?? index}`;
  netlink.change(RTM_NEWLINK, 0, Buffer.concat(attributes), what);
}

const [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS] = [1, 2, 4, 8];

/** All addresses of the namespace. */
export function addresses(netlink: Netlink): Address[] {
  return netlink.dump(RTM_GETADDR, Buffer.alloc(8), 'list addresses').flatMap(parseAddress);
}

/** Exported for its test. */
export function parseAddress({ type, body }: NetlinkMessage): Address[] {
  if (type !== RTM_NEWADDR || body.length < 8) return [];
  const attributes = attributesOf(body, 8);
  // IFA_ADDRESS is the peer's where there is one
  const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS) ?? none;
  const [, prefixLength = 0, , scope = 0] = body;
  return [{ link: body.readInt32LE(4), address, prefixLength, scope }];
}

function addressMessage({ link, address, prefixLength, scope }: Address, flags: number): Buffer {
  // struct ifaddrmsg: family, prefix length, flags, scope, index
  const header = Buffer.from([familyOf(address), prefixLength, 0, scope, 0, 0, 0, 0]);
  header.writeInt32LE(link, 4);
  const parts = [header, attribute(IFA_LOCAL, address), attribute(IFA_ADDRESS, address)];
  if (flags !== 0) parts.push(attribute(IFA_FLAGS, flags));
  if (address.length === 4 && prefixLength < 31) {
    const broadcast = Buffer.alloc(4);
    const host = 0xffffffff >>> prefixLength;
    broadcast.writeUInt32BE((Buffer.from(address).readUInt32BE() | host) >>> 0);
    parts.push(attribute(IFA_BROADCAST, broadcast));
  }
  return Buffer.concat(parts);
}

/** Adds an address that is known to be unique, and without the route that the kernel would add. */
export function addAddress(netlink: Netlink, address: Address, what: string): void {
  const body = addressMessage(address, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
  netlink.change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body, `add address ${what}`);
}

export function removeAddress(netlink: Netlink, address: Address, what: string): void {
  netlink.change(RTM_DELADDR, 0, addressMessage(address, 0), `remove address ${what}`);
}

const [RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC] = [1, 4, 5, 6, 7];
const [RTA_MULTIPATH, RTA_TABLE] = [9, 15];
const routeHeaderBytes = 12;

/** The routes of the main table, but for those that a router announced. */
export function routes(netlink: Netlink): Route[] {
  const header = Buffer.alloc(routeHeaderBytes);
  return netlink.dump(RTM_GETROUTE, header, 'list routes').flatMap(parseRoute);
}

/** Exported for its test. */
export function parseRoute({ type: message, body }: NetlinkMessage): Route[] {
  if (message !== RTM_NEWROUTE || body.length < routeHeaderBytes) return [];
  const [family = 0, prefixLength = 0, , , , protocol = 0, scope = 0, type = 0] = body;
  if (family !== AF_INET && family !== AF_INET6) return [];
  const attributes = attributesOf(body, routeHeaderBytes);
  const known = (Object.values(routeTypes) as number[]).includes(type);
  if (number(attributes.get(RTA_TABLE)) !== RT_TABLE_MAIN || protocol === RTPROT_RA || !known) {
    return [];
  }
  const { link, gateway } = nextHop(attributes);
  return [
    {
      version: version(family),
      destination: attributes.get(RTA_DST) ?? none,
      prefixLength,
      gateway,
      link: type === routeTypes.unicast ? link : 0,
      source: attributes.get(RTA_PREFSRC) ?? none,
      metric: number(attributes.get(RTA_PRIORITY)),
      scope,
      type,
      onLink: (body.readUInt32LE(8) & RTNH_F_ONLINK) !== 0,
    },
  ];
}

/** Where a route leads next; one that spreads over several hops is taken to lead to the first. */
function nextHop(attributes: Map<number, Buffer>): { link: number; gateway: Buffer } {
  const hops = attributes.get(RTA_MULTIPATH);
  const gateway = attributes.get(RTA_GATEWAY) ?? none;
  if (hops === undefined || hops.length < 8) {
    return { link: number(attributes.get(RTA_OIF)), gateway };
  }
  // struct rtnexthop: length, flags, hops, index; attributes follow
  const own = attributesOf(hops.subarray(0, hops.readUInt16LE(0)), 8);
  return { link: hops.readInt32LE(4), gateway: own.get(RTA_GATEWAY) ?? none };
}

function routeMessage(route: Route): Buffer {
  const { destination, gateway, source } = route;
  const family = route.version === 4 ? AF_INET : AF_INET6;
  // struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags
  const header = Buffer.from([family, route.prefixLength, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC]);
  const parts = [header, Buffer.from([route.scope, route.type]), uint32(flagsOf(route))];
  if (destination.length > 0) parts.push(attribute(RTA_DST, destination));
  if (gateway.length > 0) parts.push(attribute(RTA_GATEWAY, gateway));
  if (route.link !== 0) parts.push(attribute(RTA_OIF, route.link));
  if (source.length > 0) parts.push(attribute(RTA_PREFSRC, source));
  if (route.metric !== 0) parts.push(attribute(RTA_PRIORITY, route.metric));
  return Buffer.concat(parts);
}

const flagsOf = ({ onLink }: Route) => (onLink ? RTNH_F_ONLINK : 0);

export function addRoute(netlink: Netlink, route: Route, what: string): void {
  const flags = NLM_F_CREATE | NLM_F_REPLACE;
  netlink.change(RTM_NEWROUTE, flags, routeMessage(route), `add route ${what}`);
}

export function removeRoute(netlink: Netlink, route: Route, what: string): void {
  netlink.change(RTM_DELROUTE, 0, routeMessage(route), `remove route ${what}`);
}

/** Whether a route leads to its destination without a gateway, which others may need first. */
export const isDirect = ({ gateway, scope }: Route) =>
  gateway.length === 0 || scope === RT_SCOPE_LINK;

/** fe80::/10, which every kernel makes for itself, the same from the same MAC. */
export function isLinkLocal(address: Uint8Array): boolean {
  return address.length === 16 && address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0x80;
}

const [NDA_DST, NDA_LLADDR] = [1, 2];

/** The neighbours that somebody set by hand. */
export function permanentNeighbors(netlink: Netlink): Neighbor[] {
  return netlink.dump(RTM_GETNEIGH, Buffer.alloc(12), 'list neighbours').flatMap(parseNeighbor);
}

/** Exported for its test. */
export function parseNeighbor({ type, body }: NetlinkMessage): Neighbor[] {
  if (type !== RTM_NEWNEIGH || body.length < 12) return [];
  const family = body[0];
  const permanent = (body.readUInt16LE(8) & NUD_PERMANENT) !== 0;
  if (!permanent || (family !== AF_INET && family !== AF_INET6)) return [];
  const attributes = attributesOf(body, 12);
  const [address, mac] = [attributes.get(NDA_DST), attributes.get(NDA_LLADDR)];
  return address && mac?.length === 6 ? [{ link: body.readInt32LE(4), address, mac }] : [];
}

function neighborMessage({ link, address, mac }: Neighbor): Buffer {
  // struct ndmsg: family, pads, index, state, flags, type
  const header = Buffer.alloc(12);
  header.writeUInt8(familyOf(address), 0);
  header.writeInt32LE(link, 4);
  header.writeUInt16LE(NUD_PERMANENT, 8);
  return Buffer.concat([header, attribute(NDA_DST, address), attribute(NDA_LLADDR, mac)]);
}

export function addNeighbor(netlink: Netlink, neighbor: Neighbor, what: string): void {
  const flags = NLM_F_CREATE | NLM_F_REPLACE;
  netlink.change(RTM_NEWNEIGH, flags, neighborMessage(neighbor), `add neighbour ${what}`);
}

export function removeNeighbor(netlink: Netlink, neighbor: Neighbor, what: string): void {
  netlink.change(RTM_DELNEIGH, 0, neighborMessage(neighbor), `remove neighbour ${what}`);
}

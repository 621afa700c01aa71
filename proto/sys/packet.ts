/** AF_PACKET sockets: linux/if_packet.h. */
import { check, openSocket } from './fd.ts';
import { native } from './libc.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_ALLMULTI = 2;

const setsockopt = native<
  (fd: number, level: number, option: number, value: Uint8Array, length: number) => number
>('int setsockopt(int, int, int, const void *, unsigned int)');

/** A socket that receives nothing, to hold what `receiveMulticast` sets. */
export function openPacketSocket(): number {
  return openSocket(AF_PACKET, SOCK_RAW);
}

/**
 * Has an interface take every multicast, not those alone that the namespace's own stack has joined,
 * as long as the socket is open and the interface there. Shows in none of the interface's flags.
 * @throws SysError
 */
export function receiveMulticast(fd: number, link: number): void {
  // struct packet_mreq: index, type, length and bytes of an address
  const request = Buffer.alloc(16);
  request.writeInt32LE(link, 0);
  request.writeUInt16LE(PACKET_MR_ALLMULTI, 4);
  const what = `receive multicast on interface ${link}`;
  check(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, request, request.length), what);
}

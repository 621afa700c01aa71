import { closeSync, existsSync, openSync } from 'node:fs';
import { Code, RunvError } from '../../proto/error.ts';
import { control, orClose } from '../../proto/sys.ts';

/** linux/if_tun.h */
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
/** Segments and checksums travel unfinished between guest and pod. */
const IFF_VNET_HDR = 0x4000;

/** One of the VM's network devices. */
export interface Tap {
  readonly name: string;
  /** What QEMU inherits; the interface is there as long as somebody has it open. */
  readonly fd: number;
  /** /dev/vhost-net, where the host has it. */
  readonly vhostFd: number | undefined;
}

/**
 * Makes a tap in the network namespace of this process.
 * @throws RunvError Unavailable when the host has no /dev/net/tun
 */
export function openTap(name: string): Tap {
  let fd: number;
  try {
    fd = openSync('/dev/net/tun', 'r+');
  } catch (e) {
    const message = `the pod has a network, and the VM needs a tap for it: ${(e as Error).message}`;
    throw new RunvError(Code.Unavailable, message);
  }
  return orClose(fd, () => {
    // struct ifreq: 16 bytes of name, then a union that begins with the flags
    const request = Buffer.alloc(40);
    request.write(name, 0, 15);
    request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 16);
    control(fd, TUNSETIFF, request, `make tap ${name}`);
    const vhostFd = existsSync('/dev/vhost-net') ? openSync('/dev/vhost-net', 'r+') : undefined;
    return { name, fd, vhostFd };
  });
}

/** Closes our descriptors; call once QEMU has its own. */
export function closeTap({ fd, vhostFd }: Tap): void {
  closeSync(fd);
  if (vhostFd !== undefined) closeSync(vhostFd);
}

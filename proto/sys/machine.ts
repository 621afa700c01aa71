/** The machine as a whole: clock, random pool, name, network interfaces, power. */
import { closeSync, openSync } from 'node:fs';
import { check, control, openSocket } from './fd.ts';
import { native } from './libc.ts';

const cClockSettime = native<(clock: number, time: BigInt64Array) => number>(
  'int clock_settime(int, const void *)',
);
const cSethostname = native<(name: string, length: number) => number>(
  'int sethostname(const char *, unsigned long)',
);
const cReboot = native<(command: number) => number>('int reboot(int)');

/** linux/time.h */
const CLOCK_REALTIME = 0;

/** @param unixNs nanoseconds since 1970 */
export function setClock(unixNs: bigint): void {
  const time = new BigInt64Array([unixNs / 1_000_000_000n, unixNs % 1_000_000_000n]);
  check(cClockSettime(CLOCK_REALTIME, time), 'set the clock');
}

/** linux/random.h */
const RNDADDENTROPY = 0x40085203;
const RNDRESEEDCRNG = 0x5207;

/** Feeds the kernel's random pool, credited with 8 bits a byte, and makes it reseed at once. */
export function addEntropy(entropy: Uint8Array): void {
  // struct rand_pool_info: entropy_count in bits, buf_size in bytes, buf
  const info = Buffer.alloc(8 + entropy.length);
  info.writeInt32LE(entropy.length * 8, 0);
  info.writeInt32LE(entropy.length, 4);
  info.set(entropy, 8);
  const fd = openSync('/dev/urandom', 'w');
  try {
    control(fd, RNDADDENTROPY, info, 'feed the random pool');
    // a clone of a template must not go on with its sibling's stream
    control(fd, RNDRESEEDCRNG, null, 'reseed the random generator');
  } finally {
    closeSync(fd);
  }
}

export function setHostname(name: string): void {
  check(cSethostname(name, Buffer.byteLength(name)), `set the host name to ${name}`);
}

/** linux/socket.h, linux/sockios.h, linux/if.h */
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;

/** Brings a network interface up. */
export function bringUp(name: string): void {
  // struct ifreq: 16 bytes of name, then a union that begins with the flags
  const request = Buffer.alloc(40);
  request.write(name, 0, 15);
  const fd = openSocket(AF_INET, SOCK_DGRAM);
  try {
    control(fd, SIOCGIFFLAGS, request, `read the flags of interface ${name}`);
    request.writeUInt16LE(request.readUInt16LE(16) | IFF_UP, 16);
    control(fd, SIOCSIFFLAGS, request, `bring up interface ${name}`);
  } finally {
    closeSync(fd);
  }
}

/** linux/reboot.h */
const LINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc;

/** Powers the machine off at once: nothing is written out. Returns only by an error. */
export function powerOff(): void {
  check(cReboot(LINUX_REBOOT_CMD_POWER_OFF | 0), 'power off');
}

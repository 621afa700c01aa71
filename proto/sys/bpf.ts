/** bpf(2), for one kind of program: linux/bpf.h. */
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { check } from './fd.ts';
import { native } from './libc.ts';

const syscall = native<(n: number, command: number, attributes: Buffer, size: number) => number>(
  'long syscall(long, long, void *, unsigned long)',
);
/** asm/unistd_64.h, asm-generic/unistd.h */
const bpfNumber = process.arch === 'arm64' ? 280 : 321;

const [BPF_MAP_CREATE, BPF_MAP_UPDATE_ELEM, BPF_PROG_LOAD, BPF_LINK_CREATE] = [0, 2, 5, 28];
const BPF_MAP_TYPE_SOCKMAP = 15;
const BPF_PROG_TYPE_SK_LOOKUP = 30;
const BPF_SK_LOOKUP = 36;
const attributeBytes = 128;

function bpf(command: number, what: string, fill: (attributes: Buffer) => void): number {
  const attributes = Buffer.alloc(attributeBytes);
  fill(attributes);
  return check(syscall(bpfNumber, command, attributes, attributeBytes), what);
}

function writePointer(to: Buffer, at: number, memory: Buffer): void {
  to.writeBigUInt64LE(koffi.address(memory), at);
}

/** One instruction: opcode, registers, offset, immediate. */
function instruction(
  code: number,
  to: number,
  from: number,
  offset: number,
  value: number,
): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8((from << 4) | to, 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(value, 4);
  return bytes;
}

/**
 * For each TCP connection to a loopback address: gives it to the socket that the map has for its
 * version of IP. Everything else goes its usual way.
 */
function program(map: number): Buffer {
  const [r0, r1, r2, r3, r6, r7, r10] = [0, 1, 2, 3, 6, 7, 10];
  // struct bpf_sk_lookup
  const [family, protocol, localIp4, localIp6] = [8, 12, 40, 44];
  const [load32, store32, move, moveValue, addValue] = [0x61, 0x62, 0xbf, 0xb7, 0x07];
  const [jumpIfNot, jumpIf, jumpAlways, call, and32] = [0x55, 0x15, 0x05, 0x85, 0x54];
  const [mapLookup, release, assign] = [1, 86, 124];
  const [AF_INET, TCP, SK_PASS] = [2, 6, 1];
  const loopback6 = 0x01000000; // the last word of ::1
  const toEnd = (at: number) => 26 - at - 1;
  return Buffer.concat([
    /* 0 */ instruction(move, r6, r1, 0, 0),
    /* 1 */ instruction(load32, r2, r6, protocol, 0),
    /* 2 */ instruction(jumpIfNot, r2, 0, toEnd(2), TCP),
    /* 3 */ instruction(load32, r2, r6, family, 0),
    /* 4 */ instruction(jumpIfNot, r2, 0, 5, AF_INET),
    /* 5 */ instruction(load32, r2, r6, localIp4, 0),
    /* 6 */ instruction(and32, r2, 0, 0, 0xff),
    /* 7 */ instruction(jumpIfNot, r2, 0, toEnd(7), 127),
    /* 8 */ instruction(store32, r10, 0, -4, 0),
    /* 9 */ instruction(jumpAlways, 0, 0, 3, 0),
    /* 10 */ instruction(load32, r2, r6, localIp6 + 12, 0),
    /* 11 */ instruction(jumpIfNot, r2, 0, toEnd(11), loopback6),
    /* 12 */ instruction(store32, r10, 0, -4, 1),
    /* 13, 14 */ instruction(0x18, r1, 1, 0, map), // a map's descriptor, two instructions long
    Buffer.alloc(8),
    /* 15 */ instruction(move, r2, r10, 0, 0),
    /* 16 */ instruction(addValue, r2, 0, 0, -4),
    /* 17 */ instruction(call, 0, 0, 0, mapLookup),
    /* 18 */ instruction(jumpIf, r0, 0, toEnd(18), 0),
    /* 19 */ instruction(move, r7, r0, 0, 0),
    /* 20 */ instruction(move, r1, r6, 0, 0),
    /* 21 */ instruction(move, r2, r0, 0, 0),
    /* 22 */ instruction(moveValue, r3, 0, 0, 0),
    /* 23 */ instruction(call, 0, 0, 0, assign),
    /* 24 */ instruction(move, r1, r7, 0, 0),
    /* 25 */ instruction(call, 0, 0, 0, release),
    /* 26 */ instruction(moveValue, r0, 0, 0, SK_PASS),
    /* 27 */ instruction(0x95, 0, 0, 0, 0),
  ]);
}

/**
 * Makes a listening socket of each version of IP get every TCP connection to a loopback address of
 * this network namespace, whatever its port.
 * @returns a descriptor: closing it ends that
 * @throws SysError where the kernel has no such programs (before 5.9)
 */
export function catchLoopback(listener4: number, listener6: number): number {
  const map = bpf(BPF_MAP_CREATE, 'make a BPF map', (a) => {
    for (const [n, value] of [BPF_MAP_TYPE_SOCKMAP, 4, 8, 2].entries())
      a.writeUInt32LE(value, n * 4);
  });
  let loaded: number | undefined;
  let namespace: number | undefined;
  try {
    for (const [n, listener] of [listener4, listener6].entries()) {
      const key = Buffer.alloc(4);
      key.writeUInt32LE(n);
      const value = Buffer.alloc(8);
      value.writeBigUInt64LE(BigInt(listener));
      bpf(BPF_MAP_UPDATE_ELEM, 'put a socket into a BPF map', (a) => {
        a.writeUInt32LE(map, 0);
        writePointer(a, 8, key);
        writePointer(a, 16, value);
      });
    }
    const code = program(map);
    const license = Buffer.from('GPL\0');
    loaded = bpf(BPF_PROG_LOAD, 'load a BPF program', (a) => {
      a.writeUInt32LE(BPF_PROG_TYPE_SK_LOOKUP, 0);
      a.writeUInt32LE(code.length / 8, 4);
      writePointer(a, 8, code);
      writePointer(a, 16, license);
      a.writeUInt32LE(BPF_SK_LOOKUP, 68); // expected_attach_type
    });
    const [programFd] = [loaded];
    namespace = openSync('/proc/self/ns/net', 'r');
    const namespaceFd = namespace;
    return bpf(BPF_LINK_CREATE, 'attach a BPF program', (a) => {
      for (const [n, value] of [programFd, namespaceFd, BPF_SK_LOOKUP].entries()) {
        a.writeUInt32LE(value, n * 4);
      }
    });
  } finally {
    for (const fd of [map, loaded, namespace]) if (fd !== undefined) closeSync(fd);
  }
}

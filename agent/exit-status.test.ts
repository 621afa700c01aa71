import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitStatus } from './exit-status.ts';

const table: [name: string, waitStatus: number, status: number][] = [
  ['exit 0', 0x0000, 0],
  ['exit 1', 0x0100, 1],
  ['exit 127', 0x7f00, 127],
  ['exit 255', 0xff00, 255],
  ['SIGHUP', 0x0001, 129],
  ['SIGKILL', 0x0009, 137],
  ['SIGSEGV with a core dump', 0x008b, 139],
  ['SIGTERM', 0x000f, 143],
  ['SIGRTMIN', 0x0022, 162],
  ['SIGRTMAX', 0x0040, 192],
];
for (const [name, waitStatus, status] of table) {
  test(`${name} is ${status}`, () => assert.equal(exitStatus(waitStatus), status));
}

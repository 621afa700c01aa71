/** Processes: children, signals, namespaces, limits. */
import { closeSync, openSync } from 'node:fs';
import { errnos, SysError } from './errno.ts';
import { check } from './fd.ts';
import { lastErrno, native } from './libc.ts';

/** linux/sched.h */
export const CLONE = {
  NEWTIME: 0x80,
  NEWNS: 0x20000,
  NEWCGROUP: 0x2000000,
  NEWUTS: 0x4000000,
  NEWIPC: 0x8000000,
  NEWUSER: 0x10000000,
  NEWPID: 0x20000000,
  NEWNET: 0x40000000,
} as const;

/** linux/wait.h */
const P_ALL = 0;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x1000000;

const cWaitid = native<(type: number, id: number, info: Uint8Array, options: number) => number>(
  'int waitid(int, int, void *, int)',
);
const cWaitpid = native<(pid: number, status: Int32Array, options: number) => number>(
  'int waitpid(int, void *, int)',
);
const cKill = native<(pid: number, signal: number) => number>('int kill(int, int)');
const cPrctl = native<(option: number, argument: number) => number>(
  'int prctl(int, unsigned long)',
);
const cSetns = native<(fd: number, kind: number) => number>('int setns(int, int)');
const cUnshare = native<(flags: number) => number>('int unshare(int)');
const cSetrlimit = native<(resource: number, limits: BigUint64Array) => number>(
  'int setrlimit(int, const void *)',
);
const cMallocTrim = native<(padBytes: number) => number>('int malloc_trim(unsigned long)');

/** A child that has exited and was not yet reaped, without reaping it; undefined: none. */
export function peekExitedChild(): number | undefined {
  const info = Buffer.alloc(128);
  if (cWaitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) < 0) {
    const errno = lastErrno();
    if (errno === errnos.ECHILD) return undefined;
    throw new SysError('look for exited children', errno);
  }
  // siginfo_t: si_signo, si_errno, si_code, padding, then si_pid
  const pid = info.readInt32LE(16);
  return pid === 0 ? undefined : pid;
}

/** Reaps one child. @returns its raw wait status, or undefined while it runs or is no child */
export function reapChild(pid: number): number | undefined {
  const status = new Int32Array(1);
  const result = cWaitpid(pid, status, WNOHANG);
  if (result < 0) {
    const errno = lastErrno();
    if (errno === errnos.ECHILD) return undefined;
    throw new SysError(`reap process ${pid}`, errno);
  }
  return result === 0 ? undefined : status[0];
}

/** @throws SysError ESRCH when there is no such process */
export function kill(pid: number, signal: number): void {
  check(cKill(pid, signal), `send signal ${signal} to process ${pid}`);
}

/** linux/prctl.h */
const PR_SET_CHILD_SUBREAPER = 36;

/** Makes this process the parent of its descendants' orphans. */
export function becomeSubreaper(): void {
  check(cPrctl(PR_SET_CHILD_SUBREAPER, 1), 'become a child subreaper');
}

/** Moves this thread (Node's main one) into new namespaces, see `CLONE`. */
export function unshare(flags: number): void {
  check(cUnshare(flags), `make namespaces 0x${flags.toString(16)}`);
}

/** asm-generic/resource.h */
export const RLIMIT = { CORE: 4, NPROC: 6, NOFILE: 7, MEMLOCK: 8 } as const;

/** Sets soft and hard limit alike. @param limit Infinity for none */
export function setLimit(resource: number, limit: number): void {
  const value = Number.isFinite(limit) ? BigInt(limit) : 0xffff_ffff_ffff_ffffn;
  check(cSetrlimit(resource, new BigUint64Array([value, value])), `set limit ${resource}`);
}

/** Moves this thread (Node's main one) into a network namespace; children and sockets follow it. */
export function joinNetwork(path: string): void {
  const fd = openSync(path, 'r');
  try {
    check(cSetns(fd, CLONE.NEWNET), `enter network namespace ${path}`);
  } finally {
    closeSync(fd);
  }
}

/**
 * Runs `use`, which must not wait for anything, in another network namespace: a socket that it
 * opens stays there. Only this thread goes there and back.
 * @param path of the namespace
 * @throws SysError
 */
export function inNetworkNamespace<T>(path: string, use: () => T): T {
  const own = openSync('/proc/self/ns/net', 'r');
  const other = openSync(path, 'r');
  try {
    check(cSetns(other, CLONE.NEWNET), `enter network namespace ${path}`);
    try {
      return use();
    } finally {
      check(cSetns(own, CLONE.NEWNET), 'return to our own network namespace');
    }
  } finally {
    closeSync(other);
    closeSync(own);
  }
}

/** Gives what malloc(3) keeps for later back to the system. */
export function trimHeap(): void {
  cMallocTrim(0);
}

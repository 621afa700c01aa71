/** Mounts, device nodes, flushing. */
import { closeSync, openSync } from 'node:fs';
import { check } from './fd.ts';
import { native, nativeAsync } from './libc.ts';

/** linux/mount.h */
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  SYNCHRONOUS: 16,
  REMOUNT: 32,
  MANDLOCK: 64,
  DIRSYNC: 128,
  NOATIME: 1024,
  NODIRATIME: 2048,
  BIND: 4096,
  MOVE: 8192,
  REC: 16384,
  UNBINDABLE: 1 << 17,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
  RELATIME: 1 << 21,
  STRICTATIME: 1 << 24,
  LAZYTIME: 1 << 25,
} as const;

/** linux/fs.h: detach now, free when no longer in use. */
export const MNT_DETACH = 2;

const cMount = native<
  (source: string, target: string, type: string | null, flags: number, data: string) => number
>('int mount(const char *, const char *, const char *, unsigned long, const char *)');
const cUmount2 = native<(target: string, flags: number) => number>(
  'int umount2(const char *, int)',
);
const cMknod = native<(path: string, mode: number, device: bigint) => number>(
  'int mknod(const char *, unsigned int, unsigned long)',
);
const cSyncfs = nativeAsync<number>('int syncfs(int)');
const cSync = nativeAsync<void>('void sync()');

/**
 * Mounts; `flags` are of `MS`, `data` is the file system's own options with commas.
 * @throws SysError
 */
export function mount(
  source: string,
  target: string,
  fsType: string | null,
  flags = 0,
  data = '',
): void {
  check(
    cMount(source, target, fsType, flags, data),
    `mount ${fsType ?? 'bind'} ${source} on ${target}`,
  );
}

/** @throws SysError; EINVAL when `target` is no mount point, EBUSY when it is in use */
export function umount(target: string, flags = 0): void {
  check(cUmount2(target, flags), `unmount ${target}`);
}

/** @param mode with the type, e.g. S_IFCHR | 0o666 */
export function mknod(path: string, mode: number, major: number, minor: number): void {
  // sys/sysmacros.h: makedev
  const [high, low] = [BigInt(major), BigInt(minor)];
  const device =
    (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n);
  check(cMknod(path, mode, device), `make device ${path}`);
}

/** @param rdev of a device's node, as stat(2) tells it */
export function deviceNumbers(rdev: number): { readonly major: number; readonly minor: number } {
  // sys/sysmacros.h: major, minor; Linux has 12 bits of the one and 20 of the other
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}

/** Writes out the file system that holds `path`, without holding up this thread. */
export async function syncFileSystem(path: string): Promise<void> {
  const fd = openSync(path, 'r');
  try {
    // errno is lost in the thread pool; a failing disk shows in the kernel's log
    await cSyncfs(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes out every file system, without holding up this thread. */
export async function sync(): Promise<void> {
  await cSync();
}

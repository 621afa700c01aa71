import { MS } from '../proto/sys.ts';

/** What mount(2) takes for a list of options. */
export interface MountOptions {
  /** Of `MS`. */
  readonly flags: number;
  /** The file system's own options, separated by commas. */
  readonly data: string;
}

/** mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS": the flag, and whether the option sets it. */
const flags: Readonly<Record<string, readonly [flag: number, set: boolean]>> = {
  ro: [MS.RDONLY, true],
  rw: [MS.RDONLY, false],
  nosuid: [MS.NOSUID, true],
  suid: [MS.NOSUID, false],
  nodev: [MS.NODEV, true],
  dev: [MS.NODEV, false],
  noexec: [MS.NOEXEC, true],
  exec: [MS.NOEXEC, false],
  sync: [MS.SYNCHRONOUS, true],
  async: [MS.SYNCHRONOUS, false],
  dirsync: [MS.DIRSYNC, true],
  mand: [MS.MANDLOCK, true],
  nomand: [MS.MANDLOCK, false],
  noatime: [MS.NOATIME, true],
  atime: [MS.NOATIME, false],
  nodiratime: [MS.NODIRATIME, true],
  diratime: [MS.NODIRATIME, false],
  relatime: [MS.RELATIME, true],
  norelatime: [MS.RELATIME, false],
  strictatime: [MS.STRICTATIME, true],
  nostrictatime: [MS.STRICTATIME, false],
  lazytime: [MS.LAZYTIME, true],
  nolazytime: [MS.LAZYTIME, false],
};

/** Read by mount(8) and by what reads fstab, never by the kernel. */
const ignored =
  /^(defaults|loop|auto|noauto|user|nouser|users|owner|group|nofail|_netdev|comment=.*|x-.*|)$/;

/** Translates options as in fstab; of contradicting ones the last wins. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  let bits = 0;
  const data: string[] = [];
  for (const option of options.flatMap((o) => o.split(','))) {
    const known = Object.hasOwn(flags, option) ? flags[option] : undefined;
    if (known) bits = known[1] ? bits | known[0] : bits & ~known[0];
    else if (!ignored.test(option)) data.push(option);
  }
  return { flags: bits, data: data.join(',') };
}

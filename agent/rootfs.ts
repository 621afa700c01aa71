import { existsSync, mkdirSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import { mount, MS, umount } from '../proto/sys.ts';
import type { Undo } from '../proto/undo.ts';
import type { Disks } from './disks.ts';

/** Where the host's shared files are, once a container needs one. */
const shareDir = '/run/runv/share';
const shareTag = 'runv-share';
/** Messages of 512 KiB: with virtio's descriptors, the most that one request can carry. */
const shareOptions = 'trans=virtio,version=9p2000.L,msize=524288,cache=none,access=client';

const flagOptions: Readonly<Record<string, number>> = {
  ro: MS.RDONLY,
  nosuid: MS.NOSUID,
  nodev: MS.NODEV,
  noexec: MS.NOEXEC,
  sync: MS.SYNCHRONOUS,
  dirsync: MS.DIRSYNC,
  noatime: MS.NOATIME,
  nodiratime: MS.NODIRATIME,
  relatime: MS.RELATIME,
  strictatime: MS.STRICTATIME,
  lazytime: MS.LAZYTIME,
};
/** What mount(8) takes and the kernel does not: each is the default or means nothing here. */
const ignoredOptions = new Set(['rw', 'defaults', 'loop', 'suid', 'dev', 'exec', 'async', 'atime']);

/**
 * Splits mount options as in fstab into mount(2)'s flags and the file system's own words.
 */
export function mountOptions(options: readonly string[]): { flags: number; data: string } {
  let flags = 0;
  const data: string[] = [];
  for (const option of options) {
    const flag = flagOptions[option];
    if (flag !== undefined) flags |= flag;
    else if (!ignoredOptions.has(option)) data.push(option);
  }
  return { flags, data: data.join(',') };
}

/** Mounts what a container stands on; each step says how it is undone. */
export class Mounts {
  readonly #disks: Disks;

  constructor(disks: Disks) {
    this.#disks = disks;
  }

  /**
   * Mounts a container's root below `dir`.
   * @returns the root's path
   */
  async rootfs(rootfs: agent.Rootfs, dir: string, undo: Undo): Promise<string> {
    const root = join(dir, 'rootfs');
    const { scratch, fsType, options } = rootfs;
    const disk = present(rootfs.disk, 'a root disk');
    if (!scratch) {
      await this.#mountDisk({ disk, fsType, options }, root, undo);
      return root;
    }
    const lower = join(dir, 'lower');
    const writable = join(dir, 'scratch');
    await Promise.all([
      this.#mountDisk({ disk, fsType, options }, lower, undo),
      this.#mountDisk({ disk: scratch, fsType: 'ext4', options: ['discard'] }, writable, undo),
    ]);
    for (const name of ['upper', 'work']) mkdirSync(join(writable, name), { recursive: true });
    mkdirSync(root);
    const layers = `lowerdir=${lower},upperdir=${writable}/upper,workdir=${writable}/work`;
    // volatile: the scratch disk ends with the container, so nothing need be synced to it.
    mount('overlay', root, 'overlay', 0, `${layers},volatile`);
    undo.add('unmount the root', () => umount(root));
    return root;
  }

  /**
   * Makes a volume's contents available below `dir`.
   * @returns the path that takes the place of the mount entry's source
   */
  async volume(volume: agent.Volume, dir: string, undo: Undo): Promise<string> {
    if (volume.sharePath !== undefined && volume.sharePath !== '') {
      return shared(volume.sharePath);
    }
    const { disk, fsType, options } = present(volume.disk, 'a disk or a shared path');
    const path = join(dir, 'volumes', String(volume.mountIndex));
    await this.#mountDisk({ disk: present(disk, 'a volume disk'), fsType, options }, path, undo);
    return path;
  }

  async #mountDisk(
    { disk, fsType, options }: { disk: agent.Disk; fsType: string; options: readonly string[] },
    path: string,
    undo: Undo,
  ): Promise<void> {
    const { node } = await this.#disks.attach(disk);
    undo.add(`let go of disk ${disk.serial}`, () => this.#disks.detach(disk));
    mkdirSync(path, { recursive: true });
    const { flags, data } = mountOptions([...options, ...(disk.readOnly ? ['ro'] : [])]);
    try {
      mount(node, path, fsType, flags, data);
    } catch (e) {
      throw new RunvError(
        Code.FailedPrecondition,
        `cannot mount the ${fsType} file system of disk ${disk.serial}; is it damaged, or of another type? ${(e as Error).message}`,
        { cause: e },
      );
    }
    undo.add(`unmount ${path}`, () => umount(path));
  }
}

/** Path in the guest of something below the 9p export, which is mounted on first use. */
function shared(path: string): string {
  const clean = normalize(path);
  if (clean.startsWith('/') || clean === '..' || clean.startsWith('../')) {
    throw new RunvError(Code.InvalidArgument, `shared path ${path} leaves the export`);
  }
  if (!existsSync(shareDir)) {
    mkdirSync(shareDir, { recursive: true });
    mount(shareTag, shareDir, '9p', MS.NODEV, shareOptions);
  }
  return join(shareDir, clean);
}

/** Whether the guest has a character device of these numbers. */
export function hasCharDevice({ major, minor }: { major: number; minor: number }): boolean {
  return existsSync(`/sys/dev/char/${Number(major)}:${Number(minor)}`);
}

function present<T>(value: T | undefined, what: string): T {
  if (value !== undefined) return value;
  throw new RunvError(Code.InvalidArgument, `the request lacks ${what}`);
}

import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  rmdirSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import { Shared } from '../proto/shared.ts';
import { sparseDiskOptions } from '../proto/sparse-disk.ts';
import { errnos, MNT_DETACH, mount, MS, syncFileSystem, SysError, umount } from '../proto/sys.ts';
import type { Undo } from '../proto/undo.ts';
import { Copies } from './copies.ts';
import type { DiskDevice, Disks } from './disks.ts';
import { giveToGroup } from './fs-group.ts';
import { parseMountOptions } from './mount-options.ts';

/** Tag of the 9p export, as QEMU's command line has it. */
const shareTag = 'runv-share';
/**
 * Host files must follow their source, so nothing is cached, except (mmap) pages that a process
 * maps: SQLite and others need shared writable mappings. 512 000 is what one virtio request holds.
 */
const shareOptions = 'trans=virtio,version=9p2000.L,cache=mmap,msize=512000';

/** Where a container's root file system is mounted, in its directory. */
export const rootDir = 'rootfs';

const memoryName = /^[A-Za-z0-9][A-Za-z0-9.-]*$/;
const busyTimeoutMs = 5000;
const busyPollMs = 20;

/** Gives containers their file systems and disks; every step adds its way back to `undo`. */
export interface FileSystems {
  /**
   * Mounts a container's root below `dir`.
   * @returns where it is
   * @throws RunvError InvalidArgument without a disk, DataLoss when a disk's content is damaged
   */
  root(rootfs: agent.Rootfs | undefined, dir: string, undo: Undo): Promise<string>;
  /**
   * Makes a volume's content available.
   * @returns the path that stands for it in this mount namespace
   * @throws as `root` does
   */
  volume(volume: agent.Volume, undo: Undo): Promise<string>;
  /**
   * Finds a disk that a container uses as it is.
   * @throws RunvError InvalidArgument without one
   */
  device(disk: agent.Disk | undefined, undo: Undo): Promise<DiskDevice>;
  /** Makes a copy of a directory of the host's, or brings it up to date. */
  syncCopy(request: agent.SyncCopyRequest): void;
}

/** Mounts disks of the virtio-scsi controller and the host's 9p export. */
export class Mounts implements FileSystems {
  readonly #disks: Disks;
  readonly #dir: string;
  /** Where volumes of disks are mounted, by the disk's serial. */
  readonly #volumes: Shared<string>;
  readonly #memories = new Set<string>();
  readonly #copies: Copies;
  #share: string | undefined;

  /** @param dir for the mount points that containers share */
  constructor(disks: Disks, dir: string, newUndo: () => Undo) {
    this.#disks = disks;
    this.#dir = dir;
    this.#volumes = new Shared(newUndo);
    this.#copies = new Copies(join(dir, 'copies'));
  }

  async root(rootfs: agent.Rootfs | undefined, dir: string, undo: Undo): Promise<string> {
    const { disk, fsType, options, scratch, scratchKept } = rootfs ?? {};
    if (!disk || !fsType) {
      throw new RunvError(Code.InvalidArgument, 'the request has no root disk or no fs_type');
    }
    const root = join(dir, rootDir);
    if (!scratch) {
      await this.#mountDisk(disk, fsType, options ?? [], root, undo);
      return root;
    }
    const [lower, upper] = [join(dir, 'lower'), join(dir, 'scratch')];
    // at once: the kernel's probing of one disk overlaps with the other's
    await settleAll([
      this.#mountDisk(disk, fsType, ['ro', ...(options ?? [])], lower, undo),
      this.#mountDisk(scratch, 'ext4', sparseDiskOptions, upper, undo),
    ]);
    layOut(upper, lower);
    mkdirSync(root);
    const layers = `lowerdir=${lower},upperdir=${upper}/upper,workdir=${upper}/work`;
    // volatile: nothing need reach in time a disk that ends with the container
    // xino: one device number for all files, whichever layer they are in, as on one file system
    mount('overlay', root, 'overlay', 0, `${layers},xino=on${scratchKept ? '' : ',volatile'}`);
    undo.add(`unmount ${root}`, () => unmount(root));
    return root;
  }

  async volume(volume: agent.Volume, undo: Undo): Promise<string> {
    const source = await this.#volumeSource(volume, undo);
    return volume.subPath === '' ? source : subDirectory(source, volume.subPath);
  }

  async #volumeSource(volume: agent.Volume, undo: Undo): Promise<string> {
    if (volume.sharePath !== undefined) return this.#sharePath(volume.sharePath);
    if (volume.memory) return this.#memory(volume.memory);
    if (volume.copy) return this.#copies.path(volume.copy.name);
    if (volume.disk) return this.#diskVolume(volume.disk, undo);
    throw new RunvError(Code.InvalidArgument, 'a volume has no share_path, no memory and no disk');
  }

  /** A volume's file system is mounted once, however many containers use it. */
  async #diskVolume(
    { disk, fsType, options, fsGroup }: agent.DiskVolume,
    undo: Undo,
  ): Promise<string> {
    if (!disk || fsType === '') {
      throw new RunvError(Code.InvalidArgument, "a volume's disk or its fs_type is missing");
    }
    const mounted = async (own: Undo): Promise<string> => {
      const target = join(this.#dir, 'volumes', encodeURIComponent(disk.serial));
      await this.#mountDisk(disk, fsType, options, target, own);
      if (fsGroup && !disk.readOnly) await giveToGroup(target, fsGroup);
      return target;
    };
    return this.#volumes.use(disk.serial, mounted, undo);
  }

  /** One tmpfs for each name, for the guest's life: containers come and go, the pod's files stay. */
  #memory({ name, sizeBytes, mode, uid, gid }: agent.MemoryVolume): string {
    if (!memoryName.test(name)) {
      throw new RunvError(Code.InvalidArgument, `"${name}" is no name of a memory volume`);
    }
    const target = join(this.#dir, 'memory', name);
    if (this.#memories.has(name)) return target;
    mkdirSync(target, { recursive: true });
    const size = sizeBytes === 0n ? '' : `size=${sizeBytes},`;
    const data = `${size}mode=${(mode & 0o7777).toString(8)},uid=${uid},gid=${gid}`;
    mount('tmpfs', target, 'tmpfs', MS.NOSUID | MS.NODEV, data);
    this.#memories.add(name);
    return target;
  }

  #sharePath(path: string): string {
    assertRelative(path, 'share_path');
    if (this.#share === undefined) {
      const share = join(this.#dir, 'share');
      mkdirSync(share, { recursive: true });
      mount(shareTag, share, '9p', MS.NODEV, shareOptions);
      this.#share = share;
    }
    return join(this.#share, path);
  }

  /** Finds a disk and mounts its file system on `target`, which is made. */
  async #mountDisk(
    disk: agent.Disk,
    fsType: string,
    options: readonly string[],
    target: string,
    undo: Undo,
  ): Promise<void> {
    const device = await this.#disks.acquire(disk, undo);
    mkdirSync(target, { recursive: true });
    undo.add(`remove ${target}`, () => rmdirSync(target));
    const { flags, data } = parseMountOptions(options);
    try {
      mount(device.path, target, fsType, disk.readOnly ? flags | MS.RDONLY : flags, data);
    } catch (e) {
      throw mountError(e, disk, fsType);
    }
    undo.add(`unmount ${target}`, () => unmount(target));
  }

  syncCopy(request: agent.SyncCopyRequest): void {
    this.#copies.sync(request);
  }

  async device(disk: agent.Disk | undefined, undo: Undo): Promise<DiskDevice> {
    if (!disk) throw new RunvError(Code.InvalidArgument, 'a block device has no disk');
    return this.#disks.acquire(disk, undo);
  }
}

function assertRelative(path: string, what: string): void {
  const parts = path.split('/');
  if (path === '' || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new RunvError(Code.InvalidArgument, `${what} "${path}" is no plain relative path`);
  }
}

/**
 * A directory of a volume; what is missing of it is made with its parent's mode and owner, as
 * kubelet does on the host. No symbolic link leads out of the volume.
 */
function subDirectory(volume: string, path: string): string {
  assertRelative(path, 'sub_path');
  let found = volume;
  for (const part of path.split('/')) {
    const { mode, uid, gid } = statSync(found);
    found = join(found, part);
    const stats = lstatSync(found, { throwIfNoEntry: false });
    if (stats?.isSymbolicLink()) {
      throw new RunvError(Code.InvalidArgument, `sub_path "${path}": ${part} is a symbolic link`);
    }
    if (stats) continue;
    mkdirSync(found);
    chownSync(found, uid, gid);
    chmodSync(found, mode & 0o7777);
  }
  return found;
}

/** Waits for all, so that nothing goes on behind a failure; then throws the first failure. */
export async function settleAll(steps: readonly Promise<unknown>[]): Promise<void> {
  for (const step of await Promise.allSettled(steps)) {
    if (step.status === 'rejected') throw step.reason;
  }
}

/** What went wrong, in terms of the disk: the kernel's errno alone says little. */
function mountError(e: unknown, disk: agent.Disk, fsType: string): unknown {
  if (!(e instanceof SysError)) return e;
  switch (e.errno) {
    case errnos.EINVAL:
    case errnos.EUCLEAN:
    case errnos.EBADMSG:
    case errnos.EIO: {
      const message = `disk ${disk.serial} has no intact ${fsType} file system: ${e.message}`;
      return new RunvError(Code.DataLoss, message, { cause: e });
    }
    case errnos.ENODEV: {
      const message = `the guest's kernel has no file system ${fsType}: ${e.message}`;
      return new RunvError(Code.InvalidArgument, message, { cause: e });
    }
    default:
      return e;
  }
}

/** Makes what the overlay needs, where the scratch disk came empty. */
function layOut(scratch: string, lower: string): void {
  const upper = join(scratch, 'upper');
  mkdirSync(join(scratch, 'work'), { recursive: true });
  if (existsSync(upper)) return;
  // the merged root has the attributes of the upper one
  const { mode, uid, gid } = statSync(lower);
  mkdirSync(upper);
  chmodSync(upper, mode & 0o7777);
  chownSync(upper, uid, gid);
}

/** Writes out and unmounts, whoever may still be about to leave. */
async function unmount(target: string): Promise<void> {
  // without holding up the agent, which unmounting alone would for as long as writing takes
  await syncFileSystem(target);
  for (const deadline = performance.now() + busyTimeoutMs; ; await sleep(busyPollMs)) {
    try {
      return umount(target);
    } catch (e) {
      if (!(e instanceof SysError) || e.errno !== errnos.EBUSY) throw e;
      if (performance.now() < deadline) continue;
      umount(target, MNT_DETACH);
      throw e;
    }
  }
}

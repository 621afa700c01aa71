import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import type { agent as proto } from '../proto/messages.ts';
import { deviceNumbers, MNT_DETACH, mount, MS, umount } from '../proto/sys.ts';
import type { Undo } from '../proto/undo.ts';
import type { Hypervisor } from './hypervisor/hypervisor.ts';
import type { OciDevice } from './oci.ts';

/** SCSI targets of a virtio-scsi controller. */
const maxTargets = 256;
const undoTimeoutMs = 10_000;

/** Gives a VM disks and shared paths, each with its way back. */
export class Resources {
  readonly #vm: Hypervisor;
  readonly #shareDir: string;
  readonly #targets = new Set<number>();
  #nextSerial = 1;

  /** @param shareDir the directory exported over 9p, in the shim's own mount namespace */
  constructor(vm: Hypervisor, shareDir: string) {
    this.#vm = vm;
    this.#shareDir = shareDir;
  }

  /**
   * Plugs a file or device in and returns how the agent finds it.
   * @throws RunvError ResourceExhausted when all targets are taken
   */
  async disk(
    path: string,
    options: { readOnly: boolean; discard: boolean },
    undo: Undo,
    signal: AbortSignal,
  ): Promise<proto.IDisk> {
    const target = this.#freeTarget();
    this.#targets.add(target);
    undo.add('free SCSI target', () => this.#targets.delete(target));
    const serial = `runv-${this.#nextSerial++}`;
    await this.#vm.attachDisk({ serial, target, path, ...options }, signal);
    undo.add(`unplug disk ${serial}`, () =>
      this.#vm.detachDisk(serial, AbortSignal.timeout(undoTimeoutMs)),
    );
    return { serial, target, readOnly: options.readOnly };
  }

  /**
   * Makes a host file or directory appear below the 9p export.
   * @returns its path relative to the export
   * @throws RunvError NotFound when `source` is not there
   */
  async share(
    source: string,
    name: string,
    { readOnly, isPrivate }: { readonly readOnly: boolean; readonly isPrivate: boolean },
    undo: Undo,
    signal: AbortSignal,
  ): Promise<string> {
    const info = await stat(source).catch((e: unknown) => {
      throw new RunvError(Code.NotFound, `bind mount: ${(e as Error).message}`);
    });
    const target = join(this.#shareDir, name);
    const parent = join(target, '..');
    await mkdir(parent, { recursive: true });
    // Removed with the last of the container's shares.
    undo.add(`remove the directory of ${name}`, () => rmdir(parent).catch(() => undefined));
    if (info.isDirectory()) {
      await mkdir(target);
      undo.add(`remove ${name}`, () => rmdir(target));
    } else {
      await writeFile(target, '', { flag: 'wx' });
      undo.add(`remove ${name}`, () => rm(target));
    }
    // The mount is in the shim's own namespace: it ends with the shim and QEMU, however they end.
    signal.throwIfAborted();
    mount(source, target, null, MS.BIND | MS.REC);
    undo.add(`unmount ${name}`, () => umount(target, MNT_DETACH));
    // Else it follows the host's, as everything does in the shim's namespace.
    if (isPrivate) mount(source, target, null, MS.PRIVATE | MS.REC);
    if (readOnly) mount(source, target, null, MS.BIND | MS.REMOUNT | MS.RDONLY);
    return name;
  }

  #freeTarget(): number {
    for (let target = 0; target < maxTargets; target++) {
      if (!this.#targets.has(target)) return target;
    }
    throw new RunvError(
      Code.ResourceExhausted,
      `all ${maxTargets} disks of the sandbox are in use`,
    );
  }
}

/**
 * The host's node for a block device named by number, and whether it takes no writes.
 * @throws RunvError NotFound when the host has no such device
 */
export function hostBlockDevice({ path, major, minor }: OciDevice): {
  path: string;
  readOnly: boolean;
} {
  const dir = `/sys/dev/block/${Number(major)}:${Number(minor)}`;
  const node = join(dir, 'uevent');
  const name = existsSync(node) && /^DEVNAME=(.+)$/m.exec(readFileSync(node, 'utf8'))?.[1];
  if (!name || basename(name) === '..') {
    throw new RunvError(
      Code.NotFound,
      `device ${path}: the host has no block device ${major}:${minor}`,
    );
  }
  return { path: join('/dev', name), readOnly: takesNoWrites(dir) };
}

/** @param path of a block device */
export function isReadOnlyDevice(path: string): boolean {
  const { major, minor } = deviceNumbers(statSync(path).rdev);
  return takesNoWrites(`/sys/dev/block/${major}:${minor}`);
}

/** @param dir of a device in sysfs */
function takesNoWrites(dir: string): boolean {
  const flag = join(dir, 'ro');
  return existsSync(flag) && readFileSync(flag, 'utf8').trim() === '1';
}

/**
 * Checks that a volume's source can be a disk.
 * @throws RunvError NotFound or InvalidArgument
 */
export function assertDiskSource(source: string, destination: string): void {
  const info = statSync(source, { throwIfNoEntry: false });
  if (!info) throw new RunvError(Code.NotFound, `mount ${destination}: there is no ${source}`);
  if (!info.isBlockDevice() && !info.isFile()) {
    throw new RunvError(
      Code.InvalidArgument,
      `mount ${destination}: ${source} is neither a block device nor an image file`,
    );
  }
}

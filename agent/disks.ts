import {
  closeSync,
  existsSync,
  openSync,
  promises as fs,
  readdirSync,
  readFileSync,
  write,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import { Shared } from '../proto/shared.ts';
import type { Undo } from '../proto/undo.ts';
import type { DeviceNumbers } from './guest-spec.ts';

/** A plugged-in disk in the guest. */
export interface DiskDevice extends DeviceNumbers {
  /** e.g. /dev/sda */
  readonly path: string;
}

export interface Disks {
  /**
   * Finds a disk, which several may hold at once. With its last holder the kernel forgets it, so
   * that the shim can unplug it.
   * @throws RunvError NotFound when there is none at its target, FailedPrecondition when it is
   * another one
   */
  acquire(disk: agent.Disk, undo: Undo): Promise<DiskDevice>;
}

/** Of a virtio-scsi controller. */
const maxTarget = 255;
/** The kernel probes a disk's capacity and makes its node after the scan has returned. */
const defaultProbeTimeoutMs = 10_000;
const probePollMs = 2;

/** Whether the guest has a character device of these numbers. */
export function hasCharDevice(sysfs: string, { major, minor }: DeviceNumbers): boolean {
  return existsSync(join(sysfs, `dev/char/${Number(major)}:${Number(minor)}`));
}

/** Disks of the virtio-scsi controller, probed one by one: the kernel does not scan by itself. */
export class ScsiDisks implements Disks {
  readonly #sysfs: string;
  readonly #dev: string;
  readonly #probeTimeoutMs: number;
  /** By target. */
  readonly #held: Shared<DiskDevice>;

  /**
   * @param sysfs where it is mounted
   * @param dev where the kernel makes device nodes
   * @param probeTimeoutMs from the request to probe until a disk can be opened
   */
  constructor(
    sysfs: string,
    dev: string,
    newUndo: () => Undo,
    probeTimeoutMs = defaultProbeTimeoutMs,
  ) {
    this.#sysfs = sysfs;
    this.#dev = dev;
    this.#held = new Shared(newUndo);
    this.#probeTimeoutMs = probeTimeoutMs;
  }

  async acquire(disk: agent.Disk, undo: Undo): Promise<DiskDevice> {
    const { target } = disk;
    if (target > maxTarget) {
      throw new RunvError(Code.InvalidArgument, `SCSI target ${target} is out of range`);
    }
    const probe = (own: Undo): Promise<DiskDevice> => {
      own.add(`forget the disk at SCSI target ${target}`, () => this.#forget(target));
      return this.#probe(target);
    };
    const device = await this.#held.use(`SCSI target ${target}`, probe, undo);
    this.#verify(disk);
    return device;
  }

  /** The kernel flushes the disk's cache on its way out; a disk that is not there is forgotten. */
  async #forget(target: number): Promise<void> {
    await writeSlowly(join(this.#directory(target), 'delete'), '1').catch(ignoreMissing);
  }

  #directory(target: number): string {
    return join(this.#sysfs, `bus/scsi/devices/0:0:${target}:0`);
  }

  async #probe(target: number): Promise<DiskDevice> {
    // channel, target, LUN of host 0
    await writeSlowly(join(this.#sysfs, 'class/scsi_host/host0/scan'), `0 ${target} 0`);
    for (const deadline = performance.now() + this.#probeTimeoutMs; ; await sleep(probePollMs)) {
      const device = await this.#find(target);
      if (device) return device;
      if (performance.now() > deadline) {
        throw new RunvError(Code.NotFound, `there is no disk at SCSI target ${target}`);
      }
    }
  }

  /** The disk, once it can be opened: its directory and its node are there a moment earlier. */
  async #find(target: number): Promise<DiskDevice | undefined> {
    const block = join(this.#directory(target), 'block');
    const name = namesIn(block)[0];
    if (name === undefined) return undefined;
    const path = join(this.#dev, name);
    const opened = await fs.open(path, 'r').catch(notYet);
    if (!opened) return undefined;
    await opened.close();
    const numbers = readFileSync(join(block, name, 'dev'), 'utf8');
    const [major, minor] = numbers.split(':').map(Number) as [number, number];
    return { path, major, minor };
  }

  /** That the host plugged in what the request means. */
  #verify({ target, serial }: agent.Disk): void {
    const page = readFileSync(join(this.#directory(target), 'vpd_pg80'));
    // SPC-4 7.8.14, unit serial number page: 4 bytes of header, then the number
    const found = page
      .toString('latin1', 4, 4 + page.readUInt16BE(2))
      .replace(/[\0 ]+$/, '')
      .trim();
    if (found === serial) return;
    throw new RunvError(
      Code.FailedPrecondition,
      `the disk at SCSI target ${target} has serial "${found}", not "${serial}"`,
    );
  }
}

const writeFd = promisify(write);

/** Writes to a file of sysfs behind which the kernel talks to a device, without waiting in the kernel. */
async function writeSlowly(path: string, text: string): Promise<void> {
  const fd = openSync(path, 'w');
  try {
    await writeFd(fd, text);
  } finally {
    closeSync(fd);
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (e) {
    notYet(e as NodeJS.ErrnoException);
    return [];
  }
}

function ignoreMissing(e: NodeJS.ErrnoException): undefined {
  if (e.code !== 'ENOENT') throw e;
}

/** ENXIO: there is a node, but the kernel has not registered its device yet. */
function notYet(e: NodeJS.ErrnoException): undefined {
  if (e.code !== 'ENOENT' && e.code !== 'ENXIO') throw e;
}

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import type { DeviceNumbers } from './guest-spec.ts';

/** A disk as the guest's kernel has it. */
export interface GuestDisk extends DeviceNumbers {
  /** e.g. `/dev/sda`. */
  readonly node: string;
}

/** The probe itself is synchronous; the disk driver attaches a moment later. */
const attachTries = 2000;
const attachPollMs = 1;
/** SCSI VPD page 0x80: four bytes of header, then the serial, padded (SPC-4, 7.8.18). */
const vpdHeaderBytes = 4;
const maxTarget = 255;

/** Finds hot-plugged disks of the virtio-scsi controller and lets go of them. */
export class Disks {
  readonly #sys: string;

  /** @param sys mount point of sysfs */
  constructor(sys = '/sys') {
    this.#sys = sys;
  }

  /**
   * Makes the kernel probe one target and returns the disk there.
   * @throws RunvError NotFound when no disk appears, FailedPrecondition when it is another disk
   */
  async attach({ serial, target }: agent.Disk): Promise<GuestDisk> {
    if (target > maxTarget) {
      throw new RunvError(Code.InvalidArgument, `SCSI target ${target} is out of range`);
    }
    const device = this.#device(target);
    // "0 <target> 0": channel, target, LUN. Does nothing when the kernel knows the disk already.
    writeFileSync(join(this.#sys, 'class/scsi_host/host0/scan'), `0 ${target} 0`);
    for (let tries = 0; tries < attachTries; tries++) {
      const name = listOr(join(device, 'block'))[0];
      if (name !== undefined) {
        this.#checkSerial(device, serial);
        const [major = 0, minor = 0] = readFileSync(join(device, 'block', name, 'dev'), 'utf8')
          .split(':')
          .map(Number);
        return { node: `/dev/${name}`, major, minor };
      }
      await sleep(attachPollMs);
    }
    throw new RunvError(Code.NotFound, `disk ${serial} did not appear at SCSI target ${target}`);
  }

  /** Makes the kernel forget a disk that is no longer in use; what it held is written out first. */
  detach({ target }: agent.Disk): void {
    try {
      writeFileSync(join(this.#device(target), 'delete'), '1');
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
    }
  }

  #device(target: number): string {
    return join(this.#sys, 'bus/scsi/devices', `0:0:${target}:0`);
  }

  #checkSerial(device: string, serial: string): void {
    const page = readFileSync(join(device, 'vpd_pg80'));
    const found = page
      .subarray(vpdHeaderBytes)
      .toString('latin1')
      .replace(/[\0 ]+$/, '')
      .trim();
    if (found === serial) return;
    throw new RunvError(
      Code.FailedPrecondition,
      `expected disk ${serial}, found ${JSON.stringify(found)}`,
    );
  }
}

function listOr(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

import type { Duplex } from 'node:stream';

/** A block device or image file that the guest sees as a SCSI disk. */
export interface DiskSource {
  /** What the guest verifies, VPD page 0x80: 1 to 20 characters of [a-z0-9-]. */
  readonly serial: string;
  /** SCSI target, 0 to 255; unique in the VM while attached. */
  readonly target: number;
  /** Absolute host path of a regular file or a block device. */
  readonly path: string;
  readonly readOnly: boolean;
  /** Whether freed blocks go back to the host (discard as unmap). */
  readonly discard: boolean;
}

/** What a VM is powered on with; whatever belongs to one container comes later. */
export interface VmSpec {
  readonly vcpus: number;
  readonly memoryMiB: number;
}

/** What stands behind one of the machine's network devices. */
export interface NetworkDevice {
  /** A tap with virtio headers. */
  readonly fd: number;
  /** /dev/vhost-net, opened for this device; undefined: the VMM copies packets itself. */
  readonly vhostFd: number | undefined;
  /** At power-on; the guest changes it. */
  readonly mac: string;
}

/** How a VM ended: `expected` after `stop`, else the cause in one line. */
export interface VmExit {
  readonly expected: boolean;
  readonly cause: string;
}

/**
 * One virtual machine. Legal order: `launch` once, then anything, then `stop`.
 * Every method but `stop` rejects with Unavailable once the VM has ended.
 */
export interface Hypervisor {
  /** Host pid of the VMM. Legal after `launch`. */
  readonly pid: number;
  /** Resolves once, when the VMM is gone, however it went; never rejects. */
  readonly exited: Promise<VmExit>;
  /** Starts the VMM and powers the machine on. Resolves when the VMM answers, not when the guest does. */
  launch(signal: AbortSignal): Promise<void>;
  /** Resolves when the guest's console has shown a line with these words, now or earlier. */
  untilConsole(words: string, signal: AbortSignal): Promise<void>;
  /** Opens a stream to a vsock port of the guest. Rejects with Unavailable while nothing listens there. */
  connect(port: number, signal: AbortSignal): Promise<Duplex>;
  /** Plugs a disk in. The guest must be told to probe it. */
  attachDisk(disk: DiskSource, signal: AbortSignal): Promise<void>;
  /** Unplugs a disk that the guest no longer uses. Resolves when the VMM has closed its file. */
  detachDisk(serial: string, signal: AbortSignal): Promise<void>;
  /** The last lines of the guest's console, oldest first, for error messages. */
  consoleTail(): readonly string[];
  /** Ends the VM at once; what the guest has synced is on its disks. Idempotent. */
  stop(): Promise<void>;
}

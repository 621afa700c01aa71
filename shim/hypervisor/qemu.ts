import { statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../../proto/error.ts';
import { Undo } from '../../proto/undo.ts';
import { Child, describeExit, eachLine } from '../child.ts';
import type { Log } from '../log.ts';
import type { DiskSource, Hypervisor, NetworkDevice, VmExit, VmSpec } from './hypervisor.ts';
import { qemuArgs } from './qemu-args.ts';
import { Qmp, type QmpEvent } from './qmp.ts';
import { Jail } from './jail.ts';
import { KernelVsock, ProxiedVsock, type Vsock } from './vsock.ts';

/** What a QEMU machine needs of the host. */
export interface QemuOptions extends VmSpec {
  readonly name: string;
  readonly qemu: string;
  readonly accelerator: 'kvm' | 'tcg';
  readonly kernel: string;
  readonly image: string;
  readonly vsock: 'vhost' | 'vhost-user';
  readonly vhostDeviceVsock: string;
  readonly extraKernelArgs: string;
  readonly tscKHz: number | undefined;
  /** Called by `launch`; the descriptors are the caller's, to close when that has ended. */
  readonly network: () => readonly NetworkDevice[];
  /** Whom VMM and helpers run as. */
  readonly uid: number;
  /** An empty directory for the VMM's view of the file system, in a mount namespace of our own. */
  readonly jailDir: string;
  /** Holds the sockets of helpers, which run as another user. */
  readonly socketDir: string;
  /** Environment of every process started. */
  readonly env: NodeJS.ProcessEnv;
}

const consoleLines = 40;
const lastWordsMs = 500;
/** In QEMU; what else it inherits follows: vsock, then the network. */
const qmpFd = 3;
/** QEMU says nothing for long only when it hangs. */
const qmpTimeoutMs = 10_000;

/** A QEMU `microvm` driven over QMP. */
export class Qemu implements Hypervisor {
  readonly exited: Promise<VmExit>;
  readonly #exit = Promise.withResolvers<VmExit>();
  readonly #options: QemuOptions;
  readonly #log: Log;
  readonly #console: string[] = [];
  readonly #stderr: string[] = [];
  readonly #onConsole = new Set<(line: string) => void>();
  #vsock: Vsock | undefined;
  #child: Child | undefined;
  #jail: Jail | undefined;
  #qmp: Qmp | undefined;
  #cause: string | undefined;
  #stopping = false;

  constructor(options: QemuOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    this.exited = this.#exit.promise;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async launch(signal: AbortSignal): Promise<void> {
    try {
      await this.#launch(signal);
    } catch (e) {
      const child = this.#child;
      if (!child) {
        this.#exit.resolve({ expected: this.#stopping, cause: (e as Error).message });
        throw e;
      }
      // One that ends by itself says why: give it the time.
      await Promise.race([child.exited, sleep(lastWordsMs, undefined, { ref: false })]);
      const endedItself = child.exit !== undefined;
      await child.stop(0);
      const { cause } = await this.exited;
      if (signal.aborted && !endedItself) throw e;
      throw new RunvError(Code.Unavailable, `the virtual machine did not start: ${cause}`, {
        cause: e,
      });
    }
  }

  async #launch(signal: AbortSignal): Promise<void> {
    this.#assertWanted();
    const o = this.#options;
    await using undo = new Undo((err, what) => this.#log.warn({ err, what }, 'undo failed'));
    const jail = new Jail(o.jailDir, o.uid);
    this.#jail = jail;
    const vsock =
      o.vsock === 'vhost'
        ? KernelVsock.claim()
        : await ProxiedVsock.start(
            o.vhostDeviceVsock,
            join(o.socketDir, 'vm'),
            jail,
            o.env,
            this.#log,
            signal,
          );
    this.#vsock = vsock;
    undo.add('stop vsock', () => vsock.stop());
    const kernel = jail.exposeFile(o.kernel, 'boot/vmlinux', true);
    const image = jail.exposeFile(o.image, 'boot/rootfs.erofs', true);
    if (o.accelerator === 'kvm') jail.exposeDevice('/dev/kvm', 'dev/kvm');
    const [command = '', ...words] = [...jail.command('export'), jail.program(o.qemu)];
    const inherited: (Socket | number)[] = [...vsock.inherited];
    const inherit = (fd: number) => qmpFd + inherited.push(fd);
    const network = o.network().map((device) => ({
      ...device,
      fd: inherit(device.fd),
      vhostFd: device.vhostFd === undefined ? undefined : inherit(device.vhostFd),
    }));
    const args = qemuArgs({ ...o, kernel, image, vsock: vsock.backend, network, qmpFd });
    this.#assertWanted();
    const child = await Child.start(command, [...words, ...args], {
      // 'pipe' at qmpFd is a socket pair: QMP without a socket file that could be left behind.
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...inherited],
      env: o.env,
    });
    vsock.handedOver();
    this.#child = child;
    undo.move(); // what the child's exit does from here on
    void child.exited.then(async (exit) => {
      this.#qmp?.close();
      await vsock.stop();
      const cause = this.#cause ?? `QEMU ${describeExit(exit)}${this.#lastWords()}`;
      this.#exit.resolve({ expected: this.#stopping, cause });
    });
    this.#watchOutput(child);
    this.#assertWanted();
    const qmp = new Qmp(child.process.stdio[qmpFd] as Socket);
    this.#qmp = qmp;
    qmp.onEvent((event) => this.#onEvent(event));
    await abortable(qmp.negotiate(), signal);
    if (this.#log.isLevelEnabled('debug')) {
      this.#log.debug({ kvm: await this.#execute('query-kvm', signal) }, 'accelerator');
    }
  }

  /** `stop` may have been called at any time since the launch began. */
  #assertWanted(): void {
    if (!this.#stopping) return;
    throw new RunvError(Code.Canceled, 'the virtual machine was stopped while it started');
  }

  async untilConsole(words: string, signal: AbortSignal): Promise<void> {
    if (this.#console.some((line) => line.includes(words))) return;
    let look: ((line: string) => void) | undefined;
    const shown = new Promise<void>((resolve) => {
      look = (line) => line.includes(words) && resolve();
      this.#onConsole.add(look);
    });
    try {
      await abortable(shown, signal);
    } finally {
      if (look) this.#onConsole.delete(look);
    }
  }

  async connect(port: number, signal: AbortSignal): Promise<Duplex> {
    if (!this.#vsock || this.#child?.exit) throw this.#ended();
    return this.#vsock.connect(port, signal);
  }

  async attachDisk(disk: DiskSource, signal: AbortSignal): Promise<void> {
    const jail = this.#jail;
    if (!jail) throw this.#ended();
    const isDevice = statSync(disk.path).isBlockDevice();
    const name = `disks/${disk.serial}`;
    await using undo = new Undo((err, what) => this.#log.warn({ err, what }, 'undo failed'));
    const filename = isDevice
      ? jail.exposeDevice(disk.path, name)
      : jail.exposeFile(disk.path, name, disk.readOnly);
    undo.add('withdraw the file', () => jail.withdraw(name));
    const node = `disk-${disk.serial}`;
    await this.#execute('blockdev-add', signal, {
      driver: isDevice ? 'host_device' : 'file',
      'node-name': node,
      filename,
      'read-only': disk.readOnly,
      discard: disk.discard ? 'unmap' : 'ignore',
      // A file that two VMs write to is lost; a read-only image is shared by many.
      locking: disk.readOnly || isDevice ? 'off' : 'on',
    });
    undo.add('close the file', () =>
      this.#execute('blockdev-del', AbortSignal.timeout(qmpTimeoutMs), { 'node-name': node }),
    );
    await this.#execute('device_add', signal, {
      driver: 'scsi-hd',
      id: `scsi-${disk.serial}`,
      drive: node,
      serial: disk.serial,
      bus: 'scsi.0',
      'scsi-id': disk.target,
      lun: 0,
    }).catch((e: unknown) => {
      if (!/Failed to get "\w+" lock/.test((e as Error).message)) throw e;
      const message = `${disk.path}: another sandbox has it open and writes to it`;
      throw new RunvError(Code.FailedPrecondition, message, { cause: e });
    });
    undo.move();
  }

  async detachDisk(serial: string, signal: AbortSignal): Promise<void> {
    const qmp = this.#qmp;
    if (!qmp) throw this.#ended();
    const id = `scsi-${serial}`;
    const gone = new Promise<void>((resolve) => {
      const off = qmp.onEvent((event) => {
        if (event.event !== 'DEVICE_DELETED' || event.data['device'] !== id) return;
        off();
        resolve();
      });
      signal.addEventListener('abort', off, { once: true });
    });
    await this.#execute('device_del', signal, { id });
    await abortable(gone, signal);
    await this.#execute('blockdev-del', signal, { 'node-name': `disk-${serial}` });
    this.#jail?.withdraw(`disks/${serial}`);
  }

  consoleTail(): readonly string[] {
    return this.#console;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (!this.#child) return; // a launch under way sees it
    // No SIGTERM: QEMU would not tell the guest anyway, and what is synced is on the disks.
    await this.#child.stop(0);
    await this.exited;
  }

  /** Ends a VM that has gone wrong; `cause` is what `exited` then tells. */
  #abandon(cause: string): void {
    this.#cause ??= cause;
    void this.#child?.stop(0);
  }

  #onEvent(event: QmpEvent): void {
    switch (event.event) {
      case 'GUEST_PANICKED':
        return this.#abandon(`the guest kernel panicked${this.#lastWords()}`);
      case 'SHUTDOWN':
        // With -no-reboot a panic (panic=-1) and an agent that gives up both arrive here.
        this.#cause ??= `the guest went down${this.#lastWords()}`;
        return;
      case 'STOP':
        // Nothing of ours pauses a VM: KVM could not run the guest (QEMU stays alive then).
        return this.#abandon(`QEMU stopped the virtual machine${this.#lastWords()}`);
    }
  }

  #watchOutput(child: Child): void {
    const keep = (lines: string[], line: string) => {
      lines.push(line);
      if (lines.length > consoleLines) lines.shift();
    };
    if (child.process.stdout) {
      eachLine(child.process.stdout, (line) => {
        keep(this.#console, line);
        for (const look of this.#onConsole) look(line);
        this.#log.debug({ line }, 'guest console');
      });
    }
    if (child.process.stderr) {
      eachLine(child.process.stderr, (line) => {
        keep(this.#stderr, line);
        this.#log.warn({ line }, 'qemu');
      });
    }
  }

  #lastWords(): string {
    const words = this.#stderr.at(-1) ?? this.#console.findLast((l) => /panic|fatal/i.test(l));
    return words === undefined ? '' : `: ${words}`;
  }

  #ended(): RunvError {
    return new RunvError(Code.Unavailable, 'the virtual machine is not running');
  }

  async #execute(
    command: string,
    signal: AbortSignal,
    args?: Readonly<Record<string, unknown>>,
  ): Promise<unknown> {
    if (!this.#qmp) throw this.#ended();
    return abortable(this.#qmp.execute(command, args), signal);
  }
}

/** Waits no longer than `signal`; what was waited for goes on. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort) signal.removeEventListener('abort', onAbort);
  }
}

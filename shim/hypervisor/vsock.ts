import { randomInt } from 'node:crypto';
import { chownSync, closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../../proto/error.ts';
import { connectVsock, control, errnos, orClose, SysError } from '../../proto/sys.ts';
import { Child, describeExit, eachLine } from '../child.ts';
import type { Log } from '../log.ts';
import type { Jail } from './jail.ts';
import type { VsockBackend } from './qemu-args.ts';

/** The host's end of one guest's vsock device. */
export interface Vsock {
  readonly backend: VsockBackend;
  /** Streams that QEMU inherits as descriptors 4 and up, to which `backend` refers. */
  readonly inherited: readonly (Socket | number)[];
  /** Closes our side of `inherited`. Call once QEMU runs. */
  handedOver(): void;
  /** Rejects with Unavailable while the guest does not listen on `port`. */
  connect(port: number, signal: AbortSignal): Promise<Duplex>;
  stop(): Promise<void>;
}

/** Any CID does: each guest has a proxy of its own, which knows no other guest. */
const proxiedCid = 3;

/**
 * vsock through a vhost-device-vsock process, for hosts whose kernel has no vhost-vsock. The proxy
 * serves `CONNECT <port>` on a Unix socket, the handshake that Firecracker introduced.
 */
export class ProxiedVsock implements Vsock {
  readonly backend: VsockBackend;
  readonly inherited: readonly Socket[];
  readonly #child: Child;
  readonly #hostSocket: string;

  private constructor(child: Child, device: Socket, hostSocket: string) {
    this.#child = child;
    this.#hostSocket = hostSocket;
    this.inherited = [device];
    this.backend = { kind: 'vhost-user', fd: 4 };
  }

  /**
   * @param program path of vhost-device-vsock
   * @param dir for its two sockets; short, as a socket's path has 107 bytes at most
   * @throws RunvError Unavailable when the proxy does not come up
   */
  static async start(
    program: string,
    dir: string,
    jail: Jail,
    env: NodeJS.ProcessEnv,
    log: Log,
    signal: AbortSignal,
  ): Promise<ProxiedVsock> {
    // A proxy of a VM that has ended leaves its sockets behind.
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { mode: 0o700 });
    chownSync(dir, jail.uid, jail.uid);
    const inside = jail.exposeDirectory(dir, 'vsock');
    const vm = `guest-cid=${proxiedCid},socket=${inside}/vhost,uds-path=${inside}/guest`;
    const words = [...jail.command('none'), jail.program(program), '--vm', vm];
    const [command = '', ...args] = words;
    const child = await Child.start(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
    if (child.process.stderr) {
      eachLine(child.process.stderr, (line) => log.debug({ line }, 'vhost-device-vsock'));
    }
    try {
      for (;;) {
        const device = await tryConnect(join(dir, 'vhost'));
        if (device) return new ProxiedVsock(child, device, join(dir, 'guest'));
        if (child.exit) {
          const how = describeExit(child.exit);
          throw new RunvError(Code.Unavailable, `vhost-device-vsock ${how} before it listened`);
        }
        await sleep(1, undefined, { signal });
      }
    } catch (e) {
      await child.stop(0);
      throw e;
    }
  }

  handedOver(): void {
    for (const socket of this.inherited) socket.destroy();
  }

  connect(port: number, signal: AbortSignal): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const socket = connect(this.#hostSocket);
      let answer = Buffer.alloc(0);
      const done = () => {
        socket.off('error', fail).off('close', fail).off('readable', onReadable);
        signal.removeEventListener('abort', fail);
      };
      const fail = () => {
        done();
        socket.on('error', () => undefined);
        socket.destroy();
        reject(
          signal.aborted
            ? (signal.reason as Error)
            : new RunvError(Code.Unavailable, `the guest does not listen on vsock port ${port}`),
        );
      };
      // The answer is one line, `OK <host port>`; what follows it belongs to the stream.
      const onReadable = () => {
        for (;;) {
          const byte = socket.read(1) as Buffer | null;
          if (byte === null) return;
          answer = Buffer.concat([answer, byte]);
          if (byte[0] === 10) break;
          if (answer.length > 32) return fail();
        }
        if (!answer.toString('latin1').startsWith('OK ')) return fail();
        done();
        resolve(socket);
      };
      socket.on('error', fail).on('close', fail).on('readable', onReadable);
      signal.addEventListener('abort', fail, { once: true });
      socket.write(`CONNECT ${port}\n`);
    });
  }

  async stop(): Promise<void> {
    await this.#child.stop(0);
  }
}

/** A connection, or undefined while nothing listens. */
function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket)).once('error', () => resolve(undefined));
  });
}

/** linux/vhost.h: _IOW(VHOST_VIRTIO, 0x60, __u64) */
const VHOST_VSOCK_SET_GUEST_CID = 0x4008af60;
/** Context ids 0 to 2 have fixed meanings (linux/vm_sockets.h); two guests may not share one. */
const cidRange = [3, 0x7fff_ffff] as const;
const cidTries = 32;

/**
 * vsock by the kernel's vhost-vsock. The shim claims the CID itself, on the descriptor that QEMU
 * inherits: a conflict with another guest shows before QEMU runs, and QEMU needs no right to
 * open the device.
 */
export class KernelVsock implements Vsock {
  readonly backend: VsockBackend;
  readonly inherited: readonly number[];
  readonly #cid: number;
  #open = true;

  private constructor(fd: number, cid: number) {
    this.inherited = [fd];
    this.#cid = cid;
    this.backend = { kind: 'vhost', cid, fd: 4 };
  }

  /**
   * @param nextCid draws a candidate
   * @throws RunvError Unavailable when the device cannot be opened, ResourceExhausted when every
   *   candidate is taken
   */
  static claim(nextCid: () => number = () => randomInt(...cidRange)): KernelVsock {
    let fd: number;
    try {
      fd = openSync('/dev/vhost-vsock', 'r+');
    } catch (e) {
      throw new RunvError(Code.Unavailable, `cannot use vhost-vsock: ${(e as Error).message}`);
    }
    return orClose(fd, () => {
      for (let tries = 0; tries < cidTries; tries++) {
        const cid = nextCid();
        const argument = new Uint8Array(new BigUint64Array([BigInt(cid)]).buffer);
        try {
          control(fd, VHOST_VSOCK_SET_GUEST_CID, argument, `claim CID ${cid}`);
          return new KernelVsock(fd, cid);
        } catch (e) {
          if (!(e instanceof SysError) || e.errno !== errnos.EADDRINUSE) throw e;
        }
      }
      throw new RunvError(Code.ResourceExhausted, `${cidTries} CIDs tried, all are in use`);
    });
  }

  handedOver(): void {
    if (this.#open) for (const fd of this.inherited) closeSync(fd);
    this.#open = false;
  }

  connect(port: number, signal: AbortSignal): Promise<Duplex> {
    return connectVsock(this.#cid, port, signal);
  }

  async stop(): Promise<void> {
    this.handedOver();
  }
}

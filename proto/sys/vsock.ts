/** AF_VSOCK: linux/vm_sockets.h. */
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import koffi from 'koffi';
import { errnos, SysError } from './errno.ts';
import {
  bindSocket,
  check,
  O_NONBLOCK,
  openHandle,
  openSocket,
  orClose,
  type PipeHandle,
  streamFromFd,
  streamFromHandle,
} from './fd.ts';
import { lastErrno, native } from './libc.ts';

const AF_VSOCK = 40;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const addressBytes = 16;
const backlog = 128;

/** The machine that runs the virtual machines. */
export const hostCid = 2;
/** To listen on: whatever this machine's own is. */
export const anyCid = 0xffffffff;

const cConnect = native<(fd: number, address: Uint8Array, length: number) => number>(
  'int connect(int, const void *, unsigned int)',
);
const cGetpeername = native<(fd: number, address: Uint8Array, length: Uint32Array) => number>(
  'int getpeername(int, void *, void *)',
);
const cGetsockopt = native<
  (fd: number, level: number, name: number, value: Int32Array, length: Uint32Array) => number
>('int getsockopt(int, int, int, void *, void *)');

/** struct sockaddr_vm: family, reserved, port, cid, flags. */
function vsockAddress(cid: number, port: number): Buffer {
  const address = Buffer.alloc(addressBytes);
  address.writeUInt16LE(AF_VSOCK, 0);
  address.writeUInt32LE(port, 4);
  address.writeUInt32LE(cid, 8);
  return address;
}

/** Something that listens until closed. */
export interface Listener {
  close(): void;
}

/**
 * Listens on a vsock port. Connections of peers other than `peerCid` are closed unread.
 * @throws SysError, EADDRINUSE among them
 */
export function listenVsock(
  port: number,
  peerCid: number,
  onConnection: (connection: Socket) => void,
): Listener {
  const fd = openSocket(AF_VSOCK, SOCK_STREAM);
  const what = `listen on vsock port ${port}`;
  const server = orClose(fd, () => {
    bindSocket(fd, vsockAddress(anyCid, port), what);
    return openHandle(fd, 'SERVER');
  });
  server.onconnection = (status, client) => {
    if (status < 0 || !client) return;
    if (cidOfPeer(client) === peerCid) {
      onConnection(streamFromHandle(client));
    } else {
      client.close();
    }
  };
  const error = server.listen(backlog);
  if (error < 0) {
    server.close();
    throw new SysError(what, -error);
  }
  return server;
}

function cidOfPeer(client: PipeHandle): number | undefined {
  const address = Buffer.alloc(addressBytes);
  const failed = cGetpeername(client.fd, address, new Uint32Array([addressBytes])) < 0;
  return failed ? undefined : address.readUInt32LE(8);
}

/**
 * Connects to a guest (or from a guest to `hostCid`). A guest that runs but has nobody listening
 * refuses at once; one that has not got so far lets the call wait, the kernel for at most 2 s.
 * @throws SysError Unavailable: refused, unreachable or timed out
 * @throws the reason of `signal` when it aborts first
 */
export async function connectVsock(
  cid: number,
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  signal.throwIfAborted();
  const what = `connect to vsock ${cid}:${port}`;
  const fd = openSocket(AF_VSOCK, SOCK_STREAM | O_NONBLOCK);
  try {
    if (cConnect(fd, vsockAddress(cid, port), addressBytes) < 0) {
      const errno = lastErrno();
      if (errno !== errnos.EINPROGRESS) throw new SysError(what, errno);
      await writable(fd, signal);
      const error = new Int32Array(1);
      check(cGetsockopt(fd, SOL_SOCKET, SO_ERROR, error, new Uint32Array([4])), what);
      if (error[0] !== 0) throw new SysError(what, error[0] as number);
    }
  } catch (e) {
    closeSync(fd);
    throw e;
  }
  return streamFromFd(fd);
}

/** Resolves when `fd` can be written to or has failed. */
async function writable(fd: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const poll = koffi.node.poll(fd, { writable: true }, () => resolve());
  const abort = () => reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await promise;
  } finally {
    signal.removeEventListener('abort', abort);
    poll.close();
  }
}

/** File descriptors: pipes, terminals, descriptors received from another process. */
import { closeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import koffi from 'koffi';
import { Code, RunvError } from '../error.ts';
import { errnos, SysError } from './errno.ts';
import { lastErrno, native, type Pointer } from './libc.ts';

/** asm-generic/fcntl.h: O_CLOEXEC, O_NONBLOCK; SOCK_CLOEXEC and SOCK_NONBLOCK are the same bits. */
export const O_CLOEXEC = 0o2000000;
export const O_NONBLOCK = 0o4000;

const pipe2 = native<(fds: Int32Array, flags: number) => number>('int pipe2(void *, int)');
const ioctl = native<(fd: number, request: number, argument: Pointer) => number>(
  'int ioctl(int, unsigned long, void *)',
);
const poll = native<(fds: Uint8Array, count: number, timeoutMs: number) => number>(
  'int poll(void *, unsigned long, int)',
);
const cSocket = native<(domain: number, type: number, protocol: number) => number>(
  'int socket(int, int, int)',
);
const cBind = native<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int, const void *, unsigned int)',
);
const cListen = native<(fd: number, backlog: number) => number>('int listen(int, int)');
const cAccept4 = native<(fd: number, address: null, length: null, flags: number) => number>(
  'int accept4(int, void *, void *, int)',
);
const recvmsg = native<(fd: number, message: Uint8Array, flags: number) => number>(
  'long recvmsg(int, void *, int)',
);

const cFlock = native<(fd: number, operation: number) => number>('int flock(int, int)');

/** @throws SysError named `what` when `result` says that the call before failed */
export function check(result: number, what: string): number {
  if (result < 0) throw new SysError(what, lastErrno());
  return result;
}

/** Runs `use` and closes `fd` when that throws. */
export function orClose<T>(fd: number, use: () => T): T {
  try {
    return use();
  } catch (e) {
    closeSync(fd);
    throw e;
  }
}

/** An ioctl. @throws SysError named `what` */
export function control(fd: number, request: number, argument: Pointer, what: string): void {
  check(ioctl(fd, request, argument), what);
}

/** asm-generic/fcntl.h */
const [LOCK_EX, LOCK_NB] = [2, 4];

/** flock(2), for as long as `fd` is open. @returns false when another has it */
export function tryLock(fd: number): boolean {
  if (cFlock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const errno = lastErrno();
  if (errno === errnos.EAGAIN) return false;
  throw new SysError('lock', errno);
}

/** A pipe. Both ends are blocking and close on exec; a child gets one by its `stdio` option. */
export function pipe(): { readFd: number; writeFd: number } {
  const fds = new Int32Array(2);
  check(pipe2(fds, O_CLOEXEC), 'make a pipe');
  return { readFd: fds[0] as number, writeFd: fds[1] as number };
}

/** What libuv's pipe handle offers here; Node's own net module uses it the same way. */
export interface PipeHandle {
  readonly fd: number;
  open(fd: number): number | undefined;
  listen(backlog: number): number;
  onconnection: (status: number, client: PipeHandle | undefined) => void;
  close(): void;
}

interface PipeWrap {
  Pipe: new (type: number) => PipeHandle;
  constants: { SOCKET: number; SERVER: number };
}

/**
 * A libuv pipe handle around any stream descriptor, which it makes non-blocking. net.Socket's `fd`
 * option refuses what it cannot classify (AF_VSOCK) or takes for a terminal (a pty's master).
 */
export function openHandle(fd: number, type: 'SOCKET' | 'SERVER'): PipeHandle {
  // deprecated in documentation only; there is no public way to a handle
  const internals = process as unknown as { binding(name: string): PipeWrap };
  const { Pipe, constants } = internals.binding('pipe_wrap');
  const handle = new Pipe(constants[type]);
  const error = handle.open(fd) ?? 0;
  if (error < 0) throw new SysError(`open descriptor ${fd} as a stream`, -error);
  return handle;
}

/** A stream over a libuv handle, which net.Socket takes though its types do not say so. */
export function streamFromHandle(handle: PipeHandle, options: SocketConstructorOpts = {}): Socket {
  return new Socket({ ...options, handle } as object);
}

/**
 * A stream that owns `fd`: the end of a pipe, a pty's master, a connected socket.
 * @throws SysError; `fd` is closed then
 */
export function streamFromFd(fd: number, options: SocketConstructorOpts = {}): Socket {
  return streamFromHandle(
    orClose(fd, () => openHandle(fd, 'SOCKET')),
    options,
  );
}

/** asm-generic/ioctls.h */
const FIONREAD = 0x541b;
const TIOCSWINSZ = 0x5414;

/** Bytes that a pipe or terminal holds for its reader. */
export function bytesAvailable(fd: number): number {
  const count = new Int32Array(1);
  control(fd, FIONREAD, new Uint8Array(count.buffer), `ask what descriptor ${fd} holds`);
  return count[0] as number;
}

/** asm-generic/poll.h */
const POLLHUP = 0x10;

/** Whether every other end has been closed: the reader finds the end after what is still held. */
export function hungUp(fd: number): boolean {
  const pollFd = new DataView(new ArrayBuffer(8));
  pollFd.setInt32(0, fd, true);
  const bytes = new Uint8Array(pollFd.buffer);
  return check(poll(bytes, 1, 0), `poll descriptor ${fd}`) > 0 && ((bytes[6] ?? 0) & POLLHUP) > 0;
}

/** Sets the size of the terminal whose master is `fd`. */
export function setWindowSize(fd: number, columns: number, rows: number): void {
  const size = new Uint8Array(new Uint16Array([rows, columns, 0, 0]).buffer);
  control(fd, TIOCSWINSZ, size, `set the terminal's size to ${columns}x${rows}`);
}

/** A new socket, which closes on exec. */
export function openSocket(domain: number, type: number): number {
  return check(cSocket(domain, type | O_CLOEXEC, 0), `open a socket of family ${domain}`);
}

/** Binds a socket to a raw `struct sockaddr`. @throws SysError named `what` */
export function bindSocket(fd: number, address: Uint8Array, what: string): void {
  check(cBind(fd, address, address.length), what);
}

/** linux/socket.h */
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** sizeof(sockaddr_un.sun_path) */
const maxUnixPath = 107;

/**
 * Listens where one process will hand over a descriptor (runc's --console-socket).
 * @param path at most 107 bytes, must not exist
 * @returns a non-blocking descriptor, the caller's to close, for `acceptDescriptor`
 */
export function listenForDescriptor(path: string): number {
  const name = Buffer.from(path);
  if (name.length > maxUnixPath) {
    throw new RunvError(Code.InvalidArgument, `socket path longer than ${maxUnixPath}: ${path}`);
  }
  const fd = openSocket(AF_UNIX, SOCK_STREAM | O_NONBLOCK);
  const address = Buffer.concat([new Uint8Array(new Uint16Array([AF_UNIX]).buffer), name]);
  return orClose(fd, () => {
    const what = `listen on ${path}`;
    bindSocket(fd, Buffer.concat([address, Buffer.alloc(1)]), what);
    check(cListen(fd, 1), what);
    return fd;
  });
}

/**
 * Takes the descriptor from a process that has connected and sent it already.
 * @throws SysError EAGAIN when none has connected
 * @throws RunvError Internal when it sent no descriptor
 */
export function acceptDescriptor(listener: number): number {
  const fd = check(
    cAccept4(listener, null, null, O_CLOEXEC | O_NONBLOCK),
    'accept the connection that brings a descriptor',
  );
  try {
    return receiveDescriptor(fd);
  } finally {
    closeSync(fd);
  }
}

/** One message with one descriptor. Layout: struct msghdr, struct cmsghdr in linux/socket.h. */
function receiveDescriptor(fd: number): number {
  const data = Buffer.alloc(4096);
  const controlData = Buffer.alloc(24);
  const vector = new BigUint64Array([koffi.address(data), BigInt(data.length)]);
  const vectorBytes = Buffer.from(vector.buffer);
  const message = new BigUint64Array([
    0n, // msg_name
    0n, // msg_namelen
    koffi.address(vectorBytes),
    1n, // msg_iovlen
    koffi.address(controlData),
    BigInt(controlData.length),
    0n, // msg_flags
  ]);
  check(recvmsg(fd, Buffer.from(message.buffer), MSG_CMSG_CLOEXEC), 'receive a descriptor');
  const [level, type] = [controlData.readInt32LE(8), controlData.readInt32LE(12)];
  if (level !== SOL_SOCKET || type !== SCM_RIGHTS) {
    throw new RunvError(Code.Internal, 'the message that should bring a descriptor has none');
  }
  return controlData.readInt32LE(16);
}

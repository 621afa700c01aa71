/** What a failed system call becomes. */
import { getSystemErrorName } from 'node:util';
import { Code, RunvError } from '../error.ts';
import { native } from './libc.ts';

/** Those that are told apart here: asm-generic/errno-base.h, asm-generic/errno.h. */
export const errnos = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EIO: 5,
  ENXIO: 6,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOSPC: 28,
  EBADMSG: 74,
  EADDRINUSE: 98,
  ECONNRESET: 104,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  EINPROGRESS: 115,
  EUCLEAN: 117,
} as const;

const codeOfErrno: Readonly<Record<number, Code>> = {
  [errnos.EPERM]: Code.PermissionDenied,
  [errnos.ENOENT]: Code.NotFound,
  [errnos.ESRCH]: Code.NotFound,
  [errnos.ENXIO]: Code.Unavailable,
  [errnos.ENOMEM]: Code.ResourceExhausted,
  [errnos.EACCES]: Code.PermissionDenied,
  [errnos.EBUSY]: Code.FailedPrecondition,
  [errnos.EEXIST]: Code.AlreadyExists,
  [errnos.ENODEV]: Code.Unavailable,
  [errnos.EINVAL]: Code.InvalidArgument,
  [errnos.ENFILE]: Code.ResourceExhausted,
  [errnos.EMFILE]: Code.ResourceExhausted,
  [errnos.ENOSPC]: Code.ResourceExhausted,
  [errnos.EADDRINUSE]: Code.AlreadyExists,
  [errnos.ECONNRESET]: Code.Unavailable,
  [errnos.ENOTCONN]: Code.Unavailable,
  [errnos.ETIMEDOUT]: Code.Unavailable,
  [errnos.ECONNREFUSED]: Code.Unavailable,
  [errnos.EHOSTUNREACH]: Code.Unavailable,
};

const strerror = native<(errno: number) => string>('const char *strerror(int)');

/** A system call that failed. */
export class SysError extends RunvError {
  /** Positive, see `errnos`. */
  readonly errno: number;

  /** @param what was tried, and on what: "mount /dev/sda on /x" */
  constructor(what: string, errno: number) {
    const name = getSystemErrorName(-errno);
    // libuv does not know every errno; the C library does
    const known = name.startsWith('E') ? name : `errno ${errno}`;
    super(codeOfErrno[errno] ?? Code.Internal, `${what}: ${strerror(errno)} (${known})`);
    this.errno = errno;
  }
}

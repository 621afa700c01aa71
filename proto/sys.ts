/**
 * System calls that Node does not offer: the only modules that make them are these, through koffi.
 * Importing this one loads koffi (some 10 ms): where it may not be needed, import it dynamically.
 *
 * A call that fails throws SysError: a code for the wire, the errno for the caller, and a message
 * that names what was tried.
 */
export * from './sys/bpf.ts';
export * from './sys/errno.ts';
export * from './sys/fd.ts';
export * from './sys/machine.ts';
export * from './sys/mount.ts';
export * from './sys/netlink.ts';
export * from './sys/packet.ts';
export * from './sys/process.ts';
export * from './sys/vsock.ts';

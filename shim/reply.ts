import { Code, RunvError } from '../proto/error.ts';
import type { Version } from './containerd-version.ts';

/** What `start` answers and the daemon serves. */
export type Protocol = 'ttrpc' | 'grpc';

/**
 * The answer of `start` (containerd, runtime/v2 README, "Bootstrap protocol"): JSON, which says
 * the version of the task API and the protocol, or the plain address alone: version 2 over ttrpc.
 * 2.x takes version 3; 1.7 refuses it, and knows the JSON; 1.6 knows the plain address.
 * @param address `unix://` and the socket's path
 * @param containerd its version
 * @throws RunvError InvalidArgument for gRPC with a containerd that cannot speak it
 */
export function startReply(address: string, protocol: Protocol, containerd: Version): string {
  const { major, minor } = containerd;
  const version = major >= 2 ? 3 : 2;
  // for gRPC containerd dials the address as a path
  const path = address.replace(/^unix:\/\//, '');
  if (protocol === 'ttrpc' && version === 2) return address;
  if (major > 1 || minor >= 7) {
    return JSON.stringify({ version, address: protocol === 'grpc' ? path : address, protocol });
  }
  throw new RunvError(
    Code.InvalidArgument,
    'containerd_protocol = "grpc" needs containerd 1.7: this one speaks ttrpc to its shims',
  );
}

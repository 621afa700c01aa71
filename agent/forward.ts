import { connect, type Socket } from 'node:net';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import { readFrames, writeFrames } from '../proto/stdio-stream.ts';
import type { Log } from './log.ts';
import type { Streams } from './streams.ts';

/**
 * Connects to a port of the guest's loopback address and copies both ways until both have ended.
 * Resolves when it is connected.
 * @throws RunvError Unavailable when nothing listens there
 */
export async function forward(
  { port, toGuest, fromGuest }: agent.ForwardRequest,
  streams: Streams,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  if (port < 1 || port > 65535) {
    throw new RunvError(Code.InvalidArgument, `${port} is no TCP port`);
  }
  // containers listen on either version, and programs that say "localhost" try both
  const socket = await local('127.0.0.1', port).catch(() => local('::1', port));
  socket.on('error', () => undefined);
  try {
    const [incoming, outgoing] = await Promise.all([
      streams.take(toGuest, signal),
      streams.take(fromGuest, signal),
    ]);
    const broken = (err: unknown) => {
      log.info({ err, port }, 'forwarded connection ended early');
      socket.destroy();
    };
    void readFrames(incoming, socket).then(() => socket.end(), broken);
    void writeFrames(socket, outgoing).catch(broken);
  } catch (e) {
    socket.destroy();
    throw e;
  }
}

function local(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    const refused = (e: Error) =>
      reject(new RunvError(Code.Unavailable, `port ${port} of the pod: ${e.message}`));
    socket.once('error', refused).once('connect', () => {
      socket.off('error', refused);
      resolve(socket);
    });
  });
}

import { closeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { readFrames, streamHello, writeFrames } from '../../proto/stdio-stream.ts';
import { catchLoopback } from '../../proto/sys.ts';

/** Takes what connects to a port of the pod's loopback addresses, and owns the connection then. */
export type OnConnection = (connection: Socket, port: number) => void;

/**
 * What listens in the pod's network namespace on the host for the guest: whoever connects there to
 * a loopback address, as containerd does to forward a port, means a server in the pod.
 */
export class PortForward {
  readonly #servers: readonly Server[];
  readonly #link: number;

  private constructor(servers: readonly Server[], link: number) {
    this.#servers = servers;
    this.#link = link;
  }

  /** @throws Error where the kernel or the namespace cannot do it */
  static async start(onConnection: OnConnection): Promise<PortForward> {
    const servers: Server[] = [];
    try {
      for (const host of ['127.0.0.1', '::1']) {
        const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (connection) => {
          connection.on('error', () => undefined);
          onConnection(connection, connection.localPort ?? 0);
        });
        servers.push(server);
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject).listen({ host, port: 0 }, resolve);
        });
      }
      const [v4 = -1, v6 = -1] = servers.map(
        (server) => (server as unknown as { _handle: { fd: number } })._handle.fd,
      );
      return new PortForward(servers, catchLoopback(v4, v6));
    } catch (e) {
      for (const server of servers) server.close();
      throw e;
    }
  }

  close(): void {
    closeSync(this.#link);
    for (const server of this.#servers) server.close();
  }
}

/** What carries a forwarded connection into the guest. */
export interface Carrier {
  /** Opens a connection to the agent's stream port. */
  connect(): Promise<Duplex>;
  /** A stream id that is unique in the VM. */
  allocate(): number;
  /** Has the agent connect to `port`; rejects when nothing listens there. */
  forward(request: { port: number; toGuest: number; fromGuest: number }): Promise<unknown>;
}

/** Copies both ways until both have ended; a port on which nothing listens resets the connection. */
export async function carry(connection: Socket, port: number, by: Carrier): Promise<void> {
  const streams: Duplex[] = [];
  const open = async (): Promise<{ id: number; stream: Duplex }> => {
    const id = by.allocate();
    const stream = await by.connect();
    streams.push(stream.on('error', () => undefined));
    stream.write(streamHello(id));
    return { id, stream };
  };
  try {
    const [to, from] = await Promise.all([open(), open()]);
    await by.forward({ port, toGuest: to.id, fromGuest: from.id });
    await Promise.all([
      writeFrames(connection, to.stream),
      readFrames(from.stream, connection).then(() => connection.end()),
    ]);
  } catch (e) {
    for (const stream of streams) stream.destroy();
    connection.resetAndDestroy();
    throw e;
  }
}

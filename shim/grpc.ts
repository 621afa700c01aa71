import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { Code, RunvError, toStatus } from '../proto/error.ts';
import type { Registry, Route } from '../proto/ttrpc/server.ts';

/** Loaded at first use: most shims speak ttrpc. */
const http2 = () => process.getBuiltinModule('node:http2');

/** containerd's own limit for a message (containerd, defaults.DefaultMaxRecvMsgSize). */
const maxMessageBytes = 16 << 20;
/** Compression flag and length ahead of each message (gRPC over HTTP2, "Length-Prefixed-Message"). */
const prefixBytes = 5;

/**
 * Serves the services of a ttrpc server over gRPC on one connection: unary calls, which is all that
 * containerd makes. Owns `socket` from now on; never throws.
 */
export function serveGrpc(socket: Socket, registry: Registry): void {
  // containerd tries a connection and closes it before it speaks
  socket.on('error', () => undefined);
  let session: ServerHttp2Session;
  try {
    session = http2().performServerHandshake(socket);
  } catch {
    socket.destroy();
    return;
  }
  session.on('error', () => socket.destroy());
  session.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    void answer(stream, headers, registry);
  });
}

async function answer(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  registry: Registry,
): Promise<void> {
  const gone = new AbortController();
  stream.on('close', () => gone.abort(new RunvError(Code.Canceled, 'client disconnected')));
  const path = String(headers[':path']);
  try {
    const route = routeOf(path, registry);
    const request = route.request.decode(await readMessage(stream));
    const timeoutMs = parseTimeout(headers['grpc-timeout']);
    const signal =
      timeoutMs === undefined
        ? gone.signal
        : AbortSignal.any([gone.signal, AbortSignal.timeout(timeoutMs)]);
    const reply = await untilAborted(
      route.handler(request, { signal, metadata: new Map() }),
      signal,
    );
    respond(stream, route.response.encode(reply ?? {}));
  } catch (error) {
    const [service = '', method = ''] = path.slice(1).split('/');
    registry.options.onFailedCall({ service, method, error });
    fail(stream, error);
  }
}

/** @throws RunvError Unimplemented */
function routeOf(path: string, { services }: Registry): Route {
  const [service = '', method = ''] = path.slice(1).split('/');
  const route = services.get(service)?.get(method);
  if (route?.kind === 'unary') return route;
  throw new RunvError(Code.Unimplemented, `${path} is not served`);
}

async function readMessage(stream: ServerHttp2Stream): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxMessageBytes + prefixBytes) {
      throw new RunvError(Code.ResourceExhausted, `message longer than ${maxMessageBytes} bytes`);
    }
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const wrong = (what: string) => new RunvError(Code.InvalidArgument, `malformed message: ${what}`);
  if (body.length < prefixBytes) throw wrong('it has no prefix');
  if (body[0] !== 0) throw wrong('it is compressed');
  if (body.readUInt32BE(1) !== body.length - prefixBytes) throw wrong('its length is another');
  return body.subarray(prefixBytes);
}

/** gRPC over HTTP2, "Timeout": up to 8 digits and a unit. */
function parseTimeout(value: string | string[] | undefined): number | undefined {
  const [, digits = '', unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(String(value)) ?? [];
  if (digits === '') return undefined;
  const unitMs = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 }[unit] ?? 1;
  // a timer of Node's takes 24 days
  return Math.min(Math.ceil(Number(digits) * unitMs), 0x7fff_ffff);
}

/** A handler that waits on is left alone: its caller has gone. */
async function untilAborted(result: unknown, signal: AbortSignal): Promise<unknown> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([result, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function respond(stream: ServerHttp2Stream, message: Uint8Array): void {
  if (stream.destroyed) return;
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(Buffer.concat([prefix, message]));
}

/** Without a message the status stands in the only headers ("Trailers-Only"). */
function fail(stream: ServerHttp2Stream, error: unknown): void {
  if (stream.destroyed || stream.headersSent) return;
  const { code, message } = toStatus(error);
  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': String(code),
      'grpc-message': encodeURIComponent(message),
    },
    { endStream: true },
  );
}

/** The calling side of a ttrpc connection. */
import type { Duplex } from 'node:stream';
import { Code, fromStatus, RunvError, toStatus } from '../error.ts';
import { Request, Response } from '../gen/wire.ts';
import { Connection } from './connection.ts';
import { Flag, FrameType, tooLong, type Frame } from './frame.ts';
import { Inbox } from './inbox.ts';
import type { CallOptions, ClientOf, Codec, Method, Service } from './service.ts';

/** Ids are odd 32-bit numbers and never used twice. */
const maxStreamId = 0xffffffff;

/** Longest timer of JavaScript (24 days); a later deadline is left to the server. */
const maxTimerMs = 0x7fffffff;

type WideCodec = Codec<unknown, unknown>;

/** Where the frames of one call go; each ends the call except `data`. */
interface Receiver {
  response(payload: Uint8Array): void;
  data(payload: Uint8Array): void;
  /** The server has closed the stream. */
  end(): void;
  fail(error: RunvError): void;
}

interface Call {
  readonly receiver: Receiver;
  readonly close: () => void;
}

/**
 * Calls the services at the other end of `stream`, which it owns from now on.
 * There is no limit on concurrent calls; a lost connection is not restored.
 */
export class Client {
  /** Resolves once, when the connection has ended, with why: always Unavailable. */
  readonly closed: Promise<RunvError>;
  private readonly connection: Connection;
  private readonly calls = new Map<number, Call>();
  private nextStreamId = 1;

  constructor(stream: Duplex) {
    const closed = Promise.withResolvers<RunvError>();
    this.closed = closed.promise;
    this.connection = new Connection(
      stream,
      {
        frame: (frame) => this.received(frame),
        oversize: ({ streamId }, length) => this.fail(streamId, tooLong(length)),
        ended: (why) => {
          for (const streamId of [...this.calls.keys()]) this.fail(streamId, why);
          closed.resolve(why);
        },
      },
      { readOnlyWhenWritable: false },
    );
  }

  /**
   * The service's methods as functions. Every rejection is a RunvError: the server's status,
   * Unavailable when the connection ends first, DeadlineExceeded, Canceled, ResourceExhausted for
   * a message over 4 MiB, Internal for an answer against the protocol.
   *
   * A stream of responses is asked for at once and read as far as 1 MiB ahead; beyond that an
   * unread one holds up the whole connection. Leaving its loop early ends it on this side; the
   * server goes on until it is done or the connection ends (ttrpc has no cancellation).
   */
  bind<S extends Service>(service: S): ClientOf<S> {
    const stub = Object.entries(service.methods).map(([name, method]) => [
      name,
      this.method(service.name, name, method),
    ]);
    return Object.fromEntries(stub) as ClientOf<S>;
  }

  /** Ends the connection and every call at once. */
  close(): void {
    this.connection.close(new RunvError(Code.Unavailable, 'ttrpc connection closed by this side'));
  }

  private method(service: string, name: string, { kind, request, response }: Method): unknown {
    const invocation = new Invocation(service, name, request, response);
    type Requests = AsyncIterable<unknown>;
    switch (kind) {
      case 'unary':
        return (message: unknown, options?: CallOptions) =>
          this.single(invocation, 0, options, { message });
      case 'serverStream':
        return (message: unknown, options?: CallOptions) =>
          this.stream(invocation, Flag.RemoteClosed, options, { message });
      case 'clientStream':
        return (requests: Requests, options?: CallOptions) =>
          this.single(invocation, Flag.RemoteOpen, options, { requests });
      case 'bidi':
        return (requests: Requests, options?: CallOptions) =>
          this.stream(invocation, Flag.RemoteOpen, options, { requests });
    }
  }

  private single(
    invocation: Invocation,
    flags: number,
    options: CallOptions | undefined,
    input: Input,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const unexpected = (): void => {
        close();
        reject(invocation.broken('data instead of a response'));
      };
      const close = this.open(invocation, flags, options, input, {
        response: (payload) => {
          try {
            resolve(invocation.decode(payload));
          } catch (e) {
            reject(asRunvError(e));
          }
        },
        data: unexpected,
        end: unexpected,
        fail: reject,
      });
    });
  }

  private stream(
    invocation: Invocation,
    flags: number,
    options: CallOptions | undefined,
    input: Input,
  ): AsyncIterable<unknown> {
    let close = (): void => undefined;
    const inbox: Inbox<unknown> = new Inbox({
      decode: (data) => invocation.decode(data),
      hold: () => this.connection.hold(inbox),
      release: () => this.connection.release(inbox),
      abandoned: () => close(),
    });
    close = this.open(invocation, flags, options, input, {
      // may carry one message; an empty payload is no message (PROTOCOL.md, "Streaming")
      response: (payload) => {
        if (payload.length > 0) inbox.push(payload);
        inbox.finish();
      },
      data: (payload) => inbox.push(payload),
      end: () => inbox.finish(),
      fail: (error) => inbox.finish(error),
    });
    return inbox;
  }

  /** Sends the request. Whatever fails, also now, goes to `receiver.fail`. */
  private open(
    invocation: Invocation,
    flags: number,
    options: CallOptions | undefined,
    input: Input,
    receiver: Receiver,
  ): () => void {
    let timer: NodeJS.Timeout | undefined;
    let streamId = 0;
    let stopInput = (): void => undefined;
    const signal = options?.signal;
    const close = (): void => {
      this.calls.delete(streamId);
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      stopInput();
    };
    const aborted = (): void => {
      close();
      receiver.fail(canceled(signal?.reason));
    };
    try {
      if (signal?.aborted) throw canceled(signal.reason);
      const data = Request.encode(invocation.request(input.message, options));
      streamId = this.begin({ type: FrameType.Request, flags, data });
    } catch (e) {
      receiver.fail(asRunvError(e));
      return close;
    }
    this.calls.set(streamId, { receiver, close });
    signal?.addEventListener('abort', aborted);
    const { timeoutMs } = options ?? {};
    if (timeoutMs !== undefined && timeoutMs <= maxTimerMs) {
      timer = setTimeout(() => this.fail(streamId, invocation.expired(timeoutMs)), timeoutMs);
    }
    if (input.requests) stopInput = this.pump(streamId, invocation, input.requests);
    return close;
  }

  private begin(frame: Omit<Frame, 'streamId'>): number {
    if (this.connection.endedWith) throw this.connection.endedWith;
    const streamId = this.nextStreamId;
    if (streamId > maxStreamId)
      throw new RunvError(Code.Unavailable, 'all stream ids of this ttrpc connection are used');
    this.connection.send({ streamId, ...frame });
    this.nextStreamId += 2;
    return streamId;
  }

  /** Sends a stream of requests, no faster than the connection takes them. */
  private pump(
    streamId: number,
    invocation: Invocation,
    requests: AsyncIterable<unknown>,
  ): () => void {
    const source = requests[Symbol.asyncIterator]();
    const send = async (): Promise<void> => {
      for (;;) {
        const next = await source.next();
        if (!this.calls.has(streamId)) return;
        if (next.done) break;
        const data = invocation.encode(next.value);
        this.connection.send({ streamId, type: FrameType.Data, flags: 0, data });
        await this.connection.ready();
      }
      const flags = Flag.RemoteClosed | Flag.NoData;
      this.connection.send({ streamId, type: FrameType.Data, flags, data: new Uint8Array() });
    };
    // the server is not told: a stream cut off must not look complete, and there is no other signal
    send().catch((e: unknown) => this.fail(streamId, asRunvError(e)));
    return () => {
      source.return?.().catch(() => undefined);
    };
  }

  private received({ streamId, type, flags, data }: Frame): void {
    // an unknown stream is one that ended on this side already
    const call = this.calls.get(streamId);
    if (!call) return;
    if (type === FrameType.Response) {
      call.close();
      respond(call.receiver, data);
    } else if (type === FrameType.Data) {
      if (!(flags & Flag.NoData)) call.receiver.data(data);
      if (flags & Flag.RemoteClosed) {
        call.close();
        call.receiver.end();
      }
    }
  }

  private fail(streamId: number, error: RunvError): void {
    const call = this.calls.get(streamId);
    call?.close();
    call?.receiver.fail(error);
  }
}

type Input =
  | { readonly message: unknown; readonly requests?: undefined }
  | { readonly requests: AsyncIterable<unknown>; readonly message?: undefined };

/** One method, as the client needs it. */
class Invocation {
  private readonly service: string;
  private readonly name: string;
  private readonly requests: WideCodec;
  private readonly responses: WideCodec;

  constructor(service: string, name: string, requests: WideCodec, responses: WideCodec) {
    this.service = service;
    this.name = name;
    this.requests = requests;
    this.responses = responses;
  }

  request(
    message: unknown,
    options: CallOptions | undefined,
  ): Parameters<typeof Request.encode>[0] {
    const { timeoutMs, metadata = {} } = options ?? {};
    if (timeoutMs !== undefined && !(timeoutMs > 0)) throw this.expired(timeoutMs);
    return {
      service: this.service,
      method: this.name,
      payload: message === undefined ? undefined : this.encode(message),
      timeoutNano: timeoutMs === undefined ? 0 : timeoutNano(timeoutMs),
      metadata: Object.entries(metadata).flatMap(([key, values]) =>
        [values].flat().map((value) => ({ key: key.toLowerCase(), value })),
      ),
    };
  }

  encode(message: unknown): Uint8Array {
    try {
      return this.requests.encode(message);
    } catch (e) {
      const why = e instanceof Error ? e.message : String(e);
      throw new RunvError(Code.InvalidArgument, `${this.service}.${this.name}: ${why}`, {
        cause: e,
      });
    }
  }

  decode(payload: Uint8Array): unknown {
    try {
      return this.responses.decode(payload);
    } catch (e) {
      throw this.broken(e instanceof Error ? e.message : String(e), e);
    }
  }

  broken(what: string, cause?: unknown): RunvError {
    return new RunvError(Code.Internal, `${this.service}.${this.name} answered ${what}`, { cause });
  }

  expired(timeoutMs: number): RunvError {
    const what = `${this.service}.${this.name} did not answer within ${timeoutMs} ms`;
    return new RunvError(Code.DeadlineExceeded, what);
  }
}

function respond(receiver: Receiver, data: Uint8Array): void {
  let response: Response;
  try {
    response = Response.decode(data);
  } catch (e) {
    receiver.fail(new RunvError(Code.Internal, 'malformed ttrpc response', { cause: e }));
    return;
  }
  if (response.status && response.status.code !== Code.OK)
    receiver.fail(fromStatus(response.status));
  else receiver.response(response.payload);
}

/** At least 1 ns, since 0 means none; as long as the field can say at most. */
function timeoutNano(timeoutMs: number): bigint {
  const nano = Math.ceil(timeoutMs * 1e6);
  return nano < Number.MAX_SAFE_INTEGER ? BigInt(nano) : 0n;
}

function asRunvError(e: unknown): RunvError {
  return e instanceof RunvError ? e : Object.assign(fromStatus(toStatus(e)), { cause: e });
}

/** Keeps the code of a reason that has one: an outer call's deadline stays a deadline. */
function canceled(reason: unknown): RunvError {
  const { code } = toStatus(reason);
  if (reason instanceof RunvError || code === Code.DeadlineExceeded) return asRunvError(reason);
  return new RunvError(Code.Canceled, 'call canceled', { cause: reason });
}

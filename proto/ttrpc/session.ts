/** One connection of a server: the rules of PROTOCOL.md for the answering side. */
import type { Duplex } from 'node:stream';
import { Code, RunvError, toStatus } from '../error.ts';
import { Request, Response } from '../gen/wire.ts';
import { Connection } from './connection.ts';
import { Flag, FrameType, tooLong, type Frame } from './frame.ts';
import { Inbox } from './inbox.ts';
import type { Registry, Route } from './server.ts';

/** Longest timer of JavaScript, 24 days; a later deadline is as good as none. */
const maxTimerMs = 0x7fffffffn;
/** An error's text must not make its response too long to send. */
const maxStatusChars = 16 << 10;

interface Call {
  readonly streamId: number;
  readonly controller: AbortController;
  readonly timer: NodeJS.Timeout | undefined;
  /** Of streaming clients. */
  readonly input: Inbox<unknown> | undefined;
  /** Of streaming handlers, while they run. */
  output?: AsyncIterator<unknown>;
}

export class Session {
  /** Resolves when the connection has ended. Handlers may still run, with their signal aborted. */
  readonly ended: Promise<void>;
  private readonly registry: Registry;
  private readonly connection: Connection;
  private readonly calls = new Map<number, Call>();
  private lastStreamId = 0;

  constructor(stream: Duplex, registry: Registry) {
    this.registry = registry;
    const ended = Promise.withResolvers<void>();
    this.ended = ended.promise;
    this.connection = new Connection(
      stream,
      {
        frame: (frame) => this.received(frame),
        oversize: ({ streamId }, length) => this.abort(streamId, tooLong(length)),
        ended: (why) => {
          const gone = new RunvError(Code.Canceled, 'client disconnected', { cause: why });
          for (const call of [...this.calls.values()]) this.end(call, gone);
          ended.resolve();
        },
      },
      { readOnlyWhenWritable: true },
    );
  }

  close(why: RunvError): void {
    this.connection.close(why);
  }

  private received(frame: Frame): void {
    const { streamId } = frame;
    if (streamId % 2 === 0) {
      this.refuse(streamId, Code.InvalidArgument, 'stream id of a client must be odd');
    } else if (frame.type === FrameType.Request) {
      this.request(frame);
    } else if (frame.type === FrameType.Data) {
      this.data(frame);
    }
    // other types are left for later versions of the protocol
  }

  private request({ streamId, flags, data }: Frame): void {
    if (streamId <= this.lastStreamId) {
      this.refuse(streamId, Code.InvalidArgument, 'stream ids must increase');
      return;
    }
    this.lastStreamId = streamId;
    let request: Request;
    try {
      request = Request.decode(data);
    } catch (e) {
      this.sendStatus(streamId, e);
      return;
    }
    const route = this.registry.services.get(request.service)?.get(request.method);
    if (!route) {
      const known = this.registry.services.has(request.service);
      const what = known ? `method ${request.method} of ${request.service}` : request.service;
      this.refuse(streamId, Code.Unimplemented, `${what.slice(0, 200)} is not served here`);
    } else if (this.calls.size >= this.registry.options.maxConcurrentCalls) {
      this.refuse(streamId, Code.ResourceExhausted, 'too many calls at once on one connection');
    } else {
      void this.run(this.begin(streamId, flags, request, route), request, route);
    }
  }

  private begin(streamId: number, flags: number, request: Request, route: Route): Call {
    let input: Inbox<unknown> | undefined;
    if (route.kind === 'clientStream' || route.kind === 'bidi') {
      const inbox: Inbox<unknown> = (input = new Inbox({
        decode: (data) => decodePayload(route, data),
        hold: () => this.connection.hold(inbox),
        release: () => this.connection.release(inbox),
        abandoned: () => undefined,
      }));
      if (request.payload.length > 0) input.push(request.payload);
      if (flags & Flag.RemoteClosed) input.finish();
    }
    const timer = this.startTimer(streamId, request.timeoutNano);
    const call: Call = { streamId, controller: new AbortController(), timer, input };
    this.calls.set(streamId, call);
    return call;
  }

  private startTimer(streamId: number, timeoutNano: bigint): NodeJS.Timeout | undefined {
    if (timeoutNano === 0n) return undefined;
    const timeoutMs = timeoutNano < 0n ? 0n : timeoutNano / 1_000_000n;
    if (timeoutMs > maxTimerMs) return undefined;
    return setTimeout(() => {
      const why = new RunvError(Code.DeadlineExceeded, "the client's timeout has passed");
      this.calls.get(streamId)?.controller.abort(why);
    }, Number(timeoutMs));
  }

  /** Calls the handler and sends what it returns or throws. Never rejects. */
  private async run(call: Call, request: Request, route: Route): Promise<void> {
    const { signal } = call.controller;
    const context = { signal, metadata: metadataOf(request) };
    try {
      const input = call.input ?? decodePayload(route, request.payload);
      const result = route.handler(input, context);
      if (route.kind === 'unary' || route.kind === 'clientStream') {
        const payload = route.response.encode((await result) ?? {});
        this.send(call, FrameType.Response, 0, Response.encode({ payload }));
      } else {
        await this.stream(call, route, result as AsyncIterable<unknown>);
        this.send(call, FrameType.Data, Flag.RemoteClosed | Flag.NoData, new Uint8Array());
      }
    } catch (e) {
      if (!this.active(call)) return;
      // an AbortError that our own signal caused has lost the reason
      const aborted = signal.aborted && e instanceof Error && e.name === 'AbortError';
      const error: unknown = aborted ? signal.reason : e;
      this.sendStatus(call.streamId, error);
      this.reportFailure(request, error);
    } finally {
      this.end(call, new RunvError(Code.Canceled, 'the call has ended'));
    }
  }

  private async stream(call: Call, route: Route, messages: AsyncIterable<unknown>): Promise<void> {
    const output = (call.output = messages[Symbol.asyncIterator]());
    for (;;) {
      const next = await output.next();
      if (next.done) {
        delete call.output;
        return;
      }
      if (!this.active(call)) return;
      this.send(call, FrameType.Data, 0, route.response.encode(next.value));
      await this.connection.ready();
    }
  }

  private data({ streamId, flags, data }: Frame): void {
    const call = this.calls.get(streamId);
    if (!call) {
      this.refuse(streamId, Code.InvalidArgument, 'stream is not active');
    } else if (!call.input || call.input.ended) {
      const what = call.input
        ? 'data after the end of its stream'
        : 'data on a stream without data';
      this.abort(streamId, new RunvError(Code.InvalidArgument, what));
    } else {
      if (!(flags & Flag.NoData)) call.input.push(data);
      if (flags & Flag.RemoteClosed) call.input.finish();
    }
  }

  /** Ends a call that broke the protocol, if there is one, and says so. */
  private abort(streamId: number, why: RunvError): void {
    const call = this.calls.get(streamId);
    if (call) this.end(call, why);
    this.sendStatus(streamId, why);
  }

  private active(call: Call): boolean {
    return this.calls.get(call.streamId) === call;
  }

  /** After this nothing more is sent for the call. */
  private end(call: Call, why: RunvError): void {
    if (!this.active(call)) return;
    this.calls.delete(call.streamId);
    clearTimeout(call.timer);
    call.controller.abort(why);
    call.input?.abort(why);
    // a generator that is waiting ends when what it waits for does
    call.output?.return?.().catch(() => undefined);
  }

  private send(call: Call, type: number, flags: number, data: Uint8Array): void {
    if (this.active(call)) this.connection.send({ streamId: call.streamId, type, flags, data });
  }

  private refuse(streamId: number, code: Code, message: string): void {
    this.sendStatus(streamId, new RunvError(code, message));
  }

  private sendStatus(streamId: number, error: unknown): void {
    const { code, message } = toStatus(error);
    const status = { code, message: message.slice(0, maxStatusChars) };
    const data = Response.encode({ status });
    this.connection.send({ streamId, type: FrameType.Response, flags: 0, data });
  }

  private reportFailure({ service, method }: Request, error: unknown): void {
    this.registry.options.onFailedCall({ service, method, error });
  }
}

/** Internal, as the Go server answers. */
function decodePayload(route: Route, payload: Uint8Array): unknown {
  try {
    return route.request.decode(payload);
  } catch (e) {
    const why = e instanceof Error ? e.message : String(e);
    throw new RunvError(Code.Internal, `cannot read the request: ${why}`, { cause: e });
  }
}

function metadataOf(request: Request): ReadonlyMap<string, readonly string[]> {
  const metadata = new Map<string, string[]>();
  for (const { key, value } of request.metadata) {
    const name = key.toLowerCase();
    const values = metadata.get(name);
    if (values) values.push(value);
    else metadata.set(name, [value]);
  }
  return metadata;
}

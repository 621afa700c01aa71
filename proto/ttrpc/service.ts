/** Services as values, and the types of their handlers and clients. */
import type { Codec } from '../message.ts';

export type { Codec };

/** Which side sends a stream of messages rather than one. */
export type Kind = 'unary' | 'serverStream' | 'clientStream' | 'bidi';

// the widest codec: every Codec<In, Out> is one
type AnyCodec = Codec<never, unknown>;

export interface Method<
  K extends Kind = Kind,
  Req extends AnyCodec = AnyCodec,
  Res extends AnyCodec = AnyCodec,
> {
  readonly kind: K;
  readonly request: Req;
  readonly response: Res;
}

export type Methods = Readonly<Record<string, Method>>;

export interface Service<M extends Methods = Methods> {
  /** With its package, e.g. `containerd.task.v2.Task`. */
  readonly name: string;
  /** By wire name, e.g. `CloseIO`. */
  readonly methods: M;
}

export function service<M extends Methods>(name: string, methods: M): Service<M> {
  return { name, methods };
}

const method =
  <K extends Kind>(kind: K) =>
  <Req extends AnyCodec, Res extends AnyCodec>(
    request: Req,
    response: Res,
  ): Method<K, Req, Res> => ({ kind, request, response });

export const unary = /* @__PURE__ */ method('unary');
export const serverStream = /* @__PURE__ */ method('serverStream');
export const clientStream = /* @__PURE__ */ method('clientStream');
export const bidi = /* @__PURE__ */ method('bidi');

type In<C> = C extends Codec<infer I, unknown> ? I : never;
type Out<C> = C extends Codec<never, infer O> ? O : never;

/** A handler whose response has no fields may return nothing. */
type Returned<T> = keyof T extends never ? T | void : T;

/** What a handler learns about its call beside the request. */
export interface CallContext {
  /**
   * Aborts when the client disconnects, when its timeout has passed and when the server closes.
   * Its reason is a RunvError: Canceled or DeadlineExceeded.
   */
  readonly signal: AbortSignal;
  /** Keys in lower case. */
  readonly metadata: ReadonlyMap<string, readonly string[]>;
}

type HandlerOf<M> =
  M extends Method<infer K, infer Req, infer Res>
    ? {
        unary: (
          request: Out<Req>,
          context: CallContext,
        ) => Promise<Returned<In<Res>>> | Returned<In<Res>>;
        serverStream: (request: Out<Req>, context: CallContext) => AsyncIterable<In<Res>>;
        clientStream: (
          requests: AsyncIterable<Out<Req>>,
          context: CallContext,
        ) => Promise<Returned<In<Res>>>;
        bidi: (requests: AsyncIterable<Out<Req>>, context: CallContext) => AsyncIterable<In<Res>>;
      }[K]
    : never;

/** One function per method, under its wire name. */
export type Handlers<S extends Service> = {
  readonly [K in keyof S['methods']]: HandlerOf<S['methods'][K]>;
};

export interface CallOptions {
  /** Aborting it ends the call on this side; the protocol cannot tell the server. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Counted from the call; sent to the server and enforced here too. Default: none.
   * When it passes the call fails with DeadlineExceeded.
   */
  readonly timeoutMs?: number | undefined;
  /** Keys are sent in lower case. */
  readonly metadata?: Readonly<Record<string, string | readonly string[]>> | undefined;
}

type StubOf<M> =
  M extends Method<infer K, infer Req, infer Res>
    ? {
        unary: (request: In<Req>, options?: CallOptions) => Promise<Out<Res>>;
        serverStream: (request: In<Req>, options?: CallOptions) => AsyncIterable<Out<Res>>;
        clientStream: (
          requests: AsyncIterable<In<Req>>,
          options?: CallOptions,
        ) => Promise<Out<Res>>;
        bidi: (requests: AsyncIterable<In<Req>>, options?: CallOptions) => AsyncIterable<Out<Res>>;
      }[K]
    : never;

/** One function per method, under its wire name. All reject with RunvError only. */
export type ClientOf<S extends Service> = {
  readonly [K in keyof S['methods']]: StubOf<S['methods'][K]>;
};

/** The answering side of ttrpc. */
import type { Duplex } from 'node:stream';
import { Code, RunvError } from '../error.ts';
import type { CallContext, Codec, Handlers, Kind, Service } from './service.ts';
import { Session } from './session.ts';

/** A call that did not end well, for the log. */
export interface FailedCall {
  readonly service: string;
  readonly method: string;
  /** What the handler threw; the client has got its status. */
  readonly error: unknown;
}

export interface ServerOptions {
  /**
   * Calls of one connection that may run at once; one more fails with ResourceExhausted.
   * Default: 10 000, which only a broken client reaches.
   */
  readonly maxConcurrentCalls?: number;
  /** Called for every call whose handler threw. Default: nothing. */
  readonly onFailedCall?: (call: FailedCall) => void;
}

/** A method with its handler, types forgotten. */
export interface Route {
  readonly kind: Kind;
  readonly request: Codec<unknown, unknown>;
  readonly response: Codec<unknown, unknown>;
  readonly handler: (request: unknown, context: CallContext) => unknown;
}

/** What sessions share. */
export interface Registry {
  readonly services: ReadonlyMap<string, ReadonlyMap<string, Route>>;
  readonly options: Required<ServerOptions>;
}

/**
 * Serves any number of services on any number of connections. What a handler throws becomes the
 * call's status through `toStatus`; nothing a client sends makes it throw.
 */
export class Server implements Registry {
  readonly services = new Map<string, Map<string, Route>>();
  readonly options: Required<ServerOptions>;
  private closed = false;
  private readonly sessions = new Set<Session>();

  constructor(options: ServerOptions = {}) {
    this.options = { maxConcurrentCalls: 10_000, onFailedCall: () => undefined, ...options };
  }

  /**
   * Handlers are called as methods of `handlers`, so an instance of a class will do.
   * @throws Error when the service was added before
   */
  add<S extends Service>(service: S, handlers: Handlers<S>): void {
    if (this.services.has(service.name)) throw new Error(`${service.name} was added before`);
    const untyped = handlers as Readonly<Record<string, Route['handler']>>;
    const routes = new Map<string, Route>();
    for (const [name, { kind, request, response }] of Object.entries(service.methods)) {
      routes.set(name, {
        kind,
        request: request,
        response: response,
        handler: (message, context) => untyped[name]!(message, context),
      });
    }
    this.services.set(service.name, routes);
  }

  /** Owns `stream` from now on. Resolves, never rejects, when that connection has ended. */
  async serve(stream: Duplex): Promise<void> {
    const session = new Session(stream, this);
    this.sessions.add(session);
    if (this.closed) session.close(closed());
    await session.ended;
    this.sessions.delete(session);
  }

  /** Ends every connection at once; the calls' signals abort. */
  close(): void {
    this.closed = true;
    for (const session of this.sessions) session.close(closed());
  }
}

function closed(): RunvError {
  return new RunvError(Code.Unavailable, 'server is shutting down');
}

import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import type { Log } from './log.ts';

/** More than the processes that a guest can hold: only a lost shim lets it fill. */
const maxQueued = 65_536;

/** Exits and OOM kills, kept in order until the shim takes them. */
export class Events {
  readonly #log: Log;
  readonly #queue: agent.IEvent[] = [];
  #subscriber: { wake: () => void; stop: (e: Error) => void } | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  push(event: agent.IEvent): void {
    if (this.#queue.length >= maxQueued) {
      this.#log.error({ queued: this.#queue.length }, 'event dropped: nobody takes them');
      return;
    }
    this.#queue.push(event);
    this.#subscriber?.wake();
  }

  /**
   * Yields what was queued, then what comes. One at a time: a new subscriber ends the one before,
   * which may belong to a connection that is not known to be dead yet.
   * @throws RunvError Aborted when another subscriber comes
   */
  async *subscribe(signal: AbortSignal): AsyncGenerator<agent.IEvent> {
    this.#subscriber?.stop(new RunvError(Code.Aborted, 'another subscriber has taken over'));
    let next = handled(Promise.withResolvers<void>());
    const subscriber = {
      wake: () => next.resolve(),
      stop: (e: Error) => {
        if (this.#subscriber === subscriber) this.#subscriber = undefined;
        next.reject(e);
      },
    };
    this.#subscriber = subscriber;
    const abort = () => subscriber.stop(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      for (;;) {
        while (this.#subscriber === subscriber && this.#queue.length > 0) {
          yield this.#queue[0] as agent.IEvent;
          // only now has the one before been taken: a subscriber that went away leaves it
          if (this.#subscriber === subscriber) this.#queue.shift();
        }
        await next.promise;
        next = handled(Promise.withResolvers<void>());
        if (this.#queue.length > 0) next.resolve();
      }
    } finally {
      signal.removeEventListener('abort', abort);
      if (this.#subscriber === subscriber) this.#subscriber = undefined;
    }
  }
}

/** The rejection may come while the consumer holds the generator: it is seen at the next step. */
function handled<T>(resolvers: PromiseWithResolvers<T>): PromiseWithResolvers<T> {
  resolvers.promise.catch(() => undefined);
  return resolvers;
}

import type { Duplex } from 'node:stream';
import { Code, RunvError } from '../proto/error.ts';
import { readHello } from '../proto/stdio-stream.ts';
import type { Log } from './log.ts';

const helloTimeoutMs = 10_000;
/** How long a request waits for a stream that the shim opens at the same time. */
const streamTimeoutMs = 10_000;
/** Connections without their request: each container process has three at most. */
const maxWaiting = 1024;

/** Connections to the stdio port, from their hello until a process takes them by id. */
export class Streams {
  readonly #log: Log;
  readonly #waiting = new Map<number, Duplex>();
  readonly #wanted = new Map<number, (connection: Duplex) => void>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Owns `connection` from now on. */
  async accept(connection: Duplex): Promise<void> {
    const timer = setTimeout(() => connection.destroy(), helloTimeoutMs);
    try {
      const id = await readHello(connection);
      this.#offer(id, connection);
    } catch (e) {
      this.#log.warn({ err: e }, 'stdio connection refused');
    } finally {
      clearTimeout(timer);
    }
  }

  #offer(id: number, connection: Duplex): void {
    const wanted = this.#wanted.get(id);
    if (wanted) {
      this.#wanted.delete(id);
      return wanted(connection);
    }
    if (this.#waiting.has(id) || this.#waiting.size >= maxWaiting) {
      this.#log.warn({ id, waiting: this.#waiting.size }, 'stdio connection refused');
      connection.destroy();
      return;
    }
    this.#waiting.set(id, connection);
    connection.once('close', () => {
      if (this.#waiting.get(id) === connection) this.#waiting.delete(id);
    });
  }

  /**
   * The stream with this id, the caller's from now on.
   * @throws RunvError DeadlineExceeded when the shim does not open it within 10 s
   * @throws the reason of `signal` when it aborts first
   */
  async take(id: number, signal: AbortSignal): Promise<Duplex> {
    const waiting = this.#waiting.get(id);
    if (waiting) {
      this.#waiting.delete(id);
      return waiting;
    }
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    this.#wanted.set(id, resolve);
    const late = new RunvError(
      Code.DeadlineExceeded,
      `stdio stream ${id} was not opened within ${streamTimeoutMs} ms`,
    );
    const timer = setTimeout(() => reject(late), streamTimeoutMs);
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      if (this.#wanted.get(id) === resolve) this.#wanted.delete(id);
    }
  }
}

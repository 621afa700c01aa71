/** The received messages of one stream, for one reader. */
import type { RunvError } from '../error.ts';

/** How much may wait unread before the connection is held. */
const highWaterBytes = 1 << 20;
/** What a waiting message costs beside its bytes, about. */
const messageOverheadBytes = 128;

export interface InboxOwner<T> {
  decode(data: Uint8Array): T;
  /** Too much waits: nothing more shall be read from the connection. */
  hold(): void;
  release(): void;
  /** The reader has gone before the end. */
  abandoned(): void;
}

/**
 * Iterates over what is pushed. A reader that is slow by more than 1 MiB stops the whole connection,
 * as in the Go implementation (there: by one message), since ttrpc has no flow control of its own.
 */
export class Inbox<T> implements AsyncIterableIterator<T> {
  private readonly owner: InboxOwner<T>;
  private readonly queue: Uint8Array[] = [];
  private readonly waiting: PromiseWithResolvers<IteratorResult<T>>[] = [];
  private queuedBytes = 0;
  private held = false;
  private end: { readonly error?: RunvError } | undefined;

  constructor(owner: InboxOwner<T>) {
    this.owner = owner;
  }

  get ended(): boolean {
    return this.end !== undefined;
  }

  push(data: Uint8Array): void {
    if (this.end) return;
    const reader = this.waiting.shift();
    if (reader) {
      this.deliver(data, reader);
      return;
    }
    this.queue.push(data);
    this.queuedBytes += data.length + messageOverheadBytes;
    if (!this.held && this.queuedBytes > highWaterBytes) {
      this.held = true;
      this.owner.hold();
    }
  }

  /** After what is queued the reader sees the end, or the error. */
  finish(error?: RunvError): void {
    if (this.end) return;
    this.end = error ? { error } : {};
    // readers wait only while nothing is queued
    for (const reader of this.waiting.splice(0)) this.deliverEnd(reader);
  }

  next(): Promise<IteratorResult<T>> {
    const reader = Promise.withResolvers<IteratorResult<T>>();
    // a reader may lose interest in what it asked for; an error is then nobody's
    reader.promise.catch(() => undefined);
    const data = this.queue.shift();
    if (data) {
      this.queuedBytes -= data.length + messageOverheadBytes;
      if (this.queuedBytes <= highWaterBytes / 2) this.unhold();
      this.deliver(data, reader);
    } else if (this.end) {
      this.deliverEnd(reader);
    } else {
      this.waiting.push(reader);
    }
    return reader.promise;
  }

  return(): Promise<IteratorResult<T>> {
    const early = !this.end;
    this.drop({});
    if (early) this.owner.abandoned();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Drops what is queued; the reader sees the error next. */
  abort(error: RunvError): void {
    this.drop({ error });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private deliver(data: Uint8Array, reader: PromiseWithResolvers<IteratorResult<T>>): void {
    try {
      reader.resolve({ done: false, value: this.owner.decode(data) });
    } catch (e) {
      reader.reject(e);
      void this.return();
    }
  }

  private deliverEnd(reader: PromiseWithResolvers<IteratorResult<T>>): void {
    const error = this.end?.error;
    // told once, as a generator does
    this.end = {};
    if (error) reader.reject(error);
    else reader.resolve({ done: true, value: undefined });
  }

  private drop(end: { readonly error?: RunvError }): void {
    this.end = end;
    this.queue.length = 0;
    this.queuedBytes = 0;
    this.unhold();
    for (const reader of this.waiting.splice(0)) this.deliverEnd(reader);
  }

  private unhold(): void {
    if (!this.held) return;
    this.held = false;
    this.owner.release();
  }
}

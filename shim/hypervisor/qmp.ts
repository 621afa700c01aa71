import type { Duplex } from 'node:stream';
import { Code, RunvError } from '../../proto/error.ts';

/** An asynchronous message of QEMU's. */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: RunvError) => void;
}

/** A line longer than this is not QMP: the largest real answers are some 100 kB. */
const maxLineBytes = 4 * 1024 * 1024;

/**
 * QEMU Machine Protocol client (docs/interop/qmp-spec of QEMU): one JSON object a line, commands
 * answered by id, events between them. QEMU itself may be under a hostile guest's control, so
 * whatever it sends is checked before use.
 */
export class Qmp {
  readonly #stream: Duplex;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #greeting = Promise.withResolvers<void>();
  #nextId = 1;
  #buffered: Buffer[] = [];
  #bufferedBytes = 0;
  #failure: RunvError | undefined;

  /** @param stream a connected QMP socket that nobody has read from */
  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#greeting.promise.catch(() => undefined);
    stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    stream.on('error', (e) => this.#fail(`QMP connection failed: ${e.message}`));
    for (const event of ['end', 'close']) {
      stream.on(event, () => this.#fail('QEMU closed the QMP connection'));
    }
  }

  /** Waits for the greeting and leaves negotiation mode. Legal once, first. */
  async negotiate(): Promise<void> {
    await this.#greeting.promise;
    await this.execute('qmp_capabilities');
  }

  /**
   * Runs one command and returns its `return` value.
   * @throws RunvError Internal with QEMU's own description when it refuses
   * @throws RunvError Unavailable when the connection ends first
   */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { command, resolve, reject });
      this.#stream.write(
        JSON.stringify({ execute: command, id, ...(args && { arguments: args }) }) + '\n',
      );
    });
  }

  /** Calls `listener` for each event until the returned function is called. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#stream.destroy();
  }

  #onData(chunk: Buffer): void {
    let rest = chunk;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      this.#buffered.push(rest.subarray(0, end));
      const line = Buffer.concat(this.#buffered).toString('utf8');
      this.#buffered = [];
      this.#bufferedBytes = 0;
      rest = rest.subarray(end + 1);
      this.#onLine(line);
    }
    if (rest.length === 0) return;
    this.#buffered.push(rest);
    this.#bufferedBytes += rest.length;
    if (this.#bufferedBytes > maxLineBytes) {
      this.#fail(`QMP line longer than ${maxLineBytes} bytes`);
      this.#stream.destroy();
    }
  }

  #onLine(line: string): void {
    if (line.trim() === '') return;
    let message: Record<string, unknown>;
    try {
      message = record(JSON.parse(line));
    } catch {
      this.#fail(`QMP line is not JSON: ${line.slice(0, 80)}`);
      this.#stream.destroy();
      return;
    }
    if ('QMP' in message) return this.#greeting.resolve();
    if (typeof message['event'] === 'string') {
      const event = { event: message['event'], data: record(message['data']) };
      for (const listener of this.#listeners) listener(event);
      return;
    }
    const pending = this.#pending.get(Number(message['id']));
    if (!pending) return;
    this.#pending.delete(Number(message['id']));
    if ('error' in message) {
      const { desc } = record(message['error']);
      const text = typeof desc === 'string' ? desc : JSON.stringify(message['error']);
      pending.reject(new RunvError(Code.Internal, `QEMU refused ${pending.command}: ${text}`));
    } else {
      pending.resolve(message['return']);
    }
  }

  #fail(message: string): void {
    if (this.#failure) return;
    this.#failure = new RunvError(Code.Unavailable, message);
    this.#greeting.reject(this.#failure);
    for (const pending of this.#pending.values()) pending.reject(this.#failure);
    this.#pending.clear();
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

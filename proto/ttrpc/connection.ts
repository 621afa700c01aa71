/** One ttrpc connection, either side: frames over a Duplex, back-pressure, and one end. */
import type { Duplex } from 'node:stream';
import { Code, RunvError } from '../error.ts';
import { encodeFrame, FrameParser, type Frame, type FrameSink } from './frame.ts';

export interface ConnectionSink extends FrameSink {
  /** Called once, last; the stream is destroyed. */
  ended(why: RunvError): void;
}

export interface ConnectionOptions {
  /**
   * Stop reading while the peer does not read what was written. For servers: otherwise a client
   * that only sends would fill this side's memory with responses. Never for both sides of one
   * connection: each could then wait for the other for ever.
   */
  readonly readOnlyWhenWritable: boolean;
}

export class Connection {
  private readonly stream: Duplex;
  private readonly sink: ConnectionSink;
  private readonly options: ConnectionOptions;
  private readonly parser: FrameParser;
  private readonly holders = new Set<object>();
  private end: RunvError | undefined;
  private writable = Promise.withResolvers<void>();

  constructor(stream: Duplex, sink: ConnectionSink, options: ConnectionOptions) {
    this.stream = stream;
    this.sink = sink;
    this.options = options;
    this.parser = new FrameParser(sink);
    stream.on('data', (chunk: Buffer) => this.received(chunk));
    stream.on('drain', () => this.drained());
    stream.on('end', () => this.close(this.lost(undefined)));
    // stays for ever: an error after the end is still an event, and unheard it would be fatal
    stream.on('error', (e) => this.close(this.lost(e)));
    stream.on('close', () => this.close(this.lost(undefined)));
    if (stream.destroyed) queueMicrotask(() => this.close(this.lost(undefined)));
  }

  /** Why it ended, as soon as it has. */
  get endedWith(): RunvError | undefined {
    return this.end;
  }

  /**
   * Queues a frame; nothing happens once the connection has ended.
   * @throws RunvError ResourceExhausted when it is too long; nothing is sent then
   */
  send(frame: Frame): void {
    const bytes = encodeFrame(frame);
    if (this.end) return;
    this.stream.write(bytes);
    if (this.options.readOnlyWhenWritable && this.stream.writableNeedDrain) this.hold(this);
  }

  /** Resolves when what was written is on its way, or the connection has ended. */
  async ready(): Promise<void> {
    if (!this.end && this.stream.writableNeedDrain) await this.writable.promise;
  }

  /** Stops reading until `release` was called for every holder. */
  hold(holder: object): void {
    this.holders.add(holder);
    if (!this.end) this.stream.pause();
  }

  release(holder: object): void {
    if (this.holders.delete(holder) && this.holders.size === 0 && !this.end) this.stream.resume();
  }

  /** Ends at once; what was not sent yet is lost. Later calls do nothing. */
  close(why: RunvError): void {
    if (this.end) return;
    this.end = why;
    this.writable.resolve();
    this.stream.destroy();
    this.sink.ended(why);
  }

  private received(chunk: Buffer): void {
    if (this.end) return;
    try {
      this.parser.push(chunk);
    } catch (e) {
      this.close(new RunvError(Code.Internal, 'ttrpc connection failed', { cause: e }));
    }
  }

  private drained(): void {
    const { resolve } = this.writable;
    this.writable = Promise.withResolvers();
    resolve();
    this.release(this);
  }

  private lost(cause: Error | undefined): RunvError {
    const where = this.parser.insideFrame ? ' inside a frame' : '';
    const why = cause ? `: ${cause.message}` : '';
    return new RunvError(Code.Unavailable, `ttrpc connection ended${where}${why}`, { cause });
  }
}

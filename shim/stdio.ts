import { closeSync, constants, createWriteStream, openSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Duplex, Writable } from 'node:stream';
import { Code, RunvError } from '../proto/error.ts';
import { readFrames, streamHello, writeFrames } from '../proto/stdio-stream.ts';
import type { Log } from './log.ts';
import { Logger, type LogSource } from './logger.ts';

/** What containerd says about a process's standard streams: FIFO paths or URIs, empty for none. */
export interface StdioSpec {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

/** The ids under which the agent finds the streams; 0 for none. */
export interface StreamIds {
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** Opens a stream to the agent's stdio port. */
export type Connect = () => Promise<Duplex>;

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;

/**
 * Copies between containerd's FIFOs and the agent's streams, one connection for each stream.
 * End-of-file is as with containerd's runc shim: stdin ends when CloseIO was called and every
 * writer has closed the FIFO; stdout's reader sees the end when the process's output has ended.
 */
export class ProcessIo {
  readonly ids: StreamIds;
  readonly #log: Log;
  /** Keeps stdin's FIFO from ending before CloseIO. */
  #stdinKeeper: number | undefined;
  #stdin: { readonly path: string; readonly connection: Duplex } | undefined;
  #stdinClosed = false;
  #closed = false;
  readonly #connections: Duplex[] = [];
  readonly #outputs: Promise<void>[] = [];

  /**
   * Opens what `spec` names and connects each stream.
   * @param allocate gives stream ids that are unique in the VM
   * @param of whose streams they are, for a logger
   * @throws RunvError NotFound when a FIFO is not there, Unimplemented for an unknown URI scheme,
   *   FailedPrecondition for a logger that does not run
   */
  static async open(
    spec: StdioSpec,
    connect: Connect,
    allocate: () => number,
    of: LogSource,
    log: Log,
  ): Promise<ProcessIo> {
    // as with runc's shim: the one that stdout names takes stderr as well
    const logger = isLogger(spec.stdout) ? await Logger.start(spec.stdout, of) : undefined;
    const io = new ProcessIo(log, {
      stdin: spec.stdin === '' ? 0 : allocate(),
      stdout: spec.stdout === '' ? 0 : allocate(),
      stderr: spec.stderr === '' || spec.terminal ? 0 : allocate(),
    });
    try {
      await Promise.all([
        io.ids.stdin && io.#prepareIn(spec.stdin, io.ids.stdin, connect),
        io.ids.stdout &&
          io.#pumpOut(() => openSink(spec.stdout, logger?.stdout), io.ids.stdout, connect),
        io.ids.stderr &&
          io.#pumpOut(() => openSink(spec.stderr, logger?.stderr), io.ids.stderr, connect),
      ]);
    } catch (e) {
      io.close();
      void logger?.end();
      throw e;
    }
    if (logger) void io.drained().then(() => logger.end());
    return io;
  }

  private constructor(log: Log, ids: StreamIds) {
    this.#log = log;
    this.ids = ids;
  }

  /**
   * Begins to read stdin; call when the process is about to start, once. Not before: a client's
   * copy then waits for us, and ctr can only tell of its end once it knows that the task exists.
   * @throws RunvError NotFound when the FIFO is not there
   */
  readStdin(): void {
    if (!this.#stdin) return;
    const { path, connection } = this.#stdin;
    const source = new Socket({ fd: openFifo(path, O_RDONLY), readable: true, writable: false });
    source.on('error', () => undefined);
    if (!this.#stdinClosed) this.#stdinKeeper = openFifo(path, O_WRONLY);
    connection.once('close', () => source.destroy());
    writeFrames(source, connection).catch((e: unknown) => {
      // The process has gone, or never read: nobody is told, as with a broken pipe.
      this.#log.debug({ err: e }, 'stdin ended early');
      source.destroy();
    });
  }

  /** Resolves when stdout and stderr have ended, or been lost, and their FIFOs are closed. */
  async drained(): Promise<void> {
    await Promise.all(this.#outputs);
  }

  /** Lets stdin end once its writers have closed. Idempotent. */
  closeStdin(): void {
    this.#stdinClosed = true;
    if (this.#stdinKeeper === undefined) return;
    closeSync(this.#stdinKeeper);
    this.#stdinKeeper = undefined;
  }

  /** Gives up every stream at once. Idempotent. */
  close(): void {
    this.#closed = true;
    this.closeStdin();
    for (const connection of this.#connections) connection.destroy();
  }

  async #connect(id: number, connect: Connect): Promise<Duplex> {
    const connection = await connect();
    connection.on('error', () => undefined);
    this.#connections.push(connection);
    if (this.#closed) connection.destroy();
    connection.write(streamHello(id));
    return connection;
  }

  async #prepareIn(path: string, id: number, connect: Connect): Promise<void> {
    this.#stdin = { path, connection: await this.#connect(id, connect) };
  }

  async #pumpOut(open: () => Sink, id: number, connect: Connect): Promise<void> {
    const { sink, release } = open();
    sink.on('error', () => undefined);
    let connection: Duplex;
    try {
      connection = await this.#connect(id, connect);
    } catch (e) {
      sink.destroy();
      release();
      throw e;
    }
    const pump = async () => {
      try {
        await readFrames(connection, sink);
      } catch (e) {
        this.#log.warn({ err: e }, 'output ended early');
      } finally {
        sink.destroy();
        release();
      }
    };
    this.#outputs.push(pump());
  }
}

function openFifo(path: string, flags: number): number {
  try {
    // Non-blocking: a FIFO's open would wait for its peer in a thread of libuv's small pool.
    return openSync(path, flags | O_NONBLOCK);
  } catch (e) {
    throw new RunvError(Code.NotFound, `cannot open stdio FIFO ${path}: ${(e as Error).message}`);
  }
}

const isLogger = (target: string) => target.startsWith('binary://');

/** Where output goes; `release` gives back what keeps it open. */
interface Sink {
  readonly sink: Writable;
  readonly release: () => void;
}

/** @param logger takes the output of a target that names one */
function openSink(target: string, logger: Writable | undefined): Sink {
  if (logger && isLogger(target)) return { sink: logger, release: () => undefined };
  const scheme = /^([a-z]+):\/\//.exec(target)?.[1];
  if (scheme === undefined || scheme === 'fifo') {
    const path = scheme === undefined ? target : new URL(target).pathname;
    // A reader of our own: without one the write end cannot be opened, and a client that goes
    // away would break the process's output instead of holding it up.
    const keeper = openFifo(path, O_RDONLY);
    const sink = new Socket({ fd: openFifo(path, O_WRONLY), readable: false, writable: true });
    return { sink, release: () => closeSync(keeper) };
  }
  if (scheme === 'file') {
    const path = decodeURIComponent(new URL(target).pathname);
    return { sink: createWriteStream(path, { flags: 'a' }), release: () => undefined };
  }
  throw new RunvError(
    Code.Unimplemented,
    `output to ${scheme}:// is not supported; use a FIFO, file:// or binary://`,
  );
}

import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import { readFrames, writeFrames } from '../proto/stdio-stream.ts';
import { bytesAvailable, hungUp, pipe, setWindowSize, streamFromFd } from '../proto/sys.ts';
import type { Log } from './log.ts';
import type { Streams } from './streams.ts';

/** How long an exit waits for output that the host does not take. */
const settleTimeoutMs = 5000;
const settlePollMs = 5;

/** What a child gets as descriptors 0, 1 and 2; 'ignore' is /dev/null. */
export type ChildStdio = [number | 'ignore', number | 'ignore', number | 'ignore'];

/**
 * The stdio of one process: the agent's ends of its pipes or its terminal, each copied to or from
 * a stream to the host. Pipes, not socket pairs: /dev/stdout must be a file that can be opened.
 */
export class ProcessIo {
  readonly terminal: boolean;
  /** For the spawn; all 'ignore' with a terminal, which runc makes. */
  readonly child: ChildStdio = ['ignore', 'ignore', 'ignore'];
  readonly #log: Log;
  readonly #outputs: Output[] = [];
  #input: { readonly connection: Duplex; readonly sink: Socket } | undefined;
  #terminal: { readonly fd: number; readonly master: Socket } | undefined;
  readonly #connections: {
    readonly stdin: Duplex | undefined;
    readonly stdout: Duplex | undefined;
  };

  /**
   * Waits for the streams that `stdio` names.
   * @throws RunvError DeadlineExceeded when one is not opened; the others are closed then
   */
  static async open(
    stdio: agent.Stdio,
    streams: Streams,
    signal: AbortSignal,
    log: Log,
  ): Promise<ProcessIo> {
    const take = (id: number) => (id === 0 ? undefined : streams.take(id, signal));
    const taken = await Promise.allSettled([
      take(stdio.stdin),
      take(stdio.stdout),
      take(stdio.terminal ? 0 : stdio.stderr),
    ]);
    const failed = taken.find((t) => t.status === 'rejected');
    const connections = taken.map((t) => (t.status === 'fulfilled' ? t.value : undefined));
    try {
      if (failed) throw failed.reason;
      return new ProcessIo(stdio.terminal, connections, log);
    } catch (e) {
      for (const connection of connections) connection?.destroy();
      throw e;
    }
  }

  private constructor(terminal: boolean, connections: (Duplex | undefined)[], log: Log) {
    const [stdin, stdout, stderr] = connections;
    this.terminal = terminal;
    this.#log = log;
    this.#connections = { stdin, stdout };
    if (terminal) return;
    if (stdin) {
      const { readFd, writeFd } = pipe();
      this.child[0] = readFd;
      this.#input = { connection: stdin, sink: streamFromFd(writeFd, { readable: false }) };
    }
    for (const [n, connection] of [stdout, stderr].entries()) {
      if (!connection) continue;
      const { readFd, writeFd } = pipe();
      this.child[n + 1] = writeFd;
      const source = streamFromFd(readFd, { writable: false });
      this.#outputs.push(new Output(readFd, source, source, connection, this.#log));
    }
  }

  /**
   * Begins to copy: call when the process is there. What runc writes when it fails is no output of
   * the process, and the caller is told by an error.
   */
  begin(): void {
    this.#releaseChildEnds();
    if (this.#input) {
      const { connection, sink } = this.#input;
      void this.#copyIn(connection, sink).then(() => sink.end());
    }
    for (const output of this.#outputs) output.begin();
  }

  /** Closes the agent's copies of the child's ends. Idempotent. */
  #releaseChildEnds(): void {
    for (const [n, fd] of this.child.entries()) {
      if (fd !== 'ignore') closeSync(fd);
      this.child[n] = 'ignore';
    }
  }

  /** As `begin`, with the terminal whose master is `fd`; owns it from now on. */
  beginOnTerminal(fd: number): void {
    // a high-water mark of 1: see outputOf
    const master = streamFromFd(fd, { readableHighWaterMark: 1 } as object);
    this.#terminal = { fd, master };
    const { stdin, stdout } = this.#connections;
    const output = outputOf(master);
    if (stdout) {
      const shown = new Output(fd, master, output, stdout, this.#log);
      this.#outputs.push(shown);
      shown.begin();
    } else {
      output.resume();
    }
    // the end of stdin closes nothing: as with runc's shim, the terminal stays
    if (stdin) void this.#copyIn(stdin, master);
  }

  /** @throws RunvError FailedPrecondition without a terminal, or when it has closed */
  resize(columns: number, rows: number): void {
    if (!this.#terminal || this.#terminal.master.destroyed) {
      throw new RunvError(Code.FailedPrecondition, 'the process has no terminal');
    }
    setWindowSize(this.#terminal.fd, columns, rows);
  }

  /** The process is gone: nobody reads its stdin any more. Idempotent. */
  closeInput(): void {
    this.#input?.connection.destroy();
    this.#input?.sink.destroy();
    this.#connections.stdin?.destroy();
  }

  /**
   * Call when the process has exited. Resolves when its output is with the host: when the stream
   * has ended and the host has closed it; or, while another process holds the other end open, when
   * all that was written so far is sent. Where the host does not take it, waits `timeoutMs` at most;
   * what is left is still delivered afterwards, until `close`.
   */
  async settle(timeoutMs = settleTimeoutMs): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    await Promise.all(this.#outputs.map((output) => output.settle(deadline)));
  }

  /** Gives everything up at once, undelivered output too. Idempotent. */
  close(): void {
    this.#releaseChildEnds();
    this.closeInput();
    for (const output of this.#outputs) output.close();
    this.#terminal?.master.destroy();
    this.#connections.stdout?.destroy();
  }

  async #copyIn(connection: Duplex, sink: Socket): Promise<void> {
    // a process that closes its stdin, or leaves it unread, is no error
    sink.on('error', () => undefined);
    try {
      await readFrames(connection, sink);
    } catch (e) {
      if (!sink.destroyed) this.#log.info({ err: e }, 'stdin ended early');
    }
  }
}

/** One stream from a process to the host. */
class Output {
  readonly #fd: number;
  /** Owns `#fd`. */
  readonly #socket: Socket;
  readonly #source: Readable;
  readonly #connection: Duplex;
  readonly #log: Log;
  #done: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(fd: number, socket: Socket, source: Readable, connection: Duplex, log: Log) {
    this.#fd = fd;
    this.#socket = socket;
    this.#source = source;
    this.#connection = connection;
    this.#log = log;
  }

  begin(): void {
    this.#done = writeFrames(this.#source, this.#connection)
      .catch((e: unknown) => {
        // Nobody can get it any more. Closing our end tells the process, by SIGPIPE or EPIPE.
        if (!this.#ended) this.#log.info({ err: e }, 'output ended early');
        this.#socket.destroy();
      })
      .finally(() => (this.#ended = true));
  }

  async settle(deadline: number): Promise<void> {
    // Twice: a terminal's bytes are on their way for a moment, in no buffer that can be asked.
    for (let idle = 0; !this.#ended && performance.now() < deadline;) {
      idle = this.#idle() ? idle + 1 : 0;
      if (idle === 2) return;
      await Promise.race([this.#done, sleep(settlePollMs)]);
    }
  }

  /** Whether everything written so far has been sent, though the stream has not ended. */
  #idle(): boolean {
    if (this.#socket.destroyed || hungUp(this.#fd)) return false;
    return (
      bytesAvailable(this.#fd) === 0 &&
      this.#socket.readableLength === 0 &&
      this.#source.readableLength === 0 &&
      this.#connection.writableLength === 0
    );
  }

  close(): void {
    this.#ended = true;
    this.#connection.destroy();
    this.#socket.destroy();
  }
}

/**
 * What a terminal shows. Once its last user has closed it, reading fails with EIO: its end, not an
 * error. A failing socket drops what it has buffered, so the buffer holds one chunk at most (its
 * high-water mark is 1), and nothing is read, nor can fail, before that chunk has been taken.
 */
function outputOf(master: Socket): Readable {
  const output = new Readable({
    read: () => void master.resume(),
    destroy: (e, done) => {
      master.destroy();
      done(e);
    },
  });
  master.on('data', (chunk: Buffer) => {
    if (!output.push(chunk)) master.pause();
  });
  master.on('error', () => undefined);
  master.on('close', () => output.push(null));
  return output;
}

import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';

/** How a child process ended; exactly one of the two is set. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What went wrong, for people: `exited with status 1`, `was killed by SIGKILL`. */
export function describeExit(exit: ChildExit): string {
  return exit.signal ? `was killed by ${exit.signal}` : `exited with status ${exit.code}`;
}

/** A process of ours that runs beside us: started in the foreground, supervised, stopped by us. */
export class Child {
  readonly process: ChildProcess;
  /** Resolves when the process is gone; never rejects. Its pipes may still be open. */
  readonly exited: Promise<ChildExit>;
  #exit: ChildExit | undefined;

  /** @throws RunvError FailedPrecondition when the program cannot be started */
  static async start(
    command: string,
    args: readonly string[],
    options: { stdio: StdioOptions; env: NodeJS.ProcessEnv; detached?: boolean },
  ): Promise<Child> {
    const child = spawn(command, args, options);
    const owned = new Child(child);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (e) =>
        reject(new RunvError(Code.FailedPrecondition, `cannot start ${command}: ${e.message}`)),
      );
    });
    return owned;
  }

  private constructor(child: ChildProcess) {
    this.process = child;
    this.exited = new Promise((resolve) => {
      // 'exit', not 'close': an inherited pipe can hold 'close' back for ever.
      child.once('exit', (code, signal) => {
        this.#exit = { code, signal };
        resolve(this.#exit);
      });
    });
    child.on('error', () => undefined);
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  get exit(): ChildExit | undefined {
    return this.#exit;
  }

  /** Ends the process: SIGTERM, SIGKILL after `graceMs` (at once when 0), then waits for its exit. */
  async stop(graceMs: number): Promise<ChildExit> {
    if (this.#exit) return this.#exit;
    if (graceMs > 0) {
      this.process.kill('SIGTERM');
      const timer = new AbortController();
      const late = sleep(graceMs, undefined, { signal: timer.signal }).catch(() => undefined);
      await Promise.race([this.exited, late]);
      timer.abort();
    }
    if (!this.#exit) this.process.kill('SIGKILL');
    return this.exited;
  }
}

/**
 * Calls `onLine` for each line of a child's output. Of a longer line than `maxBytes` the rest is
 * dropped as it comes: what a guest prints must not fill the shim's memory.
 */
export function eachLine(stream: Readable, onLine: (line: string) => void, maxBytes = 1024): void {
  let held: Buffer[] = [];
  let heldBytes = 0;
  const keep = (part: Buffer) => {
    const room = part.subarray(0, Math.max(0, maxBytes - heldBytes));
    if (room.length > 0) held.push(Buffer.from(room));
    heldBytes += room.length;
  };
  const flush = () => {
    const line = Buffer.concat(held).toString('utf8').replace(/\r$/, '');
    held = [];
    heldBytes = 0;
    onLine(line);
  };
  stream.on('data', (chunk: Buffer) => {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      keep(chunk.subarray(from, end));
      flush();
      from = end + 1;
    }
    keep(chunk.subarray(from));
  });
  stream.on('end', () => heldBytes > 0 && flush());
  stream.on('error', () => undefined);
}

/** Output kept of a command that is run for its result. */
const maxOutputBytes = 1024 * 1024;

/**
 * Runs a command to its end and returns its standard output.
 * @throws RunvError Internal with what it printed last on stderr when it fails
 * @throws AbortError when `signal` aborts; the command is killed then
 */
export async function run(
  command: string,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  signal?.throwIfAborted();
  const child = await Child.start(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: process.env,
    detached: true,
  });
  // Its group: what the command has started must not go on without it.
  const kill = () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // gone meanwhile
    }
  };
  signal?.addEventListener('abort', kill, { once: true });
  const collect = (stream: Readable | null) => {
    const chunks: Buffer[] = [];
    let size = 0;
    stream?.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxOutputBytes) chunks.push(chunk);
    });
    return () => Buffer.concat(chunks).toString('utf8');
  };
  const stdout = collect(child.process.stdout);
  const stderr = collect(child.process.stderr);
  const exit = await new Promise<ChildExit>((resolve) => {
    child.process.once('close', (code, sig) => resolve({ code, signal: sig }));
  });
  signal?.removeEventListener('abort', kill);
  signal?.throwIfAborted();
  if (exit.code !== 0) {
    const last = stderr().trim().split('\n').at(-1) ?? '';
    throw new RunvError(Code.Internal, `${command} ${describeExit(exit)}: ${last}`);
  }
  return stdout();
}

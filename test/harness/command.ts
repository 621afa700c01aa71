import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** What a finished command left. `code` is null exactly when `signal` is not. */
export interface Outcome {
  readonly argv: readonly string[];
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as bytes, for what is not text. */
  readonly stdoutBytes: Buffer;
  readonly elapsedMs: number;
}

export interface RunOptions {
  /** Milliseconds until the command is killed and `run` throws. Guards against hanging only. */
  readonly deadlineMs?: number;
  /** Absent: no standard input (an empty one). */
  readonly stdin?: string | Uint8Array | Readable;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Gets stdout instead of its being collected: for more than fits a string. */
  readonly onStdout?: (chunk: Buffer) => void;
}

export interface StartOptions extends RunOptions {
  /** Leaves the command's input open for `write`. */
  readonly keepStdin?: boolean;
  /** Reads nothing of stdout until `readOutput`, so that the writer comes to a halt. */
  readonly holdOutput?: boolean;
}

/**
 * The default deadline is far above what anything takes on a slow machine, and above the minute
 * after which a shim gives up a guest: a test that hits it has found something that hangs.
 */
export const defaultDeadlineMs = 90_000;

/**
 * How many times longer than elsewhere things may take here: 1 but where RUNV_TEST_PATIENCE says
 * otherwise, as a virtual machine within an emulated one does. Every deadline is multiplied by it.
 */
const patience = Number(process.env['RUNV_TEST_PATIENCE'] ?? 1);

/** A deadline in milliseconds as it is on this machine. */
export function patient(ms: number): number {
  return ms * patience;
}

/** A command that runs on while the test does something else. */
export class Running implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly argv: readonly string[];
  readonly outcome: Promise<Outcome>;
  readonly #out: Buffer[] = [];
  readonly #err: Buffer[] = [];
  readonly #onStdout: (chunk: Buffer) => void;

  constructor(file: string, args: readonly string[], options: StartOptions) {
    this.argv = [file, ...args];
    const startedMs = performance.now();
    const withStdin = options.keepStdin === true || options.stdin !== undefined;
    this.child = spawn(file, args, {
      stdio: [withStdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      env: options.env ?? process.env,
      cwd: options.cwd,
    });
    this.#onStdout = options.onStdout ?? ((chunk) => void this.#out.push(chunk));
    if (options.holdOutput !== true) this.readOutput();
    this.child.stderr?.on('data', (chunk: Buffer) => this.#err.push(chunk));
    // the command may end without reading all of its input: that is its outcome, not a test error
    this.child.stdin?.on('error', () => {});
    if (options.stdin !== undefined && this.child.stdin) {
      if (typeof options.stdin === 'string' || options.stdin instanceof Uint8Array) {
        this.child.stdin.end(options.stdin);
      } else {
        pipeline(options.stdin, this.child.stdin).catch(() => {});
      }
    }
    const deadlineMs = patient(options.deadlineMs ?? defaultDeadlineMs);
    this.outcome = this.#wait(startedMs, deadlineMs);
    // whoever awaits it still sees the failure; without this a test that ended early would crash
    this.outcome.catch(() => {});
  }

  get stdoutSoFar(): string {
    return Buffer.concat(this.#out).toString();
  }

  get stderrSoFar(): string {
    return Buffer.concat(this.#err).toString();
  }

  readOutput(): void {
    this.child.stdout?.on('data', this.#onStdout);
  }

  write(data: string | Uint8Array): void {
    this.child.stdin?.write(data);
  }

  endStdin(): void {
    this.child.stdin?.end();
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits until stdout matches. Throws at the command's end or the deadline without a match. */
  async untilStdout(pattern: RegExp, deadlineMs = defaultDeadlineMs): Promise<string> {
    const endMs = performance.now() + patient(deadlineMs);
    while (!pattern.test(this.stdoutSoFar)) {
      const ended = this.child.exitCode !== null || this.child.signalCode !== null;
      if (ended) await this.outcome;
      if (pattern.test(this.stdoutSoFar)) break;
      if (ended || performance.now() > endMs) {
        throw new Error(
          `${this.argv.join(' ')}: stdout never matched ${String(pattern)} ` +
            `(${ended ? 'command ended' : 'deadline'})\n${this.#report()}`,
        );
      }
      await delay(20);
    }
    return this.stdoutSoFar;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.outcome.catch(() => {});
  }

  async #wait(startedMs: number, deadlineMs: number): Promise<Outcome> {
    let expired = false;
    const timer = setTimeout(() => {
      expired = true;
      this.child.kill('SIGKILL');
      // a grandchild may hold the pipes open for ever: stop listening so that `close` comes
      this.child.stdout?.destroy();
      this.child.stderr?.destroy();
    }, deadlineMs);
    try {
      const [code, signal] = (await once(this.child, 'close')) as [
        number | null,
        NodeJS.Signals | null,
      ];
      if (expired) {
        throw new Error(
          `${this.argv.join(' ')}: did not end within ${deadlineMs} ms\n${this.#report()}`,
        );
      }
      const stdoutBytes = Buffer.concat(this.#out);
      return {
        argv: this.argv,
        code,
        signal,
        stdout: stdoutBytes.toString(),
        stderr: this.stderrSoFar,
        stdoutBytes,
        elapsedMs: performance.now() - startedMs,
      };
    } finally {
      clearTimeout(timer);
    }
  }

  #report(): string {
    return `stdout: ${tail(this.stdoutSoFar)}\nstderr: ${tail(this.stderrSoFar)}`;
  }
}

function tail(text: string): string {
  return text.length > 4000 ? `…${text.slice(-4000)}` : text;
}

/** Starts a command without waiting. */
export function start(file: string, args: readonly string[], options: StartOptions = {}): Running {
  return new Running(file, args, options);
}

/** Runs a command to its end. A non-zero exit is an outcome, not an exception. */
export async function run(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  return await new Running(file, args, options).outcome;
}

/** Runs a command that must succeed and returns its stdout. */
export async function must(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const outcome = await run(file, args, options);
  if (outcome.code !== 0) throw new Error(describe(outcome));
  return outcome.stdout;
}

/** One text with all that is known of a finished command, for assertion messages. */
export function describe(outcome: Outcome): string {
  return (
    `${outcome.argv.join(' ')}: ended with ${outcome.signal ?? outcome.code} ` +
    `after ${Math.round(outcome.elapsedMs)} ms\n` +
    `stdout: ${tail(outcome.stdout)}\nstderr: ${tail(outcome.stderr)}`
  );
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Polls until `probe` returns something other than undefined or false.
 * @param what names the awaited state in the error
 */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = defaultDeadlineMs,
): Promise<T> {
  const endMs = performance.now() + patient(deadlineMs);
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > endMs) throw new Error(`${what}: not so within ${deadlineMs} ms`);
    await delay(25);
  }
}

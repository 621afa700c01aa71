import { closeSync, constants, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import type { Reaper } from './reaper.ts';
import type { ChildStdio } from './stdio.ts';

export interface RuncOptions {
  /** The program. */
  readonly path: string;
  /** Where it keeps its state. */
  readonly root: string;
  /** For logs and other files that live as long as one call. */
  readonly tempDir: string;
}

/** What `create` and `exec` share. */
export interface Launch {
  readonly stdio: ChildStdio;
  /** Where runc hands over a terminal's master; undefined: no terminal. */
  readonly consoleSocket: string | undefined;
}

const noStdio: ChildStdio = ['ignore', 'ignore', 'ignore'];
/** A program that takes longer hangs; slower emulation has been seen to take a tenth of it. */
const timeoutMs = 120_000;
const pollMs = 2;

/** Loaded at first use: it takes a fifth of the agent's start in an emulated guest. */
const childProcess = () => process.getBuiltinModule('node:child_process');

/**
 * The only place that builds a runc command line. All calls fail with runc's own last error, as
 * RunvError Unknown: containerd then shows it as with its runc shim.
 */
export class Runc {
  readonly #options: RuncOptions;
  readonly #reaper: Reaper;
  #calls = 0;

  constructor(options: RuncOptions, reaper: Reaper) {
    this.#options = options;
    this.#reaper = reaper;
  }

  /** Loads what the first call needs, so that it need not wait for that. */
  static warmUp(): void {
    childProcess();
  }

  /**
   * Creates a container from `bundle`. Its first process is left to the reaper.
   * @returns that process's pid
   */
  async create(id: string, bundle: string, launch: Launch, signal: AbortSignal): Promise<number> {
    return this.#launch('create', ['--bundle', bundle], launch, id, signal);
  }

  /**
   * Lets the first process of a created container run its program. Does what `runc start` does
   * (libcontainer, `Container.exec`), whose own start costs more than all the rest: the process
   * waits for a reader of a FIFO, says a byte and closes it by running the program; runc takes the
   * container for created while the FIFO is there.
   * @param ended resolves when that process has ended
   */
  async start(id: string, ended: Promise<unknown>): Promise<void> {
    const fifo = join(this.#options.root, id, 'exec.fifo');
    let fd: number;
    try {
      fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch {
      return this.#run('start', [id]); // knows what is wrong, or how it starts one
    }
    try {
      await untilClosed(fd, ended);
    } finally {
      closeSync(fd);
    }
    rmSync(fifo, { force: true });
  }

  /**
   * Runs one more process.
   * @param processFile the OCI `process` object
   * @returns its pid; it is left to the reaper
   */
  async exec(
    id: string,
    processFile: string,
    launch: Launch,
    signal: AbortSignal,
  ): Promise<number> {
    return this.#launch('exec', ['--detach', '--process', processFile], launch, id, signal);
  }

  async pause(id: string): Promise<void> {
    await this.#run('pause', [id]);
  }

  async resume(id: string): Promise<void> {
    await this.#run('resume', [id]);
  }

  /** @param resourcesFile the OCI `linux.resources` object */
  async update(id: string, resourcesFile: string): Promise<void> {
    await this.#run('update', ['--resources', resourcesFile, id]);
  }

  /** Removes a stopped container's state and cgroup; `force` kills it first, or finds nothing. */
  async delete(id: string, { force = false } = {}): Promise<void> {
    await this.#run('delete', force ? ['--force', id] : [id]);
  }

  async #launch(
    command: 'create' | 'exec',
    args: string[],
    { stdio, consoleSocket }: Launch,
    id: string,
    signal: AbortSignal,
  ): Promise<number> {
    const pidFile = this.#tempFile('pid');
    const console = consoleSocket === undefined ? [] : ['--console-socket', consoleSocket];
    try {
      await this.#run(command, [...args, ...console, '--pid-file', pidFile, id], stdio, signal);
      return Number(readFileSync(pidFile, 'utf8'));
    } finally {
      rmSync(pidFile, { force: true });
    }
  }

  #tempFile(suffix: string): string {
    return join(this.#options.tempDir, `runc-${++this.#calls}.${suffix}`);
  }

  async #run(
    command: string,
    args: string[],
    stdio: ChildStdio = noStdio,
    signal?: AbortSignal,
  ): Promise<void> {
    signal?.throwIfAborted();
    const log = this.#tempFile('log');
    const globals = ['--root', this.#options.root, '--log', log, '--log-format', 'json'];
    const deadline = AbortSignal.timeout(timeoutMs);
    try {
      const end = await this.#spawn(
        [...globals, command, ...args],
        stdio,
        signal ? AbortSignal.any([signal, deadline]) : deadline,
      );
      if (end === 'exit code 0') return;
      signal?.throwIfAborted();
      const why = deadline.aborted ? `no answer within ${timeoutMs} ms` : lastError(log);
      throw new RunvError(Code.Unknown, `OCI runtime ${command} failed: ${why ?? end}`);
    } finally {
      rmSync(log, { force: true });
    }
  }

  /** @returns how it ended */
  #spawn(args: string[], stdio: ChildStdio, signal: AbortSignal): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = childProcess().spawn(this.#options.path, args, {
        stdio,
        cwd: '/',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      });
      // no signal option: it would report the abort before the process has gone
      const kill = () => child.kill('SIGKILL');
      signal.addEventListener('abort', kill, { once: true });
      child.once('error', (e) =>
        reject(new RunvError(Code.Internal, `cannot run ${this.#options.path}: ${e.message}`)),
      );
      const { pid } = child;
      if (pid === undefined) return;
      this.#reaper.spawned(pid);
      // 'exit', not 'close': the container's processes hold runc's stdio
      child.once('exit', (code, killed) => {
        signal.removeEventListener('abort', kill);
        this.#reaper.spawnedExited(pid);
        resolve(killed === null ? `exit code ${code}` : `killed by ${killed}`);
      });
    });
  }
}

/** Waits until what wrote to a FIFO has closed it. */
async function untilClosed(fd: number, ended: Promise<unknown>): Promise<void> {
  const failed = (why: string) => new RunvError(Code.Unknown, `OCI runtime start failed: ${why}`);
  const deadline = performance.now() + timeoutMs;
  let hasEnded = false;
  void ended.then(() => (hasEnded = true));
  for (let spoke = false; ; await sleep(pollMs)) {
    const nothingComes = hasEnded;
    const bytes = readSome(fd);
    if (bytes === 0 && spoke) return;
    if (bytes !== undefined && bytes > 0) spoke = true;
    else if (nothingComes) throw failed('container process is already dead');
    if (performance.now() > deadline) throw failed(`no answer within ${timeoutMs} ms`);
  }
}

/** @returns how many bytes; 0 when nobody writes, undefined when somebody may yet */
function readSome(fd: number): number | undefined {
  try {
    return readSync(fd, Buffer.alloc(16));
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw e;
  }
}

/** The last error of runc's JSON log, on one line: what runc itself prints. */
function lastError(path: string): string | undefined {
  try {
    return parseLastError(readFileSync(path, 'utf8'));
  } catch {
    return undefined; // killed before it had one
  }
}

/** Exported for its test. */
export function parseLastError(text: string): string | undefined {
  let last: string | undefined;
  for (const line of text.split('\n')) {
    let entry: unknown;
    try {
      entry = JSON.parse(line);
    } catch {
      continue; // a line cut off by a kill
    }
    const { level, msg } = entry as { level?: unknown; msg?: unknown };
    if (level === 'error' && typeof msg === 'string') last = msg;
  }
  return last?.trim().replace(/\s*\n\s*/g, '; ');
}

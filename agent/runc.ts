import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';

/** Where runc keeps its containers' state; a tmpfs. */
const stateRoot = '/run/runc';
/** stderr kept of a runc that fails before it can log. */
const maxStderrBytes = 16 * 1024;

/** Descriptors that become a process's stdin, stdout and stderr; runc hands them on. */
export type StdioFds = readonly [stdin: number, stdout: number, stderr: number];

/** What both `create` and `exec` need. */
interface ProcessFiles {
  readonly pidFile: string;
  /** Listening Unix socket that takes the terminal's master; undefined: no terminal. */
  readonly consoleSocket: string | undefined;
}

/**
 * The only place that builds runc's command line (runc(8), 1.1). Every call runs one runc to its
 * end and rejects with what runc logged: RunvError NotFound for a missing program, Internal else.
 */
export class Runc {
  readonly #logDir: string;
  #calls = 0;

  /** @param logDir for runc's logs, one file a call, removed after it */
  constructor(logDir: string) {
    this.#logDir = logDir;
    mkdirSync(logDir, { recursive: true });
  }

  create(id: string, bundle: string, files: ProcessFiles, stdio: StdioFds): Promise<void> {
    return this.#run(['create', '--bundle', bundle, ...processFlags(files), id], stdio);
  }

  start(id: string): Promise<void> {
    return this.#run(['start', id]);
  }

  /** @param processFile OCI `process` object as a JSON file */
  exec(id: string, processFile: string, files: ProcessFiles, stdio: StdioFds): Promise<void> {
    const flags = ['--detach', '--process', processFile, ...processFlags(files)];
    return this.#run(['exec', ...flags, id], stdio);
  }

  pause(id: string): Promise<void> {
    return this.#run(['pause', id]);
  }

  resume(id: string): Promise<void> {
    return this.#run(['resume', id]);
  }

  /** @param resourcesFile OCI `linux.resources` object as a JSON file */
  update(id: string, resourcesFile: string): Promise<void> {
    return this.#run(['update', '--resources', resourcesFile, id]);
  }

  /** Kills what still runs of the container, and forgets it. */
  delete(id: string): Promise<void> {
    return this.#run(['delete', '--force', id]);
  }

  async #run(args: readonly string[], stdio?: StdioFds): Promise<void> {
    const log = join(this.#logDir, `${++this.#calls}.log`);
    const words = ['--root', stateRoot, '--log', log, '--log-format', 'json', ...args];
    // With the process's own descriptors as stdio, runc's complaints are in its log alone.
    const child = spawn('/usr/bin/runc', words, {
      stdio: stdio ? [...stdio] : ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      if (stderr.length < maxStderrBytes) stderr += chunk.toString();
    });
    const status = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      child.once('error', reject);
      // Not 'close': a container process may hold stderr open for as long as it likes.
      child.once('exit', (code, signal) => resolve(signal ?? code));
    });
    try {
      if (status === 0) return;
      throw failure(args[0] ?? '', status, logged(log) ?? stderr.trim());
    } finally {
      rmSync(log, { force: true });
    }
  }
}

function processFlags({ pidFile, consoleSocket }: ProcessFiles): string[] {
  const terminal = consoleSocket === undefined ? [] : ['--console-socket', consoleSocket];
  return ['--pid-file', pidFile, ...terminal];
}

/** The last error that runc logged. */
function logged(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  for (const line of text.trimEnd().split('\n').reverse()) {
    try {
      const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
      if (level === 'error' && msg !== undefined) return msg;
    } catch {
      // cut short, or not runc's
    }
  }
  return undefined;
}

function failure(command: string, status: unknown, said: string): RunvError {
  const text = said === '' ? `ended with ${String(status)}` : said.replaceAll('\n', ' ');
  // containerd's shim passes runc's words on in the same form; users search for them.
  return new RunvError(Code.Internal, `OCI runtime ${command} failed: ${text}`);
}

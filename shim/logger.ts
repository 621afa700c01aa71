import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import { Child, describeExit } from './child.ts';
import { outside } from './hooks.ts';

/** Whose output it is. */
export interface LogSource {
  readonly id: string;
  readonly namespace: string;
}

/** A logger that does not say within this time that it is ready hangs. */
const readyTimeoutMs = 10_000;
/** How long one may take over the rest when its streams have ended. */
const endTimeoutMs = 12_000;

/**
 * A program that takes a container's output, as containerd's `binary://` URIs name it (containerd,
 * pkg/process/io.go): stdout and stderr arrive on its descriptors 3 and 4, and by closing 5 it says that it is
 * ready. It runs on the host, outside our namespaces, and ends when both streams have.
 */
export class Logger {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
    [this.stdout, this.stderr] = [
      child.process.stdio[3] as Socket,
      child.process.stdio[4] as Socket,
    ];
    for (const stream of [this.stdout, this.stderr]) stream.on('error', () => undefined);
  }

  /**
   * @param uri `binary:///path/of/program?key=value&...`: each key and value is an argument
   * @throws RunvError FailedPrecondition when it cannot be run or ends before it is ready
   */
  static async start(uri: string, { id, namespace }: LogSource): Promise<Logger> {
    const { pathname, searchParams } = new URL(uri);
    const program = decodeURIComponent(pathname);
    const keys = [...new Set(searchParams.keys())];
    const args = keys.flatMap((key) => [key, searchParams.get(key) ?? '']);
    const [command = program, ...words] = [...outside(), program, ...args];
    const child = await Child.start(command, words, {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
      env: { CONTAINER_ID: id, CONTAINER_NAMESPACE: namespace },
    });
    // @types/node ends the list at 4
    const ready = (child.process.stdio as unknown as Socket[])[5] as Socket;
    const closed = new Promise<true>((resolve) => {
      ready
        .on('error', () => undefined)
        .on('close', () => resolve(true))
        .resume();
    });
    const late = sleep(readyTimeoutMs, undefined, { ref: false });
    const isReady = await Promise.race([closed, late]);
    ready.destroy();
    // one that fails closes it as well
    if (isReady && !child.exit) return new Logger(child);
    await child.stop(0);
    const how = child.exit && isReady ? describeExit(child.exit) : 'does not get ready';
    throw new RunvError(Code.FailedPrecondition, `the logger ${program} ${how}`);
  }

  /** Call when nothing more comes; resolves when the logger has ended, by itself or not. */
  async end(): Promise<void> {
    this.stdout.end();
    this.stderr.end();
    const late = sleep(endTimeoutMs, undefined, { ref: false });
    await Promise.race([this.#child.exited, late]);
    await this.#child.stop(0);
  }
}

import type { Exit, ProcessState } from '../proto/process-state.ts';
import { timestampFromNs } from '../proto/timestamp.ts';
import type { Log } from './log.ts';
import type { ChildExit } from './reaper.ts';
import type { ProcessIo } from './stdio.ts';

/** What happens between a process's end and its report. */
export interface ExitHooks {
  /** Runs while the output is delivered; must not wait without bound. */
  readonly beforeExit: () => Promise<unknown>;
  /** Reports the exit: once, after the output and `beforeExit`, whatever became of them. */
  readonly publish: (exit: Exit) => void;
  readonly log: Log;
}

/** One process of a container, from when it has a pid. */
export class ContainerProcess {
  /** Empty for the container's first process. */
  readonly execId: string;
  readonly pid: number;
  readonly io: ProcessIo;
  state: ProcessState;
  /** Resolves when the exit has been reported. */
  readonly published: Promise<void>;

  constructor(
    execId: string,
    state: ProcessState & { kind: 'created' | 'running'; pid: number },
    io: ProcessIo,
    exited: Promise<ChildExit>,
    hooks: ExitHooks,
  ) {
    this.execId = execId;
    this.state = state;
    this.pid = state.pid;
    this.io = io;
    this.published = this.#follow(exited, hooks);
  }

  get running(): boolean {
    return this.state.kind !== 'stopped' && this.state.kind !== 'deleted';
  }

  async #follow(exited: Promise<ChildExit>, hooks: ExitHooks): Promise<void> {
    const { beforeExit, publish, log } = hooks;
    const { status, unixMs } = await exited;
    const exitedAt = timestampFromNs(BigInt(unixMs) * 1_000_000n);
    const exit: Exit = { pid: this.pid, status, exitedAt };
    // from here on the pid may belong to another process
    this.state = { kind: 'stopped', exit };
    this.io.closeInput();
    for (const step of await Promise.allSettled([this.io.settle(), beforeExit()])) {
      if (step.status === 'rejected')
        log.warn({ err: step.reason as unknown }, 'exit not in order');
    }
    publish(exit);
  }
}

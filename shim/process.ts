import { setTimeout as sleep } from 'node:timers/promises';
import {
  assertAllowed,
  type Exit,
  pidOf,
  type ProcessOp,
  type ProcessState,
} from '../proto/process-state.ts';
import type { ProcessIo, StdioSpec } from './stdio.ts';

/** Output that is not taken this long after the exit no longer holds the exit back. */
const drainGraceMs = 2000;

/** One process of a container as containerd knows it: the first one, or an exec. */
export class ContainerProcess {
  /** Empty for the container's first process. */
  readonly execId: string;
  readonly stdio: StdioSpec;
  /** Resolves once, when the exit may be published: after its output, and after its start. */
  readonly exited: Promise<Exit>;
  #io: ProcessIo | undefined;
  #state: ProcessState = { kind: 'created', pid: undefined };
  readonly #exit = Promise.withResolvers<Exit>();
  /** Settles, without a failure, when no start is under way. */
  #starting: Promise<unknown> = Promise.resolve();
  #exitReported = false;
  #stdinClosed = false;

  constructor(execId: string, stdio: StdioSpec) {
    this.execId = execId;
    this.stdio = stdio;
    this.exited = this.#exit.promise;
  }

  get io(): ProcessIo | undefined {
    return this.#io;
  }

  set io(io: ProcessIo | undefined) {
    this.#io = io;
    if (this.#stdinClosed) io?.closeStdin();
  }

  get state(): ProcessState {
    return this.#state;
  }

  /** As containerd is told: of the VMM for a container, in the guest for an exec; 0 before. */
  get pid(): number {
    return pidOf(this.#state);
  }

  /** @throws RunvError FailedPrecondition, or NotFound for a signal to what has ended */
  assertMay(op: ProcessOp): void {
    assertAllowed(this.#state, op, this.execId === '' ? 'the container' : `exec ${this.execId}`);
  }

  /** The first process exists, and waits for its start. */
  created(pid: number): void {
    if (this.#state.kind === 'created') this.#state = { kind: 'created', pid };
  }

  /**
   * Runs `start` in the guest, then `onStarted`; an exit that arrives meanwhile is published after.
   * A process that does not start stays as it was.
   * @param start returns the pid to report
   */
  async start(start: () => Promise<number>, onStarted: (pid: number) => void): Promise<void> {
    this.assertMay('start');
    const starting = start().then((pid) => {
      if (this.#state.kind === 'created') this.#state = { kind: 'running', pid };
      onStarted(pid);
    });
    this.#starting = starting.catch(() => undefined);
    await starting;
  }

  /** Lets stdin end once its writers have closed; before the start, as soon as it has started. */
  closeStdin(): void {
    this.#stdinClosed = true;
    this.#io?.closeStdin();
  }

  /** Waits for a start under way: the process may have shown signs of life before its start returns. */
  async startSettled(): Promise<void> {
    await this.#starting;
  }

  setPaused(paused: boolean): void {
    const { kind } = this.#state;
    if (kind !== 'running' && kind !== 'paused') return;
    this.#state = { kind: paused ? 'paused' : 'running', pid: this.pid };
  }

  /**
   * Takes the exit, waits for start and output, then resolves `exited`. Later calls do nothing.
   * @param before what else must be published first
   */
  async end(
    { status, exitedAt }: Pick<Exit, 'status' | 'exitedAt'>,
    before: Promise<unknown> = Promise.resolve(),
  ): Promise<void> {
    if (this.#exitReported) return;
    this.#exitReported = true;
    await this.#starting;
    const late = new AbortController();
    const grace = sleep(drainGraceMs, undefined, { signal: late.signal }).catch(() => undefined);
    await Promise.race([Promise.all([before, this.#io?.drained()]), grace]);
    late.abort();
    const exit = { status, exitedAt, pid: this.pid };
    this.#state = { kind: 'stopped', exit };
    this.#exit.resolve(exit);
  }
}

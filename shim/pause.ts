import { Code, RunvError } from '../proto/error.ts';
import type { cgroup } from '../proto/messages.ts';
import { timestampFromDate } from '../proto/timestamp.ts';
import type { AgentConnection } from './agent-client.ts';
import { type Backend, GuestBackend } from './backend.ts';
import type { Container } from './container.ts';

/** What ends a pause process: it handles these two, and nothing can stand against SIGKILL. */
const [SIGINT, SIGKILL, SIGTERM] = [2, 9, 15];

/**
 * The container that stands for a pod. Its image's program only holds namespaces, and those are
 * the guest's: the shim answers for it, and nothing of it runs.
 */
export class PauseBackend implements Backend {
  readonly #ready: () => Promise<AgentConnection>;
  #container: Container | undefined;

  /** @param ready the agent; rejects when the VM has ended */
  constructor(ready: () => Promise<AgentConnection>) {
    this.#ready = ready;
  }

  /** Legal once. */
  standsFor(container: Container): void {
    this.#container = container;
  }

  /** A pod is ready when its guest is: what went wrong at its boot is told here. */
  async start(): Promise<void> {
    await this.#ready();
  }

  async signal(_: string, signal: number): Promise<void> {
    // as the first process of a pid namespace it sees no signal that it has no handler for
    if (signal !== SIGINT && signal !== SIGKILL && signal !== SIGTERM) return;
    // what the common pause programs do: SIGINT and SIGTERM are a request to end, and not a failure
    const status = 128 + signal;
    this.#container?.end('', { status, exitedAt: timestampFromDate(new Date()) });
  }

  async pids(): Promise<[]> {
    return [];
  }

  /** The whole pod's. */
  async stats(): Promise<cgroup.IMetrics> {
    return await new GuestBackend('', this.#ready).stats();
  }

  exec(): Promise<never> {
    return this.#refuse('run a process in');
  }

  pause(): Promise<never> {
    return this.#refuse('pause');
  }

  resume(): Promise<never> {
    return this.#refuse('resume');
  }

  resize(): Promise<never> {
    return this.#refuse('resize the terminal of');
  }

  /** Its limits would bind nothing. */
  async update(): Promise<void> {}

  async sync(): Promise<void> {}

  async delete(): Promise<void> {}

  async #refuse(what: string): Promise<never> {
    throw new RunvError(
      Code.FailedPrecondition,
      `cannot ${what} the pod's sandbox container: it stands for the pod, and no process runs in it`,
    );
  }
}

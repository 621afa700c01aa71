import type { agent as proto, cgroup } from '../proto/messages.ts';
import type { AgentConnection } from './agent-client.ts';
import type { StreamIds } from './stdio.ts';

/** What an exec runs. */
export interface ExecRequest {
  readonly execId: string;
  /** OCI `process` object, JSON. */
  readonly process: Uint8Array;
  readonly stdio: StreamIds & { readonly terminal: boolean };
}

/**
 * Who runs a container: the guest's agent, or, for the one that stands for a pod, the shim itself.
 * What is legal when is decided above, by the process's state.
 */
export interface Backend {
  /** Runs the first process. */
  start(): Promise<void>;
  /** @returns the pid in the guest */
  exec(request: ExecRequest): Promise<number>;
  signal(execId: string, signal: number, all: boolean): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** @param resources OCI `linux.resources` object, JSON */
  update(resources: Uint8Array): Promise<void>;
  /** Pids of the guest. */
  pids(): Promise<readonly proto.PidsResponseProcess[]>;
  stats(): Promise<cgroup.IMetrics>;
  resize(execId: string, width: number, height: number): Promise<void>;
  /** Writes out its root file system, so that nothing of it is lost with the VM. */
  sync(): Promise<void>;
  /** Removes an exec that has ended; empty: the container. Nothing of it is in use afterwards. */
  delete(execId: string): Promise<void>;
}

/** A call that the guest does not answer by then has hung. */
export const agentTimeoutMs = 60_000;
const timeoutMs = agentTimeoutMs;

/** A container that the agent runs. */
export class GuestBackend implements Backend {
  readonly #containerId: string;
  readonly #ready: () => Promise<AgentConnection>;

  /** @param ready the agent; rejects when the VM has ended */
  constructor(containerId: string, ready: () => Promise<AgentConnection>) {
    this.#containerId = containerId;
    this.#ready = ready;
  }

  async start(): Promise<void> {
    const { calls } = await this.#ready();
    await calls.StartContainer({ containerId: this.#containerId }, { timeoutMs });
  }

  async exec(request: ExecRequest): Promise<number> {
    const { calls } = await this.#ready();
    const containerId = this.#containerId;
    const { pid } = await calls.StartExec({ containerId, ...request }, { timeoutMs });
    return pid;
  }

  async signal(execId: string, signal: number, all: boolean): Promise<void> {
    const { calls } = await this.#ready();
    await calls.Signal({ containerId: this.#containerId, execId, signal, all });
  }

  async pause(): Promise<void> {
    const { calls } = await this.#ready();
    await calls.Pause({ containerId: this.#containerId });
  }

  async resume(): Promise<void> {
    const { calls } = await this.#ready();
    await calls.Resume({ containerId: this.#containerId });
  }

  async update(resources: Uint8Array): Promise<void> {
    const { calls } = await this.#ready();
    await calls.Update({ containerId: this.#containerId, resources });
  }

  async pids(): Promise<readonly proto.PidsResponseProcess[]> {
    const { calls } = await this.#ready();
    return (await calls.Pids({ containerId: this.#containerId })).processes;
  }

  async stats(): Promise<cgroup.IMetrics> {
    const { calls } = await this.#ready();
    return (await calls.Stats({ containerId: this.#containerId })).metrics ?? {};
  }

  async resize(execId: string, width: number, height: number): Promise<void> {
    const { calls } = await this.#ready();
    await calls.ResizePty({ containerId: this.#containerId, execId, width, height });
  }

  async sync(): Promise<void> {
    const { calls } = await this.#ready();
    await calls.Sync({ containerId: this.#containerId }, { timeoutMs });
  }

  async delete(execId: string): Promise<void> {
    const { calls } = await this.#ready();
    await calls.Delete({ containerId: this.#containerId, execId }, { timeoutMs });
  }
}

import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import { type AgentConnection, connectAgent, stdioPort } from './agent-client.ts';
import { agentTimeoutMs } from './backend.ts';
import type { Hypervisor } from './hypervisor/hypervisor.ts';
import type { Log } from './log.ts';
import type { StartGate } from './start-gate.ts';

/** How much later than its connections a VM's end may show. */
const vmEndGraceMs = 500;

/** What the agent is told first. */
type Machine = Parameters<typeof connectAgent>[1];

/** A sandbox's virtual machine, with the agent in it. */
export class Guest {
  readonly #vm: Hypervisor;
  readonly #gate: StartGate;
  readonly #log: Log;
  readonly #stopped = new AbortController();
  readonly #madeMs = performance.now();
  #launched: Promise<void> | undefined;
  #agent: Promise<AgentConnection> | undefined;
  #bootFailure: RunvError | undefined;

  constructor(vm: Hypervisor, gate: StartGate, log: Log) {
    this.#vm = vm;
    this.#gate = gate;
    this.#log = log;
  }

  /** Milliseconds since it was made, for the log. */
  get elapsedMs(): number {
    return Math.round(performance.now() - this.#madeMs);
  }

  /** Aborted when the VM is to end or has ended; the reason is what to tell. */
  get signal(): AbortSignal {
    return this.#stopped.signal;
  }

  /**
   * Powers the VM on; does not wait for it. What goes wrong is told by the calls that need it.
   * @param onLaunched called when the VMM has started or failed to
   * @param onAgent called when the agent answers
   */
  boot(
    machine: Machine,
    timeoutMs: number,
    onLaunched: () => void,
    onAgent: (agent: AgentConnection) => void,
  ): void {
    const phase = (name: string) =>
      this.#log.info({ phase: name, elapsedMs: this.elapsedMs }, 'boot phase');
    let leave = () => {};
    let { signal } = this;
    this.#launched = this.#gate
      .enter('boot', signal)
      // it is to end before it began: the launch tells
      .catch(() => leave)
      .then((left) => {
        leave = left;
        signal = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
        return this.#vm.launch(signal);
      })
      .finally(onLaunched)
      .then(() => phase('vmm'));
    this.#agent = this.#launched
      .then(() => connectAgent(this.#vm, machine, signal))
      .finally(() => leave())
      .then((agent) => {
        phase('agent');
        onAgent(agent);
        return agent;
      })
      .catch(async (e: unknown) => {
        this.#bootFailure = this.#bootError(e, timeoutMs);
        await this.#vm.stop();
        throw this.#bootFailure;
      });
    this.#launched.catch(() => undefined);
    this.#agent.catch((e: unknown) => this.#log.error({ err: e }, 'sandbox did not start'));
  }

  /** Resolves when the VMM runs, and disks can be plugged in. */
  async launched(): Promise<void> {
    await this.#launched;
  }

  /** @throws why it cannot be used */
  async ready(): Promise<AgentConnection> {
    if (!this.#agent) throw new RunvError(Code.FailedPrecondition, 'the sandbox was not started');
    this.signal.throwIfAborted();
    return this.#agent;
  }

  /** A connection to the agent's port for streams. */
  openStream(): Promise<Duplex> {
    return this.#vm.connect(stdioPort, AbortSignal.timeout(agentTimeoutMs));
  }

  /** Whatever is under way with the guest fails with `why` from now on. */
  abandon(why: string): void {
    this.#stopped.abort(new RunvError(Code.Unavailable, why));
  }

  /**
   * What helps whoever got `e`: whatever failed when the VM went, why it went. A broken connection
   * to a VM that has ended shows before its end does.
   */
  async explain(e: unknown): Promise<unknown> {
    if (this.#bootFailure) return this.#bootFailure;
    if (!(e instanceof RunvError) || e.code !== Code.Unavailable) return e;
    const exit = await Promise.race([
      this.#vm.exited,
      sleep(vmEndGraceMs, undefined, { ref: false }),
    ]);
    const cause = exit && `the virtual machine ended: ${exit.cause}`;
    return cause === undefined ? e : new RunvError(Code.Unavailable, cause, { cause: e });
  }

  #bootError(e: unknown, timeoutMs: number): RunvError {
    const timedOut = e instanceof Error && e.name === 'TimeoutError';
    const console = this.#vm.consoleTail().at(-1);
    if (timedOut) {
      const message = `the guest's agent did not answer within ${timeoutMs / 1000} s`;
      return new RunvError(
        Code.DeadlineExceeded,
        console === undefined ? message : `${message}; its console says: ${console}`,
      );
    }
    return e instanceof RunvError ? e : new RunvError(Code.Internal, String(e));
  }
}

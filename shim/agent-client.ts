import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import { Agent } from '../proto/services.ts';
import { timestampFromDate } from '../proto/timestamp.ts';
import { Client, type ClientOf } from '../proto/ttrpc/index.ts';
import type { Hypervisor } from './hypervisor/hypervisor.ts';

/** vsock ports of the agent (docs/agent-protocol.md). */
export const controlPort = 1024;
export const stdioPort = 1025;

/** The agent may listen at any moment: ask often, each try costs the guest some 0.1 ms. */
const connectRetryMs = 5;
/**
 * A try that reaches the guest while its driver starts may never be answered. The next gets longer,
 * so that a slow guest is not cut off time and again.
 */
const firstTryMs = 25;
const longestTryMs = 2000;
const entropyBytes = 64;

/** A connected, configured agent. */
export interface AgentConnection {
  readonly calls: ClientOf<typeof Agent>;
  /** Resolves once, when the control connection has ended, with why. */
  readonly closed: Promise<RunvError>;
  close(): void;
}

/**
 * Waits for the guest's agent and configures it.
 * @throws RunvError Unavailable when the VM ends first
 * @throws the reason of `signal` when it aborts first
 */
export async function connectAgent(
  vm: Hypervisor,
  hostname: string,
  signal: AbortSignal,
): Promise<AgentConnection> {
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  void vm.exited.then((exit) =>
    ended.abort(new RunvError(Code.Unavailable, `the virtual machine ended: ${exit.cause}`)),
  );
  for (let tryMs = firstTryMs; ;) {
    either.throwIfAborted();
    let client: Client | undefined;
    try {
      const thisTry = AbortSignal.any([either, AbortSignal.timeout(tryMs)]);
      client = new Client(await vm.connect(controlPort, thisTry));
      const calls = client.bind(Agent);
      await calls.Configure(
        { time: timestampFromDate(new Date()), entropy: randomBytes(entropyBytes), hostname },
        { signal: either },
      );
      const connected = client;
      return { calls, closed: client.closed, close: () => connected.close() };
    } catch (e) {
      client?.close();
      either.throwIfAborted();
      const late = e instanceof Error && e.name === 'TimeoutError';
      if (late) tryMs = Math.min(tryMs * 2, longestTryMs);
      else if (!(e instanceof RunvError && e.code === Code.Unavailable)) throw e;
      await sleep(connectRetryMs);
    }
  }
}

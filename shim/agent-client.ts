import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import { Agent } from '../proto/services.ts';
import { timestampFromDate } from '../proto/timestamp.ts';
import { Client, type ClientOf } from '../proto/ttrpc/index.ts';
import type { Hypervisor } from './hypervisor/hypervisor.ts';

/** vsock ports of the agent (docs/agent-protocol.md). */
export const controlPort = 1024;
export const stdioPort = 1025;

/** What the agent writes to its console when both ports take connections, and never before. */
const listensWords = '"msg":"agent listens"';
/** The line precedes the kernel's readiness by nothing; a refusal then is a matter of moments. */
const connectRetryMs = 20;
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
  machine: Pick<agent.IConfigureRequest, 'hostname' | 'sysctls'>,
  signal: AbortSignal,
): Promise<AgentConnection> {
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  void vm.exited.then((exit) =>
    ended.abort(new RunvError(Code.Unavailable, `the virtual machine ended: ${exit.cause}`)),
  );
  // No try before: vhost-device-vsock loses a connection that comes before the guest's driver, and
  // ends when the guest answers one that was given up.
  await vm.untilConsole(listensWords, either);
  for (;;) {
    either.throwIfAborted();
    let client: Client | undefined;
    try {
      client = new Client(await vm.connect(controlPort, either));
      const calls = client.bind(Agent);
      await calls.Configure(
        { time: timestampFromDate(new Date()), entropy: randomBytes(entropyBytes), ...machine },
        { signal: either },
      );
      const connected = client;
      return { calls, closed: client.closed, close: () => connected.close() };
    } catch (e) {
      client?.close();
      either.throwIfAborted();
      if (!(e instanceof RunvError && e.code === Code.Unavailable)) throw e;
      await sleep(connectRetryMs);
    }
  }
}

import type { cgroup } from '../../proto/messages.ts';
import type { AgentConnection } from '../agent-client.ts';
import { agentTimeoutMs } from '../backend.ts';
import type { Log } from '../log.ts';
import type { PodNetwork } from './pod-network.ts';
import { carry, type Carrier, PortForward } from './port-forward.ts';

/** Makes the guest's network the pod's, and keeps it so. */
export class GuestNetwork {
  readonly #pod: PodNetwork;
  readonly #streams: Omit<Carrier, 'forward'>;
  readonly #log: Log;
  #set: Promise<void> | undefined;
  #portForward: PortForward | undefined;

  constructor(pod: PodNetwork, streams: Omit<Carrier, 'forward'>, log: Log) {
    this.#pod = pod;
    this.#streams = streams;
    this.#log = log;
  }

  /** Once for all containers, now that what gives the pod its network has run. */
  up(agent: AgentConnection): Promise<void> {
    return (this.#set ??= this.#bringUp(agent).catch((e: unknown) => {
      this.#set = undefined; // the next container tries again
      throw e;
    }));
  }

  /** @throws RunvError when the kernel does not tell */
  statistics(): cgroup.INetworkStat[] {
    return this.#pod.statistics();
  }

  close(): void {
    this.#pod.close();
    this.#portForward?.close();
    this.#portForward = undefined;
  }

  async #bringUp({ calls }: AgentConnection): Promise<void> {
    await calls.SetNetwork(this.#pod.connect(), { timeoutMs: agentTimeoutMs });
    await this.#forwardPorts(calls);
    this.#pod.watch((changed) => {
      calls
        .SetNetwork(changed, { timeoutMs: agentTimeoutMs })
        .catch((err: unknown) =>
          this.#log.warn({ err }, 'the guest did not take a network change'),
        );
    });
  }

  /** Who connects to the pod's loopback address on the host reaches the guest's. */
  async #forwardPorts(calls: AgentConnection['calls']): Promise<void> {
    const carrier: Carrier = {
      ...this.#streams,
      forward: (request) => calls.Forward(request, { timeoutMs: agentTimeoutMs }),
    };
    try {
      this.#portForward = await PortForward.start((connection, port) => {
        carry(connection, port, carrier).catch((err: unknown) =>
          this.#log.debug({ err, port }, 'forwarded connection ended early'),
        );
      });
    } catch (err) {
      this.#log.warn({ err }, 'ports of the pod cannot be forwarded');
    }
  }
}

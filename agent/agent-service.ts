import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import type { Agent } from '../proto/services.ts';
import { nsFromTimestamp } from '../proto/timestamp.ts';
import type { CallContext, Handlers } from '../proto/ttrpc/index.ts';
import { Container } from './container.ts';
import { forward } from './forward.ts';
import type { Environment } from './environment.ts';
import { podCgroup } from './launch.ts';
import { Network } from './network.ts';

/** What Configure does to the machine. */
export interface Machine {
  setClock(unixNs: bigint): void;
  addEntropy(entropy: Uint8Array): void;
  setHostname(name: string): void;
  /**
   * Sets a kernel parameter, named with dots.
   * @throws RunvError InvalidArgument when the kernel does not take it
   */
  setSysctl(name: string, value: string): void;
}

/** containerd's identifiers (its package identifiers), which become names of files and cgroups. */
const identifier = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/;
const maxIdentifier = 76;
const forwardTimeoutMs = 10_000;
const [minEntropy, maxEntropy] = [32, 512];

/** The service's edge: checks what a request may say, calls, answers. Knows containers by id. */
export class AgentService implements Handlers<typeof Agent> {
  readonly #env: Environment;
  readonly #machine: Machine;
  readonly #version: string;
  #finish: (() => void) | undefined;
  readonly #network = new Network();
  readonly #containers = new Map<string, Container | 'creating'>();

  /** @param finish runs once: when Configure has been answered, before the first container */
  constructor(env: Environment, machine: Machine, finish: () => void, version: string) {
    this.#env = env;
    this.#machine = machine;
    this.#finish = finish;
    this.#version = version;
  }

  Configure({
    time,
    entropy,
    hostname,
    sysctls,
  }: agent.ConfigureRequest): agent.IConfigureResponse {
    if (time) this.#machine.setClock(nsFromTimestamp(time));
    if (entropy.length < minEntropy || entropy.length > maxEntropy) {
      const message = `${entropy.length} bytes of entropy, expected ${minEntropy} to ${maxEntropy}`;
      throw new RunvError(Code.InvalidArgument, message);
    }
    this.#machine.addEntropy(entropy);
    if (hostname !== '') this.#machine.setHostname(hostname);
    for (const [name, value] of Object.entries(sysctls)) this.#machine.setSysctl(name, value);
    // the host has much to do before it asks for a container
    setImmediate(() => this.#finishStart());
    const kernelRelease = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
    return { agentVersion: this.#version, kernelRelease };
  }

  SetNetwork(network: agent.Network): void {
    this.#network.set(network);
  }

  Events(_: unknown, { signal }: CallContext): AsyncIterable<agent.IEvent> {
    return this.#env.events.subscribe(signal);
  }

  async CreateContainer(
    request: agent.CreateContainerRequest,
    { signal }: CallContext,
  ): Promise<agent.ICreateContainerResponse> {
    const { containerId: id } = request;
    this.#finishStart();
    assertIdentifier(id, 'container');
    if (this.#containers.has(id)) {
      throw new RunvError(Code.AlreadyExists, `container ${id} exists already`);
    }
    this.#containers.set(id, 'creating');
    try {
      const pidsOf = (other: string) => this.#container(other).pid;
      const container = await Container.create(request, this.#env, pidsOf, signal);
      this.#containers.set(id, container);
      return { pid: container.pid };
    } catch (e) {
      this.#containers.delete(id);
      throw e;
    }
  }

  async StartContainer({ containerId }: agent.StartContainerRequest): Promise<void> {
    await this.#container(containerId).start();
  }

  async StartExec(
    request: agent.StartExecRequest,
    { signal }: CallContext,
  ): Promise<agent.IStartExecResponse> {
    assertIdentifier(request.execId, 'exec');
    return { pid: await this.#container(request.containerId).exec(request, signal) };
  }

  Signal(request: agent.SignalRequest): void {
    this.#container(request.containerId).signal(request);
  }

  async Pause({ containerId }: agent.ContainerRequest): Promise<void> {
    await this.#container(containerId).pause();
  }

  async Resume({ containerId }: agent.ContainerRequest): Promise<void> {
    await this.#container(containerId).resume();
  }

  async Update({ containerId, resources }: agent.UpdateRequest): Promise<void> {
    await this.#container(containerId).update(resources);
  }

  async Sync({ containerId }: agent.ContainerRequest): Promise<void> {
    await this.#container(containerId).sync();
  }

  Pids({ containerId }: agent.ContainerRequest): agent.IPidsResponse {
    return { processes: this.#container(containerId).pids() };
  }

  Stats({ containerId }: agent.ContainerRequest): agent.IStatsResponse {
    if (containerId === '')
      return { metrics: this.#env.cgroupReader.stats(join(this.#env.paths.cgroups, podCgroup)) };
    return { metrics: this.#container(containerId).stats() };
  }

  ResizePty(request: agent.ResizePtyRequest): void {
    this.#container(request.containerId).resize(request);
  }

  async Forward(request: agent.ForwardRequest): Promise<void> {
    // the connection outlives the call
    const { streams, log } = this.#env;
    await forward(request, streams, AbortSignal.timeout(forwardTimeoutMs), log);
  }

  SyncCopy(request: agent.SyncCopyRequest): void {
    this.#env.mounts.syncCopy(request);
  }

  async Delete({ containerId, execId }: agent.ProcessRequest): Promise<void> {
    const container = this.#container(containerId);
    if (execId !== '') return container.deleteExec(execId);
    await container.delete();
    this.#containers.delete(containerId);
  }

  #finishStart(): void {
    const finish = this.#finish;
    this.#finish = undefined;
    finish?.();
  }

  #container(id: string): Container {
    const container = this.#containers.get(id);
    if (container instanceof Container) return container;
    throw new RunvError(Code.NotFound, `container ${id} not found`);
  }
}

function assertIdentifier(id: string, what: string): void {
  if (id.length <= maxIdentifier && identifier.test(id)) return;
  throw new RunvError(Code.InvalidArgument, `${JSON.stringify(id)} is no ${what} id`);
}

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mkdirSync } from 'node:fs';
import { Code, RunvError } from '../proto/error.ts';
import type { agent as proto, cgroup } from '../proto/messages.ts';
import { timestampFromDate } from '../proto/timestamp.ts';
import { Undo } from '../proto/undo.ts';
import type { AgentConnection } from './agent-client.ts';
import { agentTimeoutMs, GuestBackend } from './backend.ts';
import type { Config } from './config.ts';
import type { Container } from './container.ts';
import { type CreateOptions, Creator } from './creator.ts';
import { Guest } from './guest.ts';
import type { Hypervisor, VmExit } from './hypervisor/hypervisor.ts';
import { runHooks } from './hooks.ts';
import type { SandboxPaths } from './journal.ts';
import type { Log } from './log.ts';
import { jailDir } from './machine.ts';
import { readSpec } from './oci.ts';
import { setOomScore } from './oom-score.ts';
import { PauseBackend } from './pause.ts';
import { withPodMounts } from './pod-config.ts';
import type { PodSettings } from './pod.ts';
import type { Exit } from '../proto/process-state.ts';
import type { ContainerProcess } from './process.ts';
import { GuestNetwork } from './network/guest-network.ts';
import type { PodNetwork } from './network/pod-network.ts';
import { Resources } from './resources.ts';
import { StartGate } from './start-gate.ts';
import { ProcessIo, type StdioSpec } from './stdio.ts';
import { RootFileSystems } from './rootfs.ts';
import { Storage } from './storage.ts';
import { Volumes } from './volumes.ts';

/** Status of a process that ended with its VM: as if killed by SIGKILL. */
const killedStatus = 128 + 9;
/** What a call that fails may take to say so. */
const answerGraceMs = 2000;

/** What a sandbox tells of its containers. */
export interface SandboxListener {
  exited(container: Container, process: ContainerProcess, exit: Exit): void;
  oom(container: Container): void;
}

/** What a sandbox is made of. */
export interface SandboxParts {
  readonly id: string;
  /** containerd's. */
  readonly namespace: string;
  readonly config: Config;
  readonly paths: SandboxPaths;
  readonly pod: PodSettings;
  readonly vm: Hypervisor;
  /** Undefined: the pod has its loopback interface alone. */
  readonly network: PodNetwork | undefined;
  readonly listener: SandboxListener;
  /** How many of the sandbox's processes the host has killed for lack of memory. */
  readonly hostOomKills: () => number;
  readonly log: Log;
}

/** One pod: a virtual machine, its agent, and the containers in it. */
export class Sandbox {
  readonly id: string;
  readonly #namespace: string;
  readonly #config: Config;
  readonly #paths: SandboxPaths;
  readonly #pod: PodSettings;
  readonly #vm: Hypervisor;
  readonly #network: PodNetwork | undefined;
  readonly #guestNetwork: GuestNetwork | undefined;
  readonly #listener: SandboxListener;
  readonly #hostOomKills: () => number;
  readonly #oomKillsBefore: number;
  readonly #log: Log;
  readonly #volumes: Volumes;
  readonly #containers = new Map<string, Container>();
  /** Settled, without a failure, when the creation has ended. */
  readonly #creating = new Map<string, Promise<unknown>>();
  readonly #guest: Guest;
  readonly #creator: Creator;
  #nextStream = 1;
  #removed = false;
  #exit: Pick<Exit, 'status' | 'exitedAt'> | undefined;
  readonly #ended = Promise.withResolvers<Pick<Exit, 'status' | 'exitedAt'>>();
  readonly createdAt = new Date();
  /** Resolves when the VM has ended: 0 when it was to, else as if killed. */
  readonly ended = this.#ended.promise;

  constructor({
    id,
    namespace,
    config,
    paths,
    pod,
    vm,
    network,
    listener,
    hostOomKills,
    log,
  }: SandboxParts) {
    this.id = id;
    this.#namespace = namespace;
    this.#config = config;
    this.#paths = paths;
    this.#pod = pod;
    this.#vm = vm;
    const gate = new StartGate(config.runDir, log);
    const guest = new Guest(vm, gate, log);
    this.#guest = guest;
    this.#network = network;
    const streams = { connect: () => this.#guest.openStream(), allocate: () => this.#nextStream++ };
    this.#guestNetwork = network && new GuestNetwork(network, streams, log);
    this.#listener = listener;
    this.#hostOomKills = hostOomKills;
    this.#oomKillsBefore = hostOomKills();
    this.#log = log;
    const storage = new Storage(config.dataDir, config.scratchMiB, log);
    const resources = new Resources(vm, join(jailDir(paths), 'share'));
    const workDir = paths.diskDir;
    const newUndo = () =>
      new Undo((err, what) => {
        if (!guest.signal.aborted) log.warn({ err, what }, 'undo failed');
      });
    const sync = async (request: proto.ISyncCopyRequest) =>
      (await this.#guest.ready()).calls.SyncCopy(request, { timeoutMs: agentTimeoutMs });
    this.#volumes = new Volumes({
      resources,
      storage,
      workDir,
      directVolumesDir: config.directVolumesDir,
      sync,
      newUndo,
      log,
    });
    this.#creator = new Creator({
      guest,
      gate,
      roots: new RootFileSystems({ storage, resources, workDir, launched: () => guest.launched() }),
      volumes: this.#volumes,
      networkUp: async (agent) => this.#guestNetwork?.up(agent),
      openIo: (of, stdio) => this.#openIo(of, stdio),
      pid: () => this.pid,
      containers: () => this.#containers.values(),
      register: (container) => this.#register(container),
      newUndo,
      log,
    });
  }

  /** Powers the VM on; does not wait for it. What goes wrong is told by the calls that need it. */
  boot(): void {
    mkdirSync(jailDir(this.#paths), { recursive: true });
    const { hostname, sysctls } = this.#pod;
    const machine = { hostname: hostname === '' ? this.id.slice(0, 63) : hostname, sysctls };
    this.#guest.boot(
      machine,
      this.#config.bootTimeoutMs,
      () => this.#network?.handedOver(),
      (agent) => void this.#watch(agent),
    );
    void this.#vm.exited.then((exit) => this.#onVmExit(exit));
  }

  /** Host pid that stands for the sandbox's containers. */
  get pid(): number {
    return this.#vm.pid;
  }

  /** Whether containerd has removed what stood for the pod: whatever is left has ended with it. */
  get isRemoved(): boolean {
    return this.#removed;
  }

  /** Whether no container is left that it lives for. */
  get isEmpty(): boolean {
    return this.#pod.mounts === undefined && !this.hasContainers;
  }

  get hasContainers(): boolean {
    return this.#containers.size > 0 || this.#creating.size > 0;
  }

  /** How the VM ended; undefined while it has not. */
  get exit(): Pick<Exit, 'status' | 'exitedAt'> | undefined {
    return this.#exit;
  }

  /** Resolves when the guest can be used; rejects with why it cannot. */
  async untilReady(): Promise<void> {
    await this.#guest.ready();
  }

  /**
   * Of one container, or of all together. The network is the pod's, which its containers share.
   */
  async stats(container?: Container): Promise<cgroup.IMetrics> {
    const backend = container?.backend ?? new GuestBackend('', () => this.#guest.ready());
    return { ...(await backend.stats()), network: this.#guestNetwork?.statistics() ?? [] };
  }

  /** @throws RunvError NotFound */
  container(id: string): Container {
    const container = this.#containers.get(id);
    if (!container) throw new RunvError(Code.NotFound, `container ${id} not found`);
    return container;
  }

  /**
   * Creates a container; on error nothing of it is left.
   * @throws RunvError AlreadyExists when the id is in use; Unavailable when the sandbox has ended
   */
  async create(options: CreateOptions): Promise<Container> {
    const { id } = options;
    this.#guest.signal.throwIfAborted();
    if (this.#containers.has(id) || this.#creating.has(id)) {
      throw new RunvError(Code.AlreadyExists, `container ${id} exists already`);
    }
    const done = Promise.withResolvers<void>();
    this.#creating.set(id, done.promise);
    try {
      const spec = withPodMounts(readSpec(options.bundle), this.#pod.mounts ?? []);
      return await this.#creator.create(options, spec);
    } catch (e) {
      throw await this.#guest.explain(e);
    } finally {
      this.#creating.delete(id);
      done.resolve();
    }
  }

  /** Runs a container's first process. */
  async start(container: Container, onStarted: (pid: number) => void): Promise<void> {
    await this.#guest.ready();
    await container.init.start(async () => {
      container.init.io?.readStdin();
      await container.backend.start();
      return container.init.pid;
    }, onStarted);
    const { id } = container;
    this.#log.info({ container: id, elapsedMs: this.#guest.elapsedMs }, 'container started');
    await runHooks('poststart', container.spec, {
      id,
      bundle: container.bundle,
      pid: process.pid,
      status: 'running',
    }).catch((err: unknown) => this.#log.warn({ err }, 'a hook failed'));
    void container.init.exited.then(() =>
      this.#log.info({ container: id, elapsedMs: this.#guest.elapsedMs }, 'container exited'),
    );
  }

  /** Runs an exec that was added before. */
  async startExec(
    container: Container,
    execId: string,
    onStarted: (pid: number) => void,
  ): Promise<void> {
    const exec = container.execs.get(execId);
    if (!exec)
      throw new RunvError(Code.NotFound, `container ${container.id} has no exec ${execId}`);
    const { process, spec } = exec;
    container.init.assertMay('exec');
    await this.#guest.ready();
    await process.start(async () => {
      const io = await this.#openIo(container.id, process.stdio);
      process.io = io;
      try {
        io.readStdin();
        const { terminal } = process.stdio;
        return await container.backend.exec({
          execId,
          process: spec,
          stdio: { ...io.ids, terminal },
        });
      } catch (e) {
        io.close();
        // As with runc's shim: an exec that could not start has ended.
        void process.end({ status: 255, exitedAt: now() });
        throw e;
      }
    }, onStarted);
  }

  /**
   * Removes a container that has ended and gives back what it had. With the last container of a
   * sandbox its VM ends too.
   */
  async delete(container: Container): Promise<Exit> {
    const { state } = container.init;
    if (state.kind !== 'stopped') {
      container.init.assertMay('delete');
      throw new RunvError(Code.FailedPrecondition, `container ${container.id} has not ended`);
    }
    const isLast = this.#containers.size === 1 && this.#creating.size === 0;
    // What ends with the VM need not be taken apart in it first.
    if (!this.#guest.signal.aborted) {
      if (!isLast || container.outliving === 'more') await container.backend.delete('');
      else if (container.outliving === 'scratch') await this.#writeOut(container);
    }
    container.init.io?.close();
    for (const { process } of container.execs.values()) process.io?.close();
    const { teardown } = container;
    this.#containers.delete(container.id);
    if (container.backend instanceof PauseBackend) this.#removed = true;
    if (this.#removed || this.isEmpty) await this.stop();
    else this.#scoreVm();
    await teardown?.run();
    this.#log.info(
      { container: container.id, elapsedMs: this.#guest.elapsedMs },
      'container deleted',
    );
    return state.exit;
  }

  /** A guest that cannot holds nothing up: a container must be removable. */
  async #writeOut({ id, backend }: Container): Promise<void> {
    await backend.sync().catch((err: unknown) => {
      this.#log.warn({ err, container: id }, 'what the container wrote last may be lost');
    });
  }

  /** Removes an exec that has ended. */
  async deleteExec(container: Container, execId: string): Promise<Exit> {
    const process = container.process(execId);
    const { state } = process;
    process.assertMay('delete');
    if (!this.#guest.signal.aborted && process.pid !== 0) {
      await container.backend.delete(execId);
    }
    process.io?.close();
    container.execs.delete(execId);
    const never = { pid: 0, status: 0, exitedAt: now() };
    return state.kind === 'stopped' ? state.exit : never;
  }

  /**
   * Ends the VM at once. Idempotent. Whoever is creating a container is told before this returns:
   * containerd lets go of the shim next.
   */
  async stop(): Promise<void> {
    this.#guest.abandon('the sandbox was stopped');
    this.#guestNetwork?.close();
    this.#volumes.close();
    await this.#vm.stop();
    const told = Promise.all(this.#creating.values());
    await Promise.race([told, sleep(answerGraceMs, undefined, { ref: false })]);
  }

  #register(container: Container): () => void {
    this.#containers.set(container.id, container);
    this.#scoreVm();
    return () => {
      if (this.#containers.get(container.id) !== container) return;
      this.#containers.delete(container.id);
      this.#scoreVm();
    };
  }

  /** Short of memory, the host ends the VM as soon as it would the container that goes first. */
  #scoreVm(): void {
    const containers = [...this.#containers.values()];
    const scores = containers.flatMap(({ spec }) => spec.process?.oomScoreAdj ?? []);
    if (scores.length === 0 || this.#guest.signal.aborted) return;
    setOomScore(this.#vm.pid, Math.max(...scores));
  }

  async #openIo(id: string, stdio: StdioSpec): Promise<ProcessIo> {
    const of = { id, namespace: this.#namespace };
    const connect = () => this.#guest.openStream();
    return ProcessIo.open(stdio, connect, () => this.#nextStream++, of, this.#log);
  }

  /** Takes the guest's events; the end of the connection is the end of the VM. */
  async #watch(agent: AgentConnection): Promise<void> {
    try {
      for await (const event of agent.calls.Events({})) {
        if (event.exit) {
          const { containerId, execId, status, exitedAt } = event.exit;
          const exit = { status: status & 0xff, exitedAt: exitedAt ?? now() };
          this.#containers.get(containerId)?.end(execId, exit);
        } else if (event.oom) {
          const container = this.#containers.get(event.oom.containerId);
          if (container) this.#listener.oom(container);
        }
      }
    } catch (e) {
      if (!this.#guest.signal.aborted) this.#log.error({ err: e }, 'lost the agent');
    }
    // Without its agent a guest is of no use: whatever runs in it cannot be reached any more.
    await this.#vm.stop();
  }

  #onVmExit({ expected, cause: reason }: VmExit): void {
    // The broken connection may have been noticed first, and the VM stopped for it.
    const wanted = this.#guest.signal.aborted;
    const outOfMemory = !wanted && this.#hostOomKills() > this.#oomKillsBefore;
    const cause = outOfMemory ? `${reason}: its cgroup on the host is out of memory` : reason;
    if (outOfMemory) {
      for (const container of this.#containers.values()) this.#listener.oom(container);
    }
    if (!this.#guest.signal.aborted && this.#containers.size > 0) {
      const console = this.#vm.consoleTail().slice(-10);
      this.#log.error({ cause, expected, console }, 'virtual machine ended');
    }
    this.#guest.abandon(`the virtual machine ended: ${cause}`);
    this.#exit = { status: expected ? 0 : killedStatus, exitedAt: now() };
    this.#ended.resolve(this.#exit);
    const exit = { status: killedStatus, exitedAt: now() };
    for (const container of this.#containers.values()) container.endAll(exit);
  }

  /** Tells the listener when `process` has ended. */
  announceExit(container: Container, process: ContainerProcess): void {
    void process.exited.then((exit) => this.#listener.exited(container, process, exit));
  }
}

function now() {
  return timestampFromDate(new Date());
}

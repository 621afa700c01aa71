import type { Undo } from '../proto/undo.ts';
import type { AgentConnection } from './agent-client.ts';
import { agentTimeoutMs, GuestBackend } from './backend.ts';
import { planContainer } from './container-plan.ts';
import { Container } from './container.ts';
import type { Guest } from './guest.ts';
import { runHooks, runLastHooks } from './hooks.ts';
import type { Log } from './log.ts';
import type { OciSpec } from './oci.ts';
import { PauseBackend } from './pause.ts';
import { podRole } from './pod.ts';
import { hostBlockDevice } from './resources.ts';
import type { RootFileSystems } from './rootfs.ts';
import { pidsJoined, standFor } from './stand-in.ts';
import type { StartGate } from './start-gate.ts';
import type { ProcessIo, StdioSpec } from './stdio.ts';
import type { RootfsMount } from './storage.ts';
import type { Volumes } from './volumes.ts';

/** What containerd asks for when it creates a container. */
export interface CreateOptions {
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioSpec;
}

/** The sandbox, as far as the creation of its containers goes. */
export interface CreatorParts {
  readonly guest: Guest;
  readonly gate: StartGate;
  readonly roots: RootFileSystems;
  readonly volumes: Volumes;
  /** Gives the guest the pod's network, once. */
  readonly networkUp: (agent: AgentConnection) => Promise<void>;
  readonly openIo: (id: string, stdio: StdioSpec) => Promise<ProcessIo>;
  /** Host pid that stands for the sandbox. */
  readonly pid: () => number;
  /** Those that are known. */
  readonly containers: () => Iterable<Container>;
  /** Makes a container known, so that events find it. @returns makes it unknown again */
  readonly register: (container: Container) => () => void;
  readonly newUndo: () => Undo;
  readonly log: Log;
}

/** Creates a sandbox's containers; on error nothing of them is left. */
export class Creator {
  readonly #parts: CreatorParts;

  constructor(parts: CreatorParts) {
    this.#parts = parts;
  }

  /** @throws RunvError Unavailable when the sandbox has ended, InvalidArgument, NotFound and others */
  create(options: CreateOptions, spec: OciSpec): Promise<Container> {
    return podRole(spec).kind === 'sandbox'
      ? this.#pause(options, spec)
      : this.#container(options, spec);
  }

  /** The container that stands for the pod: it has what the sandbox has, and nothing of its own. */
  async #pause({ id, bundle, stdio }: CreateOptions, spec: OciSpec): Promise<Container> {
    const { guest, networkUp, register, pid } = this.#parts;
    const backend = new PauseBackend(async () => {
      const agent = await guest.ready();
      await networkUp(agent);
      return agent;
    });
    const container = new Container(id, bundle, spec, stdio, backend);
    backend.standsFor(container);
    await guest.launched();
    register(container);
    container.outliving = 'nothing';
    container.init.created(pid());
    return container;
  }

  async #container(
    { id, bundle, rootfs, stdio }: CreateOptions,
    spec: OciSpec,
  ): Promise<Container> {
    const { guest, gate, roots, volumes, log, pid: podPid } = this.#parts;
    const plan = planContainer(spec);
    const isMember = podRole(spec).kind === 'member';
    const pidNamespaceOf = isMember ? pidsJoined(spec, podPid(), this.#parts.containers()) : '';
    // One that stays on the host must be there all the same: the specification is wrong else.
    for (const device of plan.hostDevices) hostBlockDevice(device);
    const { signal } = guest;
    await using undo = this.#parts.newUndo();
    const container = new Container(
      id,
      bundle,
      spec,
      stdio,
      new GuestBackend(id, () => guest.ready()),
    );
    const state = { id, bundle, pid: process.pid };
    undo.add('run hooks', () => {
      const failed = (err: unknown) => log.warn({ err }, 'a hook failed');
      return runLastHooks(spec, { ...state, pid: 0, status: 'stopped' }, failed);
    });
    await runHooks('prestart', spec, { ...state, status: 'creating' });
    await runHooks('createRuntime', spec, { ...state, status: 'creating' });
    // The guest boots meanwhile; a failure to boot is the error to tell.
    const prepared = roots.prepare(id, rootfs, isMember, undo, signal);
    const settled = prepared.then(
      () => undefined,
      () => undefined,
    );
    undo.add('wait for what is being prepared', () => settled);
    await guest.launched();
    const root = await prepared;
    const given = await volumes.prepare(id, plan, undo, signal);
    const agent = await guest.ready();
    await this.#parts.networkUp(agent);
    const io = await this.#parts.openIo(id, stdio);
    container.init.io = io;
    undo.add('close stdio', () => io.close());
    undo.add('forget container', this.#parts.register(container));
    log.info({ container: id, elapsedMs: guest.elapsedMs }, 'rootfs ready');
    const leave = await gate.enter('create', signal);
    const creating = agent.calls.CreateContainer(
      {
        containerId: id,
        spec: Buffer.from(JSON.stringify(plan.spec)),
        rootfs: root,
        volumes: [...given.volumes],
        blockDevices: [...given.blockDevices],
        stdio: { ...io.ids, terminal: stdio.terminal },
        pidNamespaceOf,
      },
      { signal, timeoutMs: agentTimeoutMs },
    );
    const { pid } = await creating.finally(leave);
    container.guestPid = pid;
    const isMore =
      given.volumes.length + given.blockDevices.length > 0 || root.disk?.readOnly !== true;
    container.outliving = isMore ? 'more' : root.scratchKept ? 'scratch' : 'nothing';
    container.init.created(isMember ? await standFor(container, undo) : podPid());
    container.teardown = undo.move();
    log.info({ container: id, elapsedMs: guest.elapsedMs }, 'container created');
    return container;
  }
}

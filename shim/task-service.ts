import { packAny } from '../proto/any.ts';
import { Code, RunvError } from '../proto/error.ts';
import { cgroup, events, runc } from '../proto/messages.ts';
import type { TaskV2 } from '../proto/services.ts';
import type { Handlers } from '../proto/ttrpc/index.ts';
import type { Container } from './container.ts';
import type { EventPublisher } from './events.ts';
import { type Exit, statusOf } from '../proto/process-state.ts';
import type { ContainerProcess } from './process.ts';
import type { Sandbox } from './sandbox.ts';

/** containerd's topics (containerd/runtime/events.go). */
const topics = {
  create: '/tasks/create',
  start: '/tasks/start',
  oom: '/tasks/oom',
  exit: '/tasks/exit',
  delete: '/tasks/delete',
  execAdded: '/tasks/exec-added',
  execStarted: '/tasks/exec-started',
  paused: '/tasks/paused',
  resumed: '/tasks/resumed',
} as const;

/** Publishes what happens to containers, in the order of the calls. */
export class TaskEvents {
  readonly #publisher: EventPublisher;
  readonly #onEvent: () => void;

  /** @param onEvent called after each */
  constructor(publisher: EventPublisher, onEvent: () => void) {
    this.#publisher = publisher;
    this.#onEvent = onEvent;
  }

  publish<In>(
    topic: keyof typeof topics,
    codec: { readonly typeName: string; encode(message: In): Uint8Array },
    message: In,
  ): void {
    this.#publisher.publish(topics[topic], codec.typeName, codec.encode(message));
    this.#onEvent();
  }

  exited(container: Container, { execId }: ContainerProcess, exit: Exit): void {
    this.publish('exit', events.TaskExit, {
      containerId: container.id,
      id: execId === '' ? container.id : execId,
      pid: exit.pid,
      exitStatus: exit.status,
      exitedAt: exit.exitedAt,
    });
  }

  oom(container: Container): void {
    this.publish('oom', events.TaskOOM, { containerId: container.id });
  }
}

/** Type of the JSON in UpdateTaskRequest.resources (containerd/typeurl). */
const resourcesTypeUrl = 'types.containerd.io/opencontainers/runtime-spec/1/LinuxResources';

/**
 * `containerd.task.v2.Task`: decode, call, encode, publish. Holds no state of its own.
 * @param current the sandbox; throws before there is one
 * @param version reported by Connect
 * @param shutdown called when containerd wants the shim gone and no container is left; resolves when
 *   nothing is left
 */
export function taskService(
  current: () => Sandbox,
  taskEvents: TaskEvents,
  version: string,
  shutdown: () => Promise<void>,
): Handlers<typeof TaskV2> {
  const processOf = (id: string, execId: string) => current().container(id).process(execId);

  return {
    async State({ id, execId }) {
      const container = current().container(id);
      const { state, stdio, pid } = container.process(execId);
      const exit = state.kind === 'stopped' ? state.exit : undefined;
      return {
        id: execId === '' ? id : execId,
        bundle: container.bundle,
        pid,
        status: statusOf(state),
        ...stdio,
        exitStatus: exit?.status,
        exitedAt: exit?.exitedAt,
        execId,
      };
    },

    async Create({ id, bundle, rootfs, checkpoint, ...request }) {
      if (checkpoint !== '') throw checkpointRefused();
      const { stdin, stdout, stderr, terminal } = request;
      const stdio = { stdin, stdout, stderr, terminal };
      const container = await current().create({ id, bundle, rootfs, stdio });
      const { pid } = container.init;
      taskEvents.publish('create', events.TaskCreate, {
        containerId: id,
        bundle,
        rootfs,
        io: stdio,
        pid,
      });
      current().announceExit(container, container.init);
      return { pid };
    },

    async Start({ id, execId }) {
      const container = current().container(id);
      const process = container.process(execId);
      if (execId === '') {
        await current().start(container, (pid) =>
          taskEvents.publish('start', events.TaskStart, { containerId: id, pid }),
        );
      } else {
        await current().startExec(container, execId, (pid) =>
          taskEvents.publish('execStarted', events.TaskExecStarted, {
            containerId: id,
            execId,
            pid,
          }),
        );
      }
      return { pid: process.pid };
    },

    async Delete({ id, execId }) {
      const container = current().container(id);
      const { pid } = container.process(execId);
      const exit =
        execId === ''
          ? await current().delete(container)
          : await current().deleteExec(container, execId);
      const answer = { pid, exitStatus: exit.status, exitedAt: exit.exitedAt };
      if (execId === '') {
        taskEvents.publish('delete', events.TaskDelete, { containerId: id, ...answer });
      }
      return answer;
    },

    async Pids({ id }) {
      const { backend, guestPid, init } = current().container(id);
      const processes = await backend.pids();
      // A container that stands for its pod has itself.
      if (guestPid === 0) return { processes: [{ pid: init.pid }] };
      return {
        processes: processes.map(({ pid, execId }) => ({
          // The first process has the number here that it has everywhere else in containerd.
          pid: pid === guestPid ? init.pid : pid,
          info: execId === '' ? undefined : packAny(runc.ProcessDetails, { execId }),
        })),
      };
    },

    async Pause({ id }) {
      const { backend, init } = current().container(id);
      init.assertMay('pause');
      await backend.pause();
      init.setPaused(true);
      taskEvents.publish('paused', events.TaskPaused, { containerId: id });
      return {};
    },

    async Resume({ id }) {
      const { backend, init } = current().container(id);
      init.assertMay('resume');
      await backend.resume();
      init.setPaused(false);
      taskEvents.publish('resumed', events.TaskResumed, { containerId: id });
      return {};
    },

    async Checkpoint() {
      throw checkpointRefused();
    },

    async Kill({ id, execId, signal, all }) {
      const process = processOf(id, execId);
      await process.startSettled();
      process.assertMay('kill');
      await current().container(id).backend.signal(execId, signal, all);
      return {};
    },

    async Exec({ id, execId, stdin, stdout, stderr, terminal, spec }) {
      if (execId === '') throw new RunvError(Code.InvalidArgument, 'exec: the exec id is empty');
      if (!spec) throw new RunvError(Code.InvalidArgument, `exec ${execId}: there is no process`);
      const container = current().container(id);
      const stdio = { stdin, stdout, stderr, terminal };
      const process = container.addExec(execId, stdio, spec.value);
      taskEvents.publish('execAdded', events.TaskExecAdded, { containerId: id, execId });
      current().announceExit(container, process);
      return {};
    },

    async ResizePty({ id, execId, width, height }) {
      const process = processOf(id, execId);
      await process.startSettled();
      assertAlive(process, 'resize the terminal of');
      await current().container(id).backend.resize(execId, width, height);
      return {};
    },

    async CloseIO({ id, execId, stdin }) {
      if (stdin) processOf(id, execId).closeStdin();
      return {};
    },

    async Update({ id, resources }) {
      assertAlive(current().container(id).init, 'update');
      if (resources?.typeUrl !== resourcesTypeUrl) {
        const found = resources?.typeUrl ?? 'nothing';
        throw new RunvError(Code.InvalidArgument, `update: expected LinuxResources, not ${found}`);
      }
      await current().container(id).backend.update(resources.value);
      return {};
    },

    async Wait({ id, execId }) {
      const exit = await processOf(id, execId).exited;
      return { exitStatus: exit.status, exitedAt: exit.exitedAt };
    },

    async Stats({ id }) {
      const metrics = await current().stats(current().container(id));
      return { stats: packAny(cgroup.Metrics, metrics) };
    },

    async Connect({ id }) {
      const taskPid = id === '' ? current().pid : current().container(id).init.pid;
      return { shimPid: process.pid, taskPid, version };
    },

    async Shutdown({ now }) {
      if (now || current().isEmpty || current().isRemoved) await shutdown();
      return {};
    },
  };
}

function assertAlive({ state }: ContainerProcess, operation: string): void {
  if (state.kind !== 'stopped' && state.kind !== 'deleted') return;
  throw new RunvError(Code.FailedPrecondition, `cannot ${operation} a process that has stopped`);
}

function checkpointRefused(): RunvError {
  return new RunvError(
    Code.Unimplemented,
    'runv does not checkpoint containers: the state of a virtual machine is no CRIU image',
  );
}

import { isAny, packAny, unpackAny } from '../proto/any.ts';
import { Code, RunvError } from '../proto/error.ts';
import { cgroup, cri } from '../proto/messages.ts';
import type { SandboxV1 } from '../proto/services.ts';
import { timestampFromDate } from '../proto/timestamp.ts';
import type { Handlers } from '../proto/ttrpc/index.ts';
import type { Sandbox } from './sandbox.ts';

/** What CRI compares (containerd, internal/cri/store/sandbox). */
const states = { ready: 'SANDBOX_READY', notReady: 'SANDBOX_NOTREADY' } as const;

/** What the service needs of the daemon. */
export interface SandboxHost {
  /** @throws RunvError FailedPrecondition before `create` */
  readonly sandbox: () => Sandbox;
  /**
   * Makes the sandbox and powers its VM on.
   * @throws RunvError AlreadyExists when there is one
   */
  readonly create: (config: cri.PodSandboxConfig, netnsPath: string) => void;
  /** Resolves when nothing of the sandbox is left. */
  readonly shutdown: () => Promise<void>;
}

/**
 * `containerd.runtime.sandbox.v1.Sandbox`, for containerd 2 with `sandboxer = "shim"`: the pod has
 * no container that stands for it. Holds no state of its own.
 */
export function sandboxService(host: SandboxHost): Handlers<typeof SandboxV1> {
  return {
    async CreateSandbox({ options, netnsPath }) {
      // a client that is not CRI has none
      const config = isAny(options, cri.PodSandboxConfig)
        ? unpackAny(cri.PodSandboxConfig, options)
        : cri.PodSandboxConfig.decode(new Uint8Array());
      host.create(config, netnsPath);
    },

    async StartSandbox() {
      const sandbox = host.sandbox();
      await sandbox.untilReady();
      return { pid: sandbox.pid, createdAt: timestampFromDate(sandbox.createdAt) };
    },

    async Platform() {
      return { platform: { os: 'linux', architecture: 'amd64' } };
    },

    async StopSandbox() {
      await host.sandbox().stop();
    },

    async WaitSandbox() {
      const { status, exitedAt } = await host.sandbox().ended;
      return { exitStatus: status, exitedAt };
    },

    async SandboxStatus({ sandboxId, verbose }) {
      const sandbox = host.sandbox();
      const exit = sandbox.exit;
      return {
        sandboxId,
        pid: sandbox.pid,
        state: exit ? states.notReady : states.ready,
        info: verbose ? { shimPid: String(process.pid), vmmPid: String(sandbox.pid) } : {},
        createdAt: timestampFromDate(sandbox.createdAt),
        exitedAt: exit?.exitedAt,
      };
    },

    async PingSandbox() {
      if (host.sandbox().exit) throw new RunvError(Code.Unavailable, 'the sandbox has ended');
    },

    async ShutdownSandbox() {
      await host.shutdown();
    },

    async SandboxMetrics({ sandboxId }) {
      const stats = await host.sandbox().stats();
      const data = packAny(cgroup.Metrics, stats);
      return { metrics: { id: sandboxId, timestamp: timestampFromDate(new Date()), data } };
    },
  };
}

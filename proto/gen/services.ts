// Written by proto/generate.sh from the .proto files: do not edit.
import { serverStream, service, unary } from '../ttrpc/service.ts';
import * as agent from './agent.ts';
import * as forward from './forward.ts';
import * as google from './google.ts';
import * as sandbox from './sandbox.ts';
import * as task from './task.ts';

export const Agent = /* @__PURE__ */ service('runv.agent.v1.Agent', {
  /** First call after power-on. Sets the clock, feeds the random pool, names the machine. */
  Configure: /* @__PURE__ */ unary(agent.ConfigureRequest, agent.ConfigureResponse),
  /**
   * Makes the guest's network what the pod's is. The whole of it each time: what an earlier call set
   * up and this one does not name is taken away.
   */
  SetNetwork: /* @__PURE__ */ unary(agent.Network, google.Empty),
  /**
   * Exits and OOM kills, in the order they happened, from the beginning of the guest's life:
   * what happens before the call is kept and delivered first. At most one call at a time.
   */
  Events: /* @__PURE__ */ serverStream(google.Empty, agent.Event),
  /**
   * Mounts the root file system and volumes, makes device nodes and runs `runc create`.
   * On error nothing of the container is left. AlreadyExists when the id is in use.
   */
  CreateContainer: /* @__PURE__ */ unary(agent.CreateContainerRequest, agent.CreateContainerResponse),
  /** Runs `runc start`. FailedPrecondition unless the container is created. */
  StartContainer: /* @__PURE__ */ unary(agent.StartContainerRequest, google.Empty),
  /**
   * Runs one more process in a running container.
   * NotFound: no such container; AlreadyExists: exec id in use.
   */
  StartExec: /* @__PURE__ */ unary(agent.StartExecRequest, agent.StartExecResponse),
  /**
   * Sends a signal to a process, or to every process of the container.
   * NotFound when the process has exited.
   */
  Signal: /* @__PURE__ */ unary(agent.SignalRequest, google.Empty),
  Pause: /* @__PURE__ */ unary(agent.ContainerRequest, google.Empty),
  Resume: /* @__PURE__ */ unary(agent.ContainerRequest, google.Empty),
  /** Applies new resource limits with `runc update`. */
  Update: /* @__PURE__ */ unary(agent.UpdateRequest, google.Empty),
  /** Writes out the container's root file system: the machine may end without losing what was written to it. */
  Sync: /* @__PURE__ */ unary(agent.ContainerRequest, google.Empty),
  /** All processes of the container, as pids of the guest's root namespace. */
  Pids: /* @__PURE__ */ unary(agent.ContainerRequest, agent.PidsResponse),
  /** cgroup v2 statistics, in containerd's own message. An empty container_id: of all containers together. */
  Stats: /* @__PURE__ */ unary(agent.ContainerRequest, agent.StatsResponse),
  /** Sets the terminal size. FailedPrecondition when the process has no terminal. */
  ResizePty: /* @__PURE__ */ unary(agent.ResizePtyRequest, google.Empty),
  /** Connects to a TCP port of the pod's loopback address. Unavailable when nothing listens there. */
  Forward: /* @__PURE__ */ unary(agent.ForwardRequest, google.Empty),
  /** Makes a copy of a directory of the host's, or brings it up to date. Returns when it is. */
  SyncCopy: /* @__PURE__ */ unary(agent.SyncCopyRequest, google.Empty),
  /**
   * Removes an exited exec (exec_id set) or an exited container with its mounts (exec_id empty).
   * FailedPrecondition while it runs. After it returns no disk of the container is in use.
   */
  Delete: /* @__PURE__ */ unary(agent.ProcessRequest, google.Empty),
});

export const SandboxV1 = /* @__PURE__ */ service('containerd.runtime.sandbox.v1.Sandbox', {
  CreateSandbox: /* @__PURE__ */ unary(sandbox.CreateSandboxRequest, sandbox.CreateSandboxResponse),
  StartSandbox: /* @__PURE__ */ unary(sandbox.StartSandboxRequest, sandbox.StartSandboxResponse),
  /** For which platform containerd shall write the pod's OCI specifications. */
  Platform: /* @__PURE__ */ unary(sandbox.PlatformRequest, sandbox.PlatformResponse),
  StopSandbox: /* @__PURE__ */ unary(sandbox.StopSandboxRequest, sandbox.StopSandboxResponse),
  /** Answers when the sandbox has ended, however long that takes. */
  WaitSandbox: /* @__PURE__ */ unary(sandbox.WaitSandboxRequest, sandbox.WaitSandboxResponse),
  SandboxStatus: /* @__PURE__ */ unary(sandbox.SandboxStatusRequest, sandbox.SandboxStatusResponse),
  PingSandbox: /* @__PURE__ */ unary(sandbox.PingRequest, sandbox.PingResponse),
  /** Ends the shim. */
  ShutdownSandbox: /* @__PURE__ */ unary(sandbox.ShutdownSandboxRequest, sandbox.ShutdownSandboxResponse),
  SandboxMetrics: /* @__PURE__ */ unary(sandbox.SandboxMetricsRequest, sandbox.SandboxMetricsResponse),
});

export const EventsTtrpc = /* @__PURE__ */ service('containerd.services.events.ttrpc.v1.Events', {
  Forward: /* @__PURE__ */ unary(forward.ForwardRequest, google.Empty),
});

/** An empty exec_id always names the task's first process. */
export const TaskV2 = /* @__PURE__ */ service('containerd.task.v2.Task', {
  State: /* @__PURE__ */ unary(task.StateRequest, task.StateResponse),
  Create: /* @__PURE__ */ unary(task.CreateTaskRequest, task.CreateTaskResponse),
  Start: /* @__PURE__ */ unary(task.StartRequest, task.StartResponse),
  Delete: /* @__PURE__ */ unary(task.DeleteRequest, task.DeleteResponse),
  Pids: /* @__PURE__ */ unary(task.PidsRequest, task.PidsResponse),
  Pause: /* @__PURE__ */ unary(task.PauseRequest, google.Empty),
  Resume: /* @__PURE__ */ unary(task.ResumeRequest, google.Empty),
  Checkpoint: /* @__PURE__ */ unary(task.CheckpointTaskRequest, google.Empty),
  Kill: /* @__PURE__ */ unary(task.KillRequest, google.Empty),
  /** Only registers the process; Start with its exec_id runs it. */
  Exec: /* @__PURE__ */ unary(task.ExecProcessRequest, google.Empty),
  ResizePty: /* @__PURE__ */ unary(task.ResizePtyRequest, google.Empty),
  CloseIO: /* @__PURE__ */ unary(task.CloseIORequest, google.Empty),
  Update: /* @__PURE__ */ unary(task.UpdateTaskRequest, google.Empty),
  /** Answers when the process has exited, however long that takes. */
  Wait: /* @__PURE__ */ unary(task.WaitRequest, task.WaitResponse),
  Stats: /* @__PURE__ */ unary(task.StatsRequest, task.StatsResponse),
  Connect: /* @__PURE__ */ unary(task.ConnectRequest, task.ConnectResponse),
  Shutdown: /* @__PURE__ */ unary(task.ShutdownRequest, google.Empty),
});

export const TaskV3 = /* @__PURE__ */ service('containerd.task.v3.Task', {
  State: /* @__PURE__ */ unary(task.StateRequest, task.StateResponse),
  Create: /* @__PURE__ */ unary(task.CreateTaskRequest, task.CreateTaskResponse),
  Start: /* @__PURE__ */ unary(task.StartRequest, task.StartResponse),
  Delete: /* @__PURE__ */ unary(task.DeleteRequest, task.DeleteResponse),
  Pids: /* @__PURE__ */ unary(task.PidsRequest, task.PidsResponse),
  Pause: /* @__PURE__ */ unary(task.PauseRequest, google.Empty),
  Resume: /* @__PURE__ */ unary(task.ResumeRequest, google.Empty),
  Checkpoint: /* @__PURE__ */ unary(task.CheckpointTaskRequest, google.Empty),
  Kill: /* @__PURE__ */ unary(task.KillRequest, google.Empty),
  Exec: /* @__PURE__ */ unary(task.ExecProcessRequest, google.Empty),
  ResizePty: /* @__PURE__ */ unary(task.ResizePtyRequest, google.Empty),
  CloseIO: /* @__PURE__ */ unary(task.CloseIORequest, google.Empty),
  Update: /* @__PURE__ */ unary(task.UpdateTaskRequest, google.Empty),
  Wait: /* @__PURE__ */ unary(task.WaitRequest, task.WaitResponse),
  Stats: /* @__PURE__ */ unary(task.StatsRequest, task.StatsResponse),
  Connect: /* @__PURE__ */ unary(task.ConnectRequest, task.ConnectResponse),
  Shutdown: /* @__PURE__ */ unary(task.ShutdownRequest, google.Empty),
});

// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';
import * as google from './google.ts';
import * as tasktypes from './tasktypes.ts';
import * as types from './types.ts';

export interface CreateTaskRequest {
  id: string;
  bundle: string;
  rootfs: types.Mount[];
  terminal: boolean;
  /** FIFO paths or URIs; empty: no such stream. */
  stdin: string;
  stdout: string;
  stderr: string;
  checkpoint: string;
  parentCheckpoint: string;
  /** containerd.runc.v1.Options, or what the runtime's configuration section holds. */
  options: google.Any | undefined;
}
/** What CreateTaskRequest.encode takes. */
export interface ICreateTaskRequest {
  id?: string | undefined;
  bundle?: string | undefined;
  rootfs?: readonly types.IMount[] | undefined;
  terminal?: boolean | undefined;
  stdin?: string | undefined;
  stdout?: string | undefined;
  stderr?: string | undefined;
  checkpoint?: string | undefined;
  parentCheckpoint?: string | undefined;
  options?: google.IAny | undefined;
}
export const CreateTaskRequest: MessageType<ICreateTaskRequest, CreateTaskRequest> = /* @__PURE__ */ message('containerd.task.v2.CreateTaskRequest', [
  [1, 'id', 'string'],
  [2, 'bundle', 'string'],
  [3, 'rootfs', types.Mount, 'repeated'],
  [4, 'terminal', 'bool'],
  [5, 'stdin', 'string'],
  [6, 'stdout', 'string'],
  [7, 'stderr', 'string'],
  [8, 'checkpoint', 'string'],
  [9, 'parentCheckpoint', 'string'],
  [10, 'options', google.Any],
]);

export interface CreateTaskResponse {
  pid: number;
}
/** What CreateTaskResponse.encode takes. */
export interface ICreateTaskResponse {
  pid?: number | undefined;
}
export const CreateTaskResponse: MessageType<ICreateTaskResponse, CreateTaskResponse> = /* @__PURE__ */ message('containerd.task.v2.CreateTaskResponse', [
  [1, 'pid', 'uint32'],
]);

export interface DeleteRequest {
  id: string;
  execId: string;
}
/** What DeleteRequest.encode takes. */
export interface IDeleteRequest {
  id?: string | undefined;
  execId?: string | undefined;
}
export const DeleteRequest: MessageType<IDeleteRequest, DeleteRequest> = /* @__PURE__ */ message('containerd.task.v2.DeleteRequest', [
  [1, 'id', 'string'],
  [2, 'execId', 'string'],
]);

export interface DeleteResponse {
  pid: number;
  exitStatus: number;
  exitedAt: google.Timestamp | undefined;
}
/** What DeleteResponse.encode takes. */
export interface IDeleteResponse {
  pid?: number | undefined;
  exitStatus?: number | undefined;
  exitedAt?: google.ITimestamp | undefined;
}
export const DeleteResponse: MessageType<IDeleteResponse, DeleteResponse> = /* @__PURE__ */ message('containerd.task.v2.DeleteResponse', [
  [1, 'pid', 'uint32'],
  [2, 'exitStatus', 'uint32'],
  [3, 'exitedAt', google.Timestamp],
]);

export interface ExecProcessRequest {
  id: string;
  execId: string;
  terminal: boolean;
  stdin: string;
  stdout: string;
  stderr: string;
  /** The OCI specification's `process`, as JSON. */
  spec: google.Any | undefined;
}
/** What ExecProcessRequest.encode takes. */
export interface IExecProcessRequest {
  id?: string | undefined;
  execId?: string | undefined;
  terminal?: boolean | undefined;
  stdin?: string | undefined;
  stdout?: string | undefined;
  stderr?: string | undefined;
  spec?: google.IAny | undefined;
}
export const ExecProcessRequest: MessageType<IExecProcessRequest, ExecProcessRequest> = /* @__PURE__ */ message('containerd.task.v2.ExecProcessRequest', [
  [1, 'id', 'string'],
  [2, 'execId', 'string'],
  [3, 'terminal', 'bool'],
  [4, 'stdin', 'string'],
  [5, 'stdout', 'string'],
  [6, 'stderr', 'string'],
  [7, 'spec', google.Any],
]);

/** Answered by no method; part of the published file. */
export interface ExecProcessResponse {}
/** What ExecProcessResponse.encode takes. */
export interface IExecProcessResponse {}
export const ExecProcessResponse: MessageType<IExecProcessResponse, ExecProcessResponse> = /* @__PURE__ */ message('containerd.task.v2.ExecProcessResponse', []);

export interface ResizePtyRequest {
  id: string;
  execId: string;
  width: number;
  height: number;
}
/** What ResizePtyRequest.encode takes. */
export interface IResizePtyRequest {
  id?: string | undefined;
  execId?: string | undefined;
  width?: number | undefined;
  height?: number | undefined;
}
export const ResizePtyRequest: MessageType<IResizePtyRequest, ResizePtyRequest> = /* @__PURE__ */ message('containerd.task.v2.ResizePtyRequest', [
  [1, 'id', 'string'],
  [2, 'execId', 'string'],
  [3, 'width', 'uint32'],
  [4, 'height', 'uint32'],
]);

export interface StateRequest {
  id: string;
  execId: string;
}
/** What StateRequest.encode takes. */
export interface IStateRequest {
  id?: string | undefined;
  execId?: string | undefined;
}
export const StateRequest: MessageType<IStateRequest, StateRequest> = /* @__PURE__ */ message('containerd.task.v2.StateRequest', [
  [1, 'id', 'string'],
  [2, 'execId', 'string'],
]);

export interface StateResponse {
  id: string;
  bundle: string;
  pid: number;
  status: number;
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
  exitStatus: number;
  exitedAt: google.Timestamp | undefined;
  execId: string;
}
/** What StateResponse.encode takes. */
export interface IStateResponse {
  id?: string | undefined;
  bundle?: string | undefined;
  pid?: number | undefined;
  status?: tasktypes.Status | undefined;
  stdin?: string | undefined;
  stdout?: string | undefined;
  stderr?: string | undefined;
  terminal?: boolean | undefined;
  exitStatus?: number | undefined;
  exitedAt?: google.ITimestamp | undefined;
  execId?: string | undefined;
}
export const StateResponse: MessageType<IStateResponse, StateResponse> = /* @__PURE__ */ message('containerd.task.v2.StateResponse', [
  [1, 'id', 'string'],
  [2, 'bundle', 'string'],
  [3, 'pid', 'uint32'],
  [4, 'status', 'int32'],
  [5, 'stdin', 'string'],
  [6, 'stdout', 'string'],
  [7, 'stderr', 'string'],
  [8, 'terminal', 'bool'],
  [9, 'exitStatus', 'uint32'],
  [10, 'exitedAt', google.Timestamp],
  [11, 'execId', 'string'],
]);

export interface KillRequest {
  id: string;
  execId: string;
  signal: number;
  all: boolean;
}
/** What KillRequest.encode takes. */
export interface IKillRequest {
  id?: string | undefined;
  execId?: string | undefined;
  signal?: number | undefined;
  all?: boolean | undefined;
}
export const KillRequest: MessageType<IKillRequest, KillRequest> = /* @__PURE__ */ message('containerd.task.v2.KillRequest', [
  [1, 'id', 'string'],
  [2, 'execId', 'string'],
  [3, 'signal', 'uint32'],
  [4, 'all', 'bool'],
]);

export interface CloseIORequest {
  id: string;
  execId: string;
  stdin: boolean;
}
/** What CloseIORequest.encode takes. */
export interface ICloseIORequest {
  id?: string | undefined;
  execId?: string | undefined;
  stdin?: boolean | undefined;
}
export const CloseIORequest: MessageType<ICloseIORequest, CloseIORequest> = /* @__PURE__ */ message('containerd.task.v2.CloseIORequest', [
  [1, 'id', 'string'],
  [2, 'execId', 'string'],
  [3, 'stdin', 'bool'],
]);

export interface PidsRequest {
  id: string;
}
/** What PidsRequest.encode takes. */
export interface IPidsRequest {
  id?: string | undefined;
}
export const PidsRequest: MessageType<IPidsRequest, PidsRequest> = /* @__PURE__ */ message('containerd.task.v2.PidsRequest', [
  [1, 'id', 'string'],
]);

export interface PidsResponse {
  processes: tasktypes.ProcessInfo[];
}
/** What PidsResponse.encode takes. */
export interface IPidsResponse {
  processes?: readonly tasktypes.IProcessInfo[] | undefined;
}
export const PidsResponse: MessageType<IPidsResponse, PidsResponse> = /* @__PURE__ */ message('containerd.task.v2.PidsResponse', [
  [1, 'processes', tasktypes.ProcessInfo, 'repeated'],
]);

export interface CheckpointTaskRequest {
  id: string;
  path: string;
  options: google.Any | undefined;
}
/** What CheckpointTaskRequest.encode takes. */
export interface ICheckpointTaskRequest {
  id?: string | undefined;
  path?: string | undefined;
  options?: google.IAny | undefined;
}
export const CheckpointTaskRequest: MessageType<ICheckpointTaskRequest, CheckpointTaskRequest> = /* @__PURE__ */ message('containerd.task.v2.CheckpointTaskRequest', [
  [1, 'id', 'string'],
  [2, 'path', 'string'],
  [3, 'options', google.Any],
]);

export interface UpdateTaskRequest {
  id: string;
  /** The OCI specification's `linux.resources`, as JSON. */
  resources: google.Any | undefined;
  annotations: Record<string, string>;
}
/** What UpdateTaskRequest.encode takes. */
export interface IUpdateTaskRequest {
  id?: string | undefined;
  resources?: google.IAny | undefined;
  annotations?: Readonly<Record<string, string>> | undefined;
}
export const UpdateTaskRequest: MessageType<IUpdateTaskRequest, UpdateTaskRequest> = /* @__PURE__ */ message('containerd.task.v2.UpdateTaskRequest', [
  [1, 'id', 'string'],
  [2, 'resources', google.Any],
  [3, 'annotations', 'string', 'map'],
]);

export interface StartRequest {
  id: string;
  execId: string;
}
/** What StartRequest.encode takes. */
export interface IStartRequest {
  id?: string | undefined;
  execId?: string | undefined;
}
export const StartRequest: MessageType<IStartRequest, StartRequest> = /* @__PURE__ */ message('containerd.task.v2.StartRequest', [
  [1, 'id', 'string'],
  [2, 'execId', 'string'],
]);

export interface StartResponse {
  pid: number;
}
/** What StartResponse.encode takes. */
export interface IStartResponse {
  pid?: number | undefined;
}
export const StartResponse: MessageType<IStartResponse, StartResponse> = /* @__PURE__ */ message('containerd.task.v2.StartResponse', [
  [1, 'pid', 'uint32'],
]);

export interface WaitRequest {
  id: string;
  execId: string;
}
/** What WaitRequest.encode takes. */
export interface IWaitRequest {
  id?: string | undefined;
  execId?: string | undefined;
}
export const WaitRequest: MessageType<IWaitRequest, WaitRequest> = /* @__PURE__ */ message('containerd.task.v2.WaitRequest', [
  [1, 'id', 'string'],
  [2, 'execId', 'string'],
]);

export interface WaitResponse {
  exitStatus: number;
  exitedAt: google.Timestamp | undefined;
}
/** What WaitResponse.encode takes. */
export interface IWaitResponse {
  exitStatus?: number | undefined;
  exitedAt?: google.ITimestamp | undefined;
}
export const WaitResponse: MessageType<IWaitResponse, WaitResponse> = /* @__PURE__ */ message('containerd.task.v2.WaitResponse', [
  [1, 'exitStatus', 'uint32'],
  [2, 'exitedAt', google.Timestamp],
]);

export interface StatsRequest {
  id: string;
}
/** What StatsRequest.encode takes. */
export interface IStatsRequest {
  id?: string | undefined;
}
export const StatsRequest: MessageType<IStatsRequest, StatsRequest> = /* @__PURE__ */ message('containerd.task.v2.StatsRequest', [
  [1, 'id', 'string'],
]);

export interface StatsResponse {
  /** io.containerd.cgroups.v2.Metrics. */
  stats: google.Any | undefined;
}
/** What StatsResponse.encode takes. */
export interface IStatsResponse {
  stats?: google.IAny | undefined;
}
export const StatsResponse: MessageType<IStatsResponse, StatsResponse> = /* @__PURE__ */ message('containerd.task.v2.StatsResponse', [
  [1, 'stats', google.Any],
]);

export interface ConnectRequest {
  id: string;
}
/** What ConnectRequest.encode takes. */
export interface IConnectRequest {
  id?: string | undefined;
}
export const ConnectRequest: MessageType<IConnectRequest, ConnectRequest> = /* @__PURE__ */ message('containerd.task.v2.ConnectRequest', [
  [1, 'id', 'string'],
]);

export interface ConnectResponse {
  shimPid: number;
  taskPid: number;
  version: string;
}
/** What ConnectResponse.encode takes. */
export interface IConnectResponse {
  shimPid?: number | undefined;
  taskPid?: number | undefined;
  version?: string | undefined;
}
export const ConnectResponse: MessageType<IConnectResponse, ConnectResponse> = /* @__PURE__ */ message('containerd.task.v2.ConnectResponse', [
  [1, 'shimPid', 'uint32'],
  [2, 'taskPid', 'uint32'],
  [3, 'version', 'string'],
]);

export interface ShutdownRequest {
  id: string;
  now: boolean;
}
/** What ShutdownRequest.encode takes. */
export interface IShutdownRequest {
  id?: string | undefined;
  now?: boolean | undefined;
}
export const ShutdownRequest: MessageType<IShutdownRequest, ShutdownRequest> = /* @__PURE__ */ message('containerd.task.v2.ShutdownRequest', [
  [1, 'id', 'string'],
  [2, 'now', 'bool'],
]);

export interface PauseRequest {
  id: string;
}
/** What PauseRequest.encode takes. */
export interface IPauseRequest {
  id?: string | undefined;
}
export const PauseRequest: MessageType<IPauseRequest, PauseRequest> = /* @__PURE__ */ message('containerd.task.v2.PauseRequest', [
  [1, 'id', 'string'],
]);

export interface ResumeRequest {
  id: string;
}
/** What ResumeRequest.encode takes. */
export interface IResumeRequest {
  id?: string | undefined;
}
export const ResumeRequest: MessageType<IResumeRequest, ResumeRequest> = /* @__PURE__ */ message('containerd.task.v2.ResumeRequest', [
  [1, 'id', 'string'],
]);

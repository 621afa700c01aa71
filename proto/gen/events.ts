// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';
import * as google from './google.ts';
import * as types from './types.ts';

export interface TaskIO {
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
}
/** What TaskIO.encode takes. */
export interface ITaskIO {
  stdin?: string | undefined;
  stdout?: string | undefined;
  stderr?: string | undefined;
  terminal?: boolean | undefined;
}
export const TaskIO: MessageType<ITaskIO, TaskIO> = /* @__PURE__ */ message('containerd.events.TaskIO', [
  [1, 'stdin', 'string'],
  [2, 'stdout', 'string'],
  [3, 'stderr', 'string'],
  [4, 'terminal', 'bool'],
]);

export interface TaskCreate {
  containerId: string;
  bundle: string;
  rootfs: types.Mount[];
  io: TaskIO | undefined;
  checkpoint: string;
  pid: number;
}
/** What TaskCreate.encode takes. */
export interface ITaskCreate {
  containerId?: string | undefined;
  bundle?: string | undefined;
  rootfs?: readonly types.IMount[] | undefined;
  io?: ITaskIO | undefined;
  checkpoint?: string | undefined;
  pid?: number | undefined;
}
export const TaskCreate: MessageType<ITaskCreate, TaskCreate> = /* @__PURE__ */ message('containerd.events.TaskCreate', [
  [1, 'containerId', 'string'],
  [2, 'bundle', 'string'],
  [3, 'rootfs', types.Mount, 'repeated'],
  [4, 'io', TaskIO],
  [5, 'checkpoint', 'string'],
  [6, 'pid', 'uint32'],
]);

export interface TaskStart {
  containerId: string;
  pid: number;
}
/** What TaskStart.encode takes. */
export interface ITaskStart {
  containerId?: string | undefined;
  pid?: number | undefined;
}
export const TaskStart: MessageType<ITaskStart, TaskStart> = /* @__PURE__ */ message('containerd.events.TaskStart', [
  [1, 'containerId', 'string'],
  [2, 'pid', 'uint32'],
]);

export interface TaskDelete {
  containerId: string;
  pid: number;
  exitStatus: number;
  exitedAt: google.Timestamp | undefined;
  /** The exec's id; for the first process the container's own, or empty. */
  id: string;
}
/** What TaskDelete.encode takes. */
export interface ITaskDelete {
  containerId?: string | undefined;
  pid?: number | undefined;
  exitStatus?: number | undefined;
  exitedAt?: google.ITimestamp | undefined;
  id?: string | undefined;
}
export const TaskDelete: MessageType<ITaskDelete, TaskDelete> = /* @__PURE__ */ message('containerd.events.TaskDelete', [
  [1, 'containerId', 'string'],
  [2, 'pid', 'uint32'],
  [3, 'exitStatus', 'uint32'],
  [4, 'exitedAt', google.Timestamp],
  [5, 'id', 'string'],
]);

export interface TaskExit {
  containerId: string;
  /** The exec's id; for the first process the container's own. */
  id: string;
  pid: number;
  exitStatus: number;
  exitedAt: google.Timestamp | undefined;
}
/** What TaskExit.encode takes. */
export interface ITaskExit {
  containerId?: string | undefined;
  id?: string | undefined;
  pid?: number | undefined;
  exitStatus?: number | undefined;
  exitedAt?: google.ITimestamp | undefined;
}
export const TaskExit: MessageType<ITaskExit, TaskExit> = /* @__PURE__ */ message('containerd.events.TaskExit', [
  [1, 'containerId', 'string'],
  [2, 'id', 'string'],
  [3, 'pid', 'uint32'],
  [4, 'exitStatus', 'uint32'],
  [5, 'exitedAt', google.Timestamp],
]);

export interface TaskOOM {
  containerId: string;
}
/** What TaskOOM.encode takes. */
export interface ITaskOOM {
  containerId?: string | undefined;
}
export const TaskOOM: MessageType<ITaskOOM, TaskOOM> = /* @__PURE__ */ message('containerd.events.TaskOOM', [
  [1, 'containerId', 'string'],
]);

export interface TaskExecAdded {
  containerId: string;
  execId: string;
}
/** What TaskExecAdded.encode takes. */
export interface ITaskExecAdded {
  containerId?: string | undefined;
  execId?: string | undefined;
}
export const TaskExecAdded: MessageType<ITaskExecAdded, TaskExecAdded> = /* @__PURE__ */ message('containerd.events.TaskExecAdded', [
  [1, 'containerId', 'string'],
  [2, 'execId', 'string'],
]);

export interface TaskExecStarted {
  containerId: string;
  execId: string;
  pid: number;
}
/** What TaskExecStarted.encode takes. */
export interface ITaskExecStarted {
  containerId?: string | undefined;
  execId?: string | undefined;
  pid?: number | undefined;
}
export const TaskExecStarted: MessageType<ITaskExecStarted, TaskExecStarted> = /* @__PURE__ */ message('containerd.events.TaskExecStarted', [
  [1, 'containerId', 'string'],
  [2, 'execId', 'string'],
  [3, 'pid', 'uint32'],
]);

export interface TaskPaused {
  containerId: string;
}
/** What TaskPaused.encode takes. */
export interface ITaskPaused {
  containerId?: string | undefined;
}
export const TaskPaused: MessageType<ITaskPaused, TaskPaused> = /* @__PURE__ */ message('containerd.events.TaskPaused', [
  [1, 'containerId', 'string'],
]);

export interface TaskResumed {
  containerId: string;
}
/** What TaskResumed.encode takes. */
export interface ITaskResumed {
  containerId?: string | undefined;
}
export const TaskResumed: MessageType<ITaskResumed, TaskResumed> = /* @__PURE__ */ message('containerd.events.TaskResumed', [
  [1, 'containerId', 'string'],
]);

export interface TaskCheckpointed {
  containerId: string;
  checkpoint: string;
}
/** What TaskCheckpointed.encode takes. */
export interface ITaskCheckpointed {
  containerId?: string | undefined;
  checkpoint?: string | undefined;
}
export const TaskCheckpointed: MessageType<ITaskCheckpointed, TaskCheckpointed> = /* @__PURE__ */ message('containerd.events.TaskCheckpointed', [
  [1, 'containerId', 'string'],
  [2, 'checkpoint', 'string'],
]);

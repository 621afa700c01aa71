// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';
import * as google from './google.ts';

export const Status = {
  UNKNOWN: 0,
  CREATED: 1,
  RUNNING: 2,
  STOPPED: 3,
  PAUSED: 4,
  PAUSING: 5,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

export interface Process {
  containerId: string;
  id: string;
  pid: number;
  status: number;
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
  exitStatus: number;
  exitedAt: google.Timestamp | undefined;
}
/** What Process.encode takes. */
export interface IProcess {
  containerId?: string | undefined;
  id?: string | undefined;
  pid?: number | undefined;
  status?: Status | undefined;
  stdin?: string | undefined;
  stdout?: string | undefined;
  stderr?: string | undefined;
  terminal?: boolean | undefined;
  exitStatus?: number | undefined;
  exitedAt?: google.ITimestamp | undefined;
}
export const Process: MessageType<IProcess, Process> = /* @__PURE__ */ message('containerd.v1.types.Process', [
  [1, 'containerId', 'string'],
  [2, 'id', 'string'],
  [3, 'pid', 'uint32'],
  [4, 'status', 'int32'],
  [5, 'stdin', 'string'],
  [6, 'stdout', 'string'],
  [7, 'stderr', 'string'],
  [8, 'terminal', 'bool'],
  [9, 'exitStatus', 'uint32'],
  [10, 'exitedAt', google.Timestamp],
]);

export interface ProcessInfo {
  pid: number;
  /** containerd.runc.v1.ProcessDetails for the first process of an exec. */
  info: google.Any | undefined;
}
/** What ProcessInfo.encode takes. */
export interface IProcessInfo {
  pid?: number | undefined;
  info?: google.IAny | undefined;
}
export const ProcessInfo: MessageType<IProcessInfo, ProcessInfo> = /* @__PURE__ */ message('containerd.v1.types.ProcessInfo', [
  [1, 'pid', 'uint32'],
  [2, 'info', google.Any],
]);

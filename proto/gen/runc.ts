// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';

/** What CRI and `ctr` send as a runtime's options when they take it for runc. */
export interface Options {
  noPivotRoot: boolean;
  noNewKeyring: boolean;
  shimCgroup: string;
  /** Owner of the stdio pipes. */
  ioUid: number;
  ioGid: number;
  binaryName: string;
  root: string;
  /** Until containerd 1.7; reserved since. */
  criuPath: string;
  systemdCgroup: boolean;
  criuImagePath: string;
  criuWorkPath: string;
  /** Since containerd 2.0: where an outer sandbox serves the task API, and which version of it. */
  taskApiAddress: string;
  taskApiVersion: number;
}
/** What Options.encode takes. */
export interface IOptions {
  noPivotRoot?: boolean | undefined;
  noNewKeyring?: boolean | undefined;
  shimCgroup?: string | undefined;
  ioUid?: number | undefined;
  ioGid?: number | undefined;
  binaryName?: string | undefined;
  root?: string | undefined;
  criuPath?: string | undefined;
  systemdCgroup?: boolean | undefined;
  criuImagePath?: string | undefined;
  criuWorkPath?: string | undefined;
  taskApiAddress?: string | undefined;
  taskApiVersion?: number | undefined;
}
export const Options: MessageType<IOptions, Options> = /* @__PURE__ */ message('containerd.runc.v1.Options', [
  [1, 'noPivotRoot', 'bool'],
  [2, 'noNewKeyring', 'bool'],
  [3, 'shimCgroup', 'string'],
  [4, 'ioUid', 'uint32'],
  [5, 'ioGid', 'uint32'],
  [6, 'binaryName', 'string'],
  [7, 'root', 'string'],
  [8, 'criuPath', 'string'],
  [9, 'systemdCgroup', 'bool'],
  [10, 'criuImagePath', 'string'],
  [11, 'criuWorkPath', 'string'],
  [12, 'taskApiAddress', 'string'],
  [13, 'taskApiVersion', 'uint32'],
]);

export interface CheckpointOptions {
  exit: boolean;
  openTcp: boolean;
  externalUnixSockets: boolean;
  terminal: boolean;
  fileLocks: boolean;
  emptyNamespaces: string[];
  cgroupsMode: string;
  imagePath: string;
  workPath: string;
}
/** What CheckpointOptions.encode takes. */
export interface ICheckpointOptions {
  exit?: boolean | undefined;
  openTcp?: boolean | undefined;
  externalUnixSockets?: boolean | undefined;
  terminal?: boolean | undefined;
  fileLocks?: boolean | undefined;
  emptyNamespaces?: readonly string[] | undefined;
  cgroupsMode?: string | undefined;
  imagePath?: string | undefined;
  workPath?: string | undefined;
}
export const CheckpointOptions: MessageType<ICheckpointOptions, CheckpointOptions> = /* @__PURE__ */ message('containerd.runc.v1.CheckpointOptions', [
  [1, 'exit', 'bool'],
  [2, 'openTcp', 'bool'],
  [3, 'externalUnixSockets', 'bool'],
  [4, 'terminal', 'bool'],
  [5, 'fileLocks', 'bool'],
  [6, 'emptyNamespaces', 'string', 'repeated'],
  [7, 'cgroupsMode', 'string'],
  [8, 'imagePath', 'string'],
  [9, 'workPath', 'string'],
]);

/** What ProcessInfo.info holds for the first process of an exec. */
export interface ProcessDetails {
  execId: string;
}
/** What ProcessDetails.encode takes. */
export interface IProcessDetails {
  execId?: string | undefined;
}
export const ProcessDetails: MessageType<IProcessDetails, ProcessDetails> = /* @__PURE__ */ message('containerd.runc.v1.ProcessDetails', [
  [1, 'execId', 'string'],
]);

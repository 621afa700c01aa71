// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';
import * as google from './google.ts';
import * as types from './types.ts';

export interface CreateSandboxRequest {
  sandboxId: string;
  bundlePath: string;
  rootfs: types.Mount[];
  /** The CRI PodSandboxConfig, when CRI asks. */
  options: google.Any | undefined;
  netnsPath: string;
  annotations: Record<string, string>;
}
/** What CreateSandboxRequest.encode takes. */
export interface ICreateSandboxRequest {
  sandboxId?: string | undefined;
  bundlePath?: string | undefined;
  rootfs?: readonly types.IMount[] | undefined;
  options?: google.IAny | undefined;
  netnsPath?: string | undefined;
  annotations?: Readonly<Record<string, string>> | undefined;
}
export const CreateSandboxRequest: MessageType<ICreateSandboxRequest, CreateSandboxRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.CreateSandboxRequest', [
  [1, 'sandboxId', 'string'],
  [2, 'bundlePath', 'string'],
  [3, 'rootfs', types.Mount, 'repeated'],
  [4, 'options', google.Any],
  [5, 'netnsPath', 'string'],
  [6, 'annotations', 'string', 'map'],
]);

export interface CreateSandboxResponse {}
/** What CreateSandboxResponse.encode takes. */
export interface ICreateSandboxResponse {}
export const CreateSandboxResponse: MessageType<ICreateSandboxResponse, CreateSandboxResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.CreateSandboxResponse', []);

export interface StartSandboxRequest {
  sandboxId: string;
}
/** What StartSandboxRequest.encode takes. */
export interface IStartSandboxRequest {
  sandboxId?: string | undefined;
}
export const StartSandboxRequest: MessageType<IStartSandboxRequest, StartSandboxRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.StartSandboxRequest', [
  [1, 'sandboxId', 'string'],
]);

export interface StartSandboxResponse {
  pid: number;
  createdAt: google.Timestamp | undefined;
}
/** What StartSandboxResponse.encode takes. */
export interface IStartSandboxResponse {
  pid?: number | undefined;
  createdAt?: google.ITimestamp | undefined;
}
export const StartSandboxResponse: MessageType<IStartSandboxResponse, StartSandboxResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.StartSandboxResponse', [
  [1, 'pid', 'uint32'],
  [2, 'createdAt', google.Timestamp],
]);

export interface PlatformRequest {
  sandboxId: string;
}
/** What PlatformRequest.encode takes. */
export interface IPlatformRequest {
  sandboxId?: string | undefined;
}
export const PlatformRequest: MessageType<IPlatformRequest, PlatformRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.PlatformRequest', [
  [1, 'sandboxId', 'string'],
]);

export interface PlatformResponse {
  platform: types.Platform | undefined;
}
/** What PlatformResponse.encode takes. */
export interface IPlatformResponse {
  platform?: types.IPlatform | undefined;
}
export const PlatformResponse: MessageType<IPlatformResponse, PlatformResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.PlatformResponse', [
  [1, 'platform', types.Platform],
]);

export interface StopSandboxRequest {
  sandboxId: string;
  timeoutSecs: number;
}
/** What StopSandboxRequest.encode takes. */
export interface IStopSandboxRequest {
  sandboxId?: string | undefined;
  timeoutSecs?: number | undefined;
}
export const StopSandboxRequest: MessageType<IStopSandboxRequest, StopSandboxRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.StopSandboxRequest', [
  [1, 'sandboxId', 'string'],
  [2, 'timeoutSecs', 'uint32'],
]);

export interface StopSandboxResponse {}
/** What StopSandboxResponse.encode takes. */
export interface IStopSandboxResponse {}
export const StopSandboxResponse: MessageType<IStopSandboxResponse, StopSandboxResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.StopSandboxResponse', []);

/** The two Update messages belong to no method yet; part of the published file. */
export interface UpdateSandboxRequest {
  sandboxId: string;
  resources: google.Any | undefined;
  annotations: Record<string, string>;
}
/** What UpdateSandboxRequest.encode takes. */
export interface IUpdateSandboxRequest {
  sandboxId?: string | undefined;
  resources?: google.IAny | undefined;
  annotations?: Readonly<Record<string, string>> | undefined;
}
export const UpdateSandboxRequest: MessageType<IUpdateSandboxRequest, UpdateSandboxRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.UpdateSandboxRequest', [
  [1, 'sandboxId', 'string'],
  [2, 'resources', google.Any],
  [3, 'annotations', 'string', 'map'],
]);

export interface UpdateSandboxResponse {}
/** What UpdateSandboxResponse.encode takes. */
export interface IUpdateSandboxResponse {}
export const UpdateSandboxResponse: MessageType<IUpdateSandboxResponse, UpdateSandboxResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.UpdateSandboxResponse', []);

export interface WaitSandboxRequest {
  sandboxId: string;
}
/** What WaitSandboxRequest.encode takes. */
export interface IWaitSandboxRequest {
  sandboxId?: string | undefined;
}
export const WaitSandboxRequest: MessageType<IWaitSandboxRequest, WaitSandboxRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.WaitSandboxRequest', [
  [1, 'sandboxId', 'string'],
]);

export interface WaitSandboxResponse {
  exitStatus: number;
  exitedAt: google.Timestamp | undefined;
}
/** What WaitSandboxResponse.encode takes. */
export interface IWaitSandboxResponse {
  exitStatus?: number | undefined;
  exitedAt?: google.ITimestamp | undefined;
}
export const WaitSandboxResponse: MessageType<IWaitSandboxResponse, WaitSandboxResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.WaitSandboxResponse', [
  [1, 'exitStatus', 'uint32'],
  [2, 'exitedAt', google.Timestamp],
]);

export interface SandboxStatusRequest {
  sandboxId: string;
  verbose: boolean;
}
/** What SandboxStatusRequest.encode takes. */
export interface ISandboxStatusRequest {
  sandboxId?: string | undefined;
  verbose?: boolean | undefined;
}
export const SandboxStatusRequest: MessageType<ISandboxStatusRequest, SandboxStatusRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.SandboxStatusRequest', [
  [1, 'sandboxId', 'string'],
  [2, 'verbose', 'bool'],
]);

export interface SandboxStatusResponse {
  sandboxId: string;
  pid: number;
  /** SANDBOX_READY or SANDBOX_NOTREADY: CRI compares the text. */
  state: string;
  info: Record<string, string>;
  createdAt: google.Timestamp | undefined;
  exitedAt: google.Timestamp | undefined;
  extra: google.Any | undefined;
}
/** What SandboxStatusResponse.encode takes. */
export interface ISandboxStatusResponse {
  sandboxId?: string | undefined;
  pid?: number | undefined;
  state?: string | undefined;
  info?: Readonly<Record<string, string>> | undefined;
  createdAt?: google.ITimestamp | undefined;
  exitedAt?: google.ITimestamp | undefined;
  extra?: google.IAny | undefined;
}
export const SandboxStatusResponse: MessageType<ISandboxStatusResponse, SandboxStatusResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.SandboxStatusResponse', [
  [1, 'sandboxId', 'string'],
  [2, 'pid', 'uint32'],
  [3, 'state', 'string'],
  [4, 'info', 'string', 'map'],
  [5, 'createdAt', google.Timestamp],
  [6, 'exitedAt', google.Timestamp],
  [7, 'extra', google.Any],
]);

export interface PingRequest {
  sandboxId: string;
}
/** What PingRequest.encode takes. */
export interface IPingRequest {
  sandboxId?: string | undefined;
}
export const PingRequest: MessageType<IPingRequest, PingRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.PingRequest', [
  [1, 'sandboxId', 'string'],
]);

export interface PingResponse {}
/** What PingResponse.encode takes. */
export interface IPingResponse {}
export const PingResponse: MessageType<IPingResponse, PingResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.PingResponse', []);

export interface ShutdownSandboxRequest {
  sandboxId: string;
}
/** What ShutdownSandboxRequest.encode takes. */
export interface IShutdownSandboxRequest {
  sandboxId?: string | undefined;
}
export const ShutdownSandboxRequest: MessageType<IShutdownSandboxRequest, ShutdownSandboxRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.ShutdownSandboxRequest', [
  [1, 'sandboxId', 'string'],
]);

export interface ShutdownSandboxResponse {}
/** What ShutdownSandboxResponse.encode takes. */
export interface IShutdownSandboxResponse {}
export const ShutdownSandboxResponse: MessageType<IShutdownSandboxResponse, ShutdownSandboxResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.ShutdownSandboxResponse', []);

export interface SandboxMetricsRequest {
  sandboxId: string;
}
/** What SandboxMetricsRequest.encode takes. */
export interface ISandboxMetricsRequest {
  sandboxId?: string | undefined;
}
export const SandboxMetricsRequest: MessageType<ISandboxMetricsRequest, SandboxMetricsRequest> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.SandboxMetricsRequest', [
  [1, 'sandboxId', 'string'],
]);

export interface SandboxMetricsResponse {
  metrics: types.Metric | undefined;
}
/** What SandboxMetricsResponse.encode takes. */
export interface ISandboxMetricsResponse {
  metrics?: types.IMetric | undefined;
}
export const SandboxMetricsResponse: MessageType<ISandboxMetricsResponse, SandboxMetricsResponse> = /* @__PURE__ */ message('containerd.runtime.sandbox.v1.SandboxMetricsResponse', [
  [1, 'metrics', types.Metric],
]);

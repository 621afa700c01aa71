// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';
import * as google from './google.ts';

/** The arguments of one mount(2). */
export interface Mount {
  type: string;
  source: string;
  /** Relative to the root of the container's file system; empty: the root itself. */
  target: string;
  /** As in fstab. */
  options: string[];
}
/** What Mount.encode takes. */
export interface IMount {
  type?: string | undefined;
  source?: string | undefined;
  target?: string | undefined;
  options?: readonly string[] | undefined;
}
export const Mount: MessageType<IMount, Mount> = /* @__PURE__ */ message('containerd.types.Mount', [
  [1, 'type', 'string'],
  [2, 'source', 'string'],
  [3, 'target', 'string'],
  [4, 'options', 'string', 'repeated'],
]);

/** As in the OCI image specification, e.g. linux, amd64. */
export interface Platform {
  os: string;
  architecture: string;
  variant: string;
  /** Since containerd 2.0. */
  osVersion: string;
}
/** What Platform.encode takes. */
export interface IPlatform {
  os?: string | undefined;
  architecture?: string | undefined;
  variant?: string | undefined;
  osVersion?: string | undefined;
}
export const Platform: MessageType<IPlatform, Platform> = /* @__PURE__ */ message('containerd.types.Platform', [
  [1, 'os', 'string'],
  [2, 'architecture', 'string'],
  [3, 'variant', 'string'],
  [4, 'osVersion', 'string'],
]);

export interface Metric {
  timestamp: google.Timestamp | undefined;
  id: string;
  data: google.Any | undefined;
}
/** What Metric.encode takes. */
export interface IMetric {
  timestamp?: google.ITimestamp | undefined;
  id?: string | undefined;
  data?: google.IAny | undefined;
}
export const Metric: MessageType<IMetric, Metric> = /* @__PURE__ */ message('containerd.types.Metric', [
  [1, 'timestamp', google.Timestamp],
  [2, 'id', 'string'],
  [3, 'data', google.Any],
]);

// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';

export interface Timestamp {
  seconds: bigint;
  nanos: number;
}
/** What Timestamp.encode takes. */
export interface ITimestamp {
  seconds?: number | bigint | undefined;
  nanos?: number | undefined;
}
export const Timestamp: MessageType<ITimestamp, Timestamp> = /* @__PURE__ */ message('google.protobuf.Timestamp', [
  [1, 'seconds', 'int64'],
  [2, 'nanos', 'int32'],
]);

export interface Empty {}
/** What Empty.encode takes. */
export interface IEmpty {}
export const Empty: MessageType<IEmpty, Empty> = /* @__PURE__ */ message('google.protobuf.Empty', []);

export interface Any {
  typeUrl: string;
  value: Uint8Array;
}
/** What Any.encode takes. */
export interface IAny {
  typeUrl?: string | undefined;
  value?: Uint8Array | undefined;
}
export const Any: MessageType<IAny, Any> = /* @__PURE__ */ message('google.protobuf.Any', [
  [1, 'typeUrl', 'string'],
  [2, 'value', 'bytes'],
]);

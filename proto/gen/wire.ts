// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';
import * as rpc from './rpc.ts';

export interface KeyValue {
  key: string;
  value: string;
}
/** What KeyValue.encode takes. */
export interface IKeyValue {
  key?: string | undefined;
  value?: string | undefined;
}
export const KeyValue: MessageType<IKeyValue, KeyValue> = /* @__PURE__ */ message('ttrpc.KeyValue', [
  [1, 'key', 'string'],
  [2, 'value', 'string'],
]);

export interface Request {
  service: string;
  method: string;
  payload: Uint8Array;
  /** From now; 0: none. */
  timeoutNano: bigint;
  /** A key with several values is repeated. */
  metadata: KeyValue[];
}
/** What Request.encode takes. */
export interface IRequest {
  service?: string | undefined;
  method?: string | undefined;
  payload?: Uint8Array | undefined;
  timeoutNano?: number | bigint | undefined;
  metadata?: readonly IKeyValue[] | undefined;
}
export const Request: MessageType<IRequest, Request> = /* @__PURE__ */ message('ttrpc.Request', [
  [1, 'service', 'string'],
  [2, 'method', 'string'],
  [3, 'payload', 'bytes'],
  [4, 'timeoutNano', 'int64'],
  [5, 'metadata', KeyValue, 'repeated'],
]);

export interface Response {
  status: rpc.Status | undefined;
  payload: Uint8Array;
}
/** What Response.encode takes. */
export interface IResponse {
  status?: rpc.IStatus | undefined;
  payload?: Uint8Array | undefined;
}
export const Response: MessageType<IResponse, Response> = /* @__PURE__ */ message('ttrpc.Response', [
  [1, 'status', rpc.Status],
  [2, 'payload', 'bytes'],
]);

/** Unused by the protocol; part of the published file. */
export interface StringList {
  list: string[];
}
/** What StringList.encode takes. */
export interface IStringList {
  list?: readonly string[] | undefined;
}
export const StringList: MessageType<IStringList, StringList> = /* @__PURE__ */ message('ttrpc.StringList', [
  [1, 'list', 'string', 'repeated'],
]);

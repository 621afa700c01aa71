// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';
import * as google from './google.ts';

/** containerd 2.x names the same message containerd.types.Envelope; names do not travel. */
export interface Envelope {
  timestamp: google.Timestamp | undefined;
  namespace: string;
  /** e.g. /tasks/exit */
  topic: string;
  event: google.Any | undefined;
}
/** What Envelope.encode takes. */
export interface IEnvelope {
  timestamp?: google.ITimestamp | undefined;
  namespace?: string | undefined;
  topic?: string | undefined;
  event?: google.IAny | undefined;
}
export const Envelope: MessageType<IEnvelope, Envelope> = /* @__PURE__ */ message('containerd.services.events.ttrpc.v1.Envelope', [
  [1, 'timestamp', google.Timestamp],
  [2, 'namespace', 'string'],
  [3, 'topic', 'string'],
  [4, 'event', google.Any],
]);

export interface ForwardRequest {
  envelope: Envelope | undefined;
}
/** What ForwardRequest.encode takes. */
export interface IForwardRequest {
  envelope?: IEnvelope | undefined;
}
export const ForwardRequest: MessageType<IForwardRequest, ForwardRequest> = /* @__PURE__ */ message('containerd.services.events.ttrpc.v1.ForwardRequest', [
  [1, 'envelope', Envelope],
]);

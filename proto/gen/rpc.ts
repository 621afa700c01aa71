// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';
import * as google from './google.ts';

export interface Status {
  /** google.rpc.Code; error.ts lists it. */
  code: number;
  message: string;
  details: google.Any[];
}
/** What Status.encode takes. */
export interface IStatus {
  code?: number | undefined;
  message?: string | undefined;
  details?: readonly google.IAny[] | undefined;
}
export const Status: MessageType<IStatus, Status> = /* @__PURE__ */ message('google.rpc.Status', [
  [1, 'code', 'int32'],
  [2, 'message', 'string'],
  [3, 'details', google.Any, 'repeated'],
]);

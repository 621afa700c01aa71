// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';

/** The options of a runtime that CRI knows nothing about: its configuration section, by reference. */
export interface Options {
  /** What the file holds. */
  typeUrl: string;
  configPath: string;
  /** The section itself as TOML, used when config_path is empty. Since containerd 1.7. */
  configBody: Uint8Array;
}
/** What Options.encode takes. */
export interface IOptions {
  typeUrl?: string | undefined;
  configPath?: string | undefined;
  configBody?: Uint8Array | undefined;
}
export const Options: MessageType<IOptions, Options> = /* @__PURE__ */ message('runtimeoptions.v1.Options', [
  [1, 'typeUrl', 'string'],
  [2, 'configPath', 'string'],
  [3, 'configBody', 'bytes'],
]);

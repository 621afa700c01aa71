/** google.protobuf.Any: a message of any type with that type's name. */
import { Code, RunvError } from './error.ts';
import type { Any, IAny } from './gen/google.ts';
import type { Codec } from './message.ts';

/** Packs with containerd's own kind of type URL: the full name alone (containerd/typeurl). */
export function packAny<In, Out>(codec: Codec<In, Out>, message: In): Any {
  return { typeUrl: codec.typeName, value: codec.encode(message) };
}

/** Packs JSON, as containerd does with OCI types; their type URL is then a Go path. */
export function packJson(typeUrl: string, value: unknown): Any {
  return { typeUrl, value: Buffer.from(JSON.stringify(value)) };
}

/** Whether it holds this type, with or without a host part in the URL. */
export function isAny<In, Out>(any: IAny | undefined, codec: Codec<In, Out>): boolean {
  const typeUrl = any?.typeUrl ?? '';
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1) === codec.typeName;
}

/** @throws RunvError InvalidArgument when it holds another type or malformed bytes */
export function unpackAny<In, Out>(codec: Codec<In, Out>, any: IAny | undefined): Out {
  if (!isAny(any, codec)) {
    const found = any?.typeUrl || 'nothing';
    throw new RunvError(Code.InvalidArgument, `expected ${codec.typeName}, found ${found}`);
  }
  return codec.decode(any?.value ?? new Uint8Array());
}

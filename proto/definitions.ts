/** Reads .proto files into protobufjs's reflection: for the generator, the compatibility checker and tests. */
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import protobuf from 'protobufjs';

/** All .proto files below `directory`, as sorted paths relative to it. */
export function protoFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.proto'))
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort();
}

/** Our own definitions; imports are relative to `directory`, google/protobuf/* comes with protobufjs. */
export function loadDefinitions(directory: string): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    protobuf.common.get(target) ? target : join(directory, target);
  // as paths relative to the root, so that a file loaded and imported is parsed once
  root.loadSync(protoFiles(directory), { keepCase: true, alternateCommentMode: true });
  root.resolveAll();
  return root;
}

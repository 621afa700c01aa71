import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { join } from 'node:path';
import type { agent as proto } from '../proto/messages.ts';

/** Kubelet may replace what is being read; so often in a row, it is something else. */
const maxTries = 5;
/** What one message of the agent's protocol holds, with room for names. */
const maxBytes = 3 << 20;
const maxFiles = 10_000;

/** A directory of kubelet's, as the agent takes it. */
export type KubeletFiles = Omit<proto.ISyncCopyRequest, 'name'>;

/**
 * Reads a directory that kubelet's atomic writer keeps, in one consistent version.
 * @returns undefined when it is larger than one message
 */
export async function readKubeletFiles(dir: string): Promise<KubeletFiles | undefined> {
  for (let tries = maxTries; ; tries--) {
    const version = await readlink(join(dir, '..data'));
    try {
      const files = await read(dir, version);
      if ((await readlink(join(dir, '..data'))) === version || tries === 0) return files;
    } catch (e) {
      if (tries === 0 || (await readlink(join(dir, '..data'))) === version) throw e;
    }
  }
}

async function read(dir: string, version: string): Promise<KubeletFiles | undefined> {
  const links: Record<string, string> = {};
  for (const name of await readdir(dir)) {
    if (!name.startsWith('..')) links[name] = await readlink(join(dir, name));
  }
  const files: proto.ICopiedFile[] = [];
  let bytes = 0;
  const take = async (path: string): Promise<boolean> => {
    const full = join(dir, version, path);
    const stats = await lstat(full);
    bytes += stats.isFile() ? stats.size : 0;
    if (bytes > maxBytes || files.length >= maxFiles) return false;
    const data = stats.isFile()
      ? await readFile(full)
      : stats.isSymbolicLink()
        ? Buffer.from(await readlink(full))
        : undefined;
    files.push({ path, ...attributes(stats), data });
    if (!stats.isDirectory()) return true;
    for (const name of await readdir(full)) {
      if (!(await take(path === '' ? name : `${path}/${name}`))) return false;
    }
    return true;
  };
  if (!(await take(''))) return undefined;
  return { version, root: { path: '', ...attributes(await lstat(dir)) }, files, links };
}

const attributes = ({ mode, uid, gid }: Stats) => ({ mode, uid, gid });

import { readFileSync } from 'node:fs';
import { lstat, readdir, readlink, stat, statfs } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { unescapeMount } from './journal.ts';

/** What a bind mount's source is to a pod, beyond a path of the host. */
export type SourceKind =
  | { readonly kind: 'path' }
  /** Files that kubelet writes and changes: ConfigMap, Secret, projected, downward API. */
  | { readonly kind: 'config' }
  | {
      /** An empty directory on the host's disk, for the pod alone. */
      readonly kind: 'scratch';
      readonly dir: string;
      readonly subPath: string;
    }
  | {
      /** Memory that kubelet has set aside for the pod. */
      readonly kind: 'memory';
      readonly name: string;
      /** Below the volume; empty: all of it. */
      readonly subPath: string;
      readonly sizeBytes: bigint;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

/** Where kubelet keeps a pod's volumes, below its root directory (kubernetes, pkg/kubelet/config). */
const volumePath =
  /(?:^|\/)pods\/[^/]+\/volumes\/kubernetes\.io~([a-z-]+)\/([^/]+)(?:\/([^/].*))?$/;
/** A part of a volume: below the pod's directory, by the volume's name. */
const subPathMount = /^(.*\/pods\/[^/]+)\/volume-subpaths\/([^/]+)\/[^/]+\/[^/]+$/;
const writtenByKubelet = new Set(['configmap', 'secret', 'projected', 'downward-api']);

/** As CRI sizes it where it makes one. The host's own may be as large as the host. */
const shmBytes = 64n << 20n;

/** linux/magic.h */
const TMPFS_MAGIC = 0x01021994;

interface Mount {
  readonly device: string;
  /** Path of the mounted directory inside its file system. */
  readonly root: string;
  readonly target: string;
}

/**
 * Looks at a source on the host.
 * @param destination in the container: /dev/shm is the pod's shared memory, wherever CRI keeps it
 */
export async function sourceKind(source: string, destination: string): Promise<SourceKind> {
  if (destination === '/dev/shm' && (await isTmpfs(source))) return memory(source, 'shm', '');
  const [, plugin = '', name = '', below = ''] = volumePath.exec(source) ?? [];
  if (writtenByKubelet.has(plugin) && below === '' && (await isAtomic(source))) {
    return { kind: 'config' };
  }
  if (plugin === 'empty-dir') {
    const dir = below === '' ? source : source.slice(0, -below.length - 1);
    // one on disk may lie on a tmpfs as well: on a node whose kubelet keeps its files in memory
    const isMemory = (await isTmpfs(dir)) && readMounts().some(({ target }) => target === dir);
    return isMemory ? memory(dir, name, below) : scratch(dir, below);
  }
  const [, pod, volume = ''] = subPathMount.exec(source) ?? [];
  if (pod === undefined) return { kind: 'path' };
  // kubelet mounts a subPath elsewhere: what is mounted there tells whose part it is
  const mounts = readMounts();
  const part = mounts.findLast((mount) => mount.target === source);
  if (!part) return { kind: 'path' };
  const dir = `${pod}/volumes/kubernetes.io~empty-dir/${volume}`;
  const isMemory = mounts.some(({ device, target }) => device === part.device && target === dir);
  if (isMemory) return memory(dir, volume, part.root.slice(1));
  const [, partPlugin, partName, partPath = ''] = volumePath.exec(part.root) ?? [];
  const isPart = partPlugin === 'empty-dir' && partName === volume;
  return isPart ? scratch(dir, partPath) : { kind: 'path' };
}

/**
 * Where a part of a volume that kubelet has mounted elsewhere, as it does for a subPath, lies in the
 * volume: a path for each place where its file system is mounted. None for any other path.
 */
export function pathsOfPart(source: string): string[] {
  const [, pod] = subPathMount.exec(source) ?? [];
  if (pod === undefined) return [];
  const mounts = readMounts();
  const part = mounts.findLast((mount) => mount.target === source);
  if (!part) return [];
  return mounts.flatMap(({ device, root, target }) => {
    const below = relative(root, part.root);
    if (device !== part.device || below.startsWith('..')) return [];
    const path = join(target, below);
    return path.startsWith(`${pod}/volumes/`) ? [path] : [];
  });
}

/** What the guest keeps an emptyDir in; kubelet counts it as the pod's, and removes it with the pod. */
export const scratchFile = '.runv.ext4';

/** A directory that somebody has written to on the host is shared as it is. */
async function scratch(dir: string, subPath: string): Promise<SourceKind> {
  return (await holdsFiles(dir)) ? { kind: 'path' } : { kind: 'scratch', dir, subPath };
}

/** Kubelet makes the directories of subPaths; files are somebody's. */
async function holdsFiles(dir: string): Promise<boolean> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isDirectory() ? await holdsFiles(join(dir, entry.name)) : entry.name !== scratchFile)
      return true;
  }
  return false;
}

async function memory(volume: string, name: string, subPath: string): Promise<SourceKind> {
  const { bsize, blocks } = await statfs(volume, { bigint: true });
  const { mode, uid, gid } = await stat(volume);
  const sizeBytes = volume === '/dev/shm' ? shmBytes : bsize * blocks;
  return { kind: 'memory', name, subPath, sizeBytes, mode: mode & 0o7777, uid, gid };
}

async function isTmpfs(path: string): Promise<boolean> {
  return (await statfs(path)).type === TMPFS_MAGIC;
}

/** Whether a directory is as kubelet's atomic writer leaves it. */
async function isAtomic(dir: string): Promise<boolean> {
  try {
    return (await lstat(dir)).isDirectory() && (await readlink(join(dir, '..data'))) !== '';
  } catch {
    return false;
  }
}

/** proc_pid_mountinfo(5) */
function readMounts(): Mount[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, , device = '', root = '', target = ''] = line.split(' ');
      return { device, root: unescapeMount(root), target: unescapeMount(target) };
    });
}

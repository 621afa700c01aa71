import { readFileSync } from 'node:fs';
import { lstat, readlink, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { unescapeMount } from './journal.ts';

/** What a bind mount's source is to a pod, beyond a path of the host. */
export type SourceKind =
  | { readonly kind: 'path' }
  /** Files that kubelet writes and changes: ConfigMap, Secret, projected, downward API. */
  | { readonly kind: 'config' }
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
    return (await isTmpfs(source)) ? memory(source, name, below) : { kind: 'path' };
  }
  // kubelet mounts a subPath elsewhere: the file system tells whose part it is
  if (!source.includes('/volume-subpaths/') || !(await isTmpfs(source))) return { kind: 'path' };
  const mounts = readMounts();
  const part = mounts.findLast((mount) => mount.target === source);
  const whole = mounts.find(
    (mount) =>
      mount.device === part?.device &&
      mount.root === '/' &&
      volumePath.exec(mount.target)?.[1] === 'empty-dir',
  );
  if (!part || !whole) return { kind: 'path' };
  return memory(whole.target, volumePath.exec(whole.target)?.[2] ?? '', part.root.slice(1));
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

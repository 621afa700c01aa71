import { readlinkSync } from 'node:fs';
import type { PrivateContainerd } from './containerd.ts';
import { processesOf, type ProcessInfo } from './proc.ts';

/**
 * Every process of a container's shim: while it starts there may be one that starts and one that
 * stays, and runv has one that cleans up after the other. containerd starts a shim in the bundle's
 * directory, and none of them leaves it.
 */
export function shimProcesses(containerd: PrivateContainerd, id: string): ProcessInfo[] {
  const bundle = containerd.bundleDir(id);
  return processesOf(containerd.dir, containerd.ctr.namespace).filter((p) => {
    try {
      return readlinkSync(`/proc/${p.pid}/cwd`) === bundle;
    } catch {
      return false; // ended meanwhile
    }
  });
}

/** The process that serves containerd: the one to kill when "the shim" dies. */
export function shimPid(containerd: PrivateContainerd, id: string): number {
  const serving = shimProcesses(containerd, id).filter(
    (p) => p.argv[0] !== 'sh' && (p.argv.includes('serve') || p.name.startsWith('containerd-shim')),
  );
  const [shim, ...others] = serving;
  if (!shim) throw new Error(`no shim of ${id} is running`);
  if (others.length > 0) throw new Error(`${others.length + 1} shims of ${id} are running`);
  return shim.pid;
}

/** The QEMU that is a container's machine. */
export function qemuPid(containerd: PrivateContainerd, id: string): number {
  const qemu = processesOf(containerd.dir, containerd.ctr.namespace).find(
    (p) => p.name.startsWith('qemu-system') && p.argv.includes(`runv-${id}`),
  );
  if (!qemu) throw new Error(`no QEMU of ${id} is running`);
  return qemu.pid;
}

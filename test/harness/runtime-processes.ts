import type { PrivateContainerd } from './containerd.ts';
import { processesOf } from './proc.ts';

/**
 * Every process of the shim of a container, by its arguments `-namespace NS … -id ID`: while it
 * starts there may be one that starts and one that stays.
 */
export function shimPids(containerd: PrivateContainerd, id: string): number[] {
  return processesOf(containerd.dir, containerd.ctr.namespace)
    .filter((p) => {
      const at = p.argv.indexOf('-id');
      return at > 0 && p.argv[at + 1] === id && p.argv.some((word) => word.includes('shim'));
    })
    .map((p) => p.pid);
}

/** The shim that serves a container. */
export function shimPid(containerd: PrivateContainerd, id: string): number {
  const [pid, ...others] = shimPids(containerd, id);
  if (pid === undefined) throw new Error(`no shim of ${id} is running`);
  if (others.length > 0) throw new Error(`several shims of ${id}: ${pid}, ${others.join(', ')}`);
  return pid;
}

/** The QEMU that is a container's machine: its arguments name the sandbox's directory. */
export function qemuPid(containerd: PrivateContainerd, id: string): number {
  const names = new RegExp(`/${id}(/|,|$)`);
  const qemu = processesOf(containerd.dir, containerd.ctr.namespace).find(
    (p) => p.name.startsWith('qemu-system') && p.argv.some((word) => names.test(word)),
  );
  if (!qemu) throw new Error(`no QEMU of ${id} is running`);
  return qemu.pid;
}

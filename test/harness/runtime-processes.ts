import type { PrivateContainerd } from './containerd.ts';
import { processesOf, type ProcessInfo } from './proc.ts';

/** The shim that serves a container: by its arguments, `-namespace NS … -id ID`. */
export function shimPid(containerd: PrivateContainerd, id: string): number {
  const shim = find(containerd, (p) => {
    const at = p.argv.indexOf('-id');
    return at > 0 && p.argv[at + 1] === id && p.argv.some((word) => word.includes('shim'));
  });
  if (!shim) throw new Error(`no shim of ${id} is running`);
  return shim.pid;
}

/** The QEMU that is a container's machine: its arguments name the sandbox's directory. */
export function qemuPid(containerd: PrivateContainerd, id: string): number {
  const qemu = find(
    containerd,
    (p) =>
      p.name.startsWith('qemu-system') &&
      p.argv.some((word) => new RegExp(`/${id}(/|,|$)`).test(word)),
  );
  if (!qemu) throw new Error(`no QEMU of ${id} is running`);
  return qemu.pid;
}

function find(
  containerd: PrivateContainerd,
  match: (p: ProcessInfo) => boolean,
): ProcessInfo | undefined {
  return processesOf(containerd.dir, containerd.ctr.namespace).find(match);
}

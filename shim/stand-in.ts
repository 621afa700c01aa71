import { Code, RunvError } from '../proto/error.ts';
import type { Undo } from '../proto/undo.ts';
import { Child } from './child.ts';
import type { Container } from './container.ts';
import type { OciSpec } from './oci.ts';

/**
 * Starts a process of the host that stands for one container of a pod: containerd and CRI name the
 * container by its pid, and whoever debugs it names its pid namespace so. QEMU's own pid stands
 * for the pod. It sleeps, and ends with the container or the shim.
 * @returns its pid
 */
export async function standFor(container: Container, undo: Undo): Promise<number> {
  // its environment has the sandbox's marker: the journal's cleaner finds it
  const args = ['--pdeathsig=KILL', '--', 'sleep', 'infinity'];
  const child = await Child.start('setpriv', args, { stdio: 'ignore', env: process.env });
  const stop = () => child.stop(0);
  undo.add('end the process that stands for the container', stop);
  void container.init.exited.then(stop);
  return child.pid;
}

/**
 * Whose pid namespace a container of a pod joins by its path: empty for the pod's.
 * @param podPid stands for the pod
 * @throws RunvError FailedPrecondition when it is neither the pod's nor a running container's
 */
export function pidsJoined(
  spec: OciSpec,
  podPid: number,
  containers: Iterable<Pick<Container, 'id' | 'init'>>,
): string {
  const path = spec.linux?.namespaces?.find(({ type }) => type === 'pid')?.path ?? '';
  const pid = Number(/^\/proc\/(\d+)\/ns\/pid$/.exec(path)?.[1] ?? podPid);
  if (pid === podPid) return '';
  for (const { id, init } of containers) {
    if (init.pid === pid && init.state.kind !== 'stopped') return id;
  }
  throw new RunvError(
    Code.FailedPrecondition,
    `pid namespace ${path}: no running container of this pod has it`,
  );
}

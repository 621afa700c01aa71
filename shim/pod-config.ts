import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cri } from '../proto/messages.ts';
import type { OciMount, OciSpec } from './oci.ts';

/** Below it: bind mounts for the pod's containers, by the name of the destination. */
const etc = ['hostname', 'hosts', 'resolv.conf'] as const;

const hosts = '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n';

/**
 * A pod's configuration as the specification that CRI would write for the container that stands
 * for the pod: one way to read a pod, whichever way it comes.
 */
export function specOfPod(id: string, config: cri.PodSandboxConfig, netnsPath: string): OciSpec {
  const { cgroupParent = '', resources, sysctls, securityContext } = config.linux ?? {};
  const network = securityContext?.namespaceOptions?.network;
  return {
    process: {},
    root: {},
    hostname: config.hostname,
    annotations: {
      ...config.annotations,
      'io.kubernetes.cri.container-type': 'sandbox',
      'io.kubernetes.cri.sandbox-cpu-period': String(resources?.cpuPeriod ?? 0),
      'io.kubernetes.cri.sandbox-cpu-quota': String(resources?.cpuQuota ?? 0),
      'io.kubernetes.cri.sandbox-cpu-shares': String(resources?.cpuShares ?? 0),
      'io.kubernetes.cri.sandbox-memory': String(resources?.memoryLimitInBytes ?? 0),
    },
    linux: {
      namespaces: network === cri.NamespaceMode.NODE ? [] : [{ type: 'network', path: netnsPath }],
      ...(sysctls && { sysctl: sysctls }),
      ...(cgroupParent !== '' && { cgroupsPath: cgroupsPath(cgroupParent, id) }),
    },
  };
}

/** As CRI does it: below a slice the sandbox's cgroup is a unit of systemd's. */
function cgroupsPath(parent: string, id: string): string {
  const slice = basename(parent);
  return slice.endsWith('.slice') ? `${slice}:cri-containerd:${id}` : join(parent, id);
}

/**
 * Writes what CRI itself provides to pods whose sandbox it runs.
 * @returns the mounts that each container gets, unless its specification has them
 */
export function writePodFiles(config: cri.PodSandboxConfig, dir: string): OciMount[] {
  const { servers = [], searches = [], options = [] } = config.dnsConfig ?? {};
  const lines = [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ];
  const texts = {
    hostname: `${config.hostname}\n`,
    hosts,
    'resolv.conf': lines.map((line) => `${line}\n`).join(''),
  };
  mkdirSync(dir, { recursive: true });
  const bindOptions = ['rbind', 'rprivate', 'rw'];
  const files = etc.map((name): OciMount => {
    const source = join(dir, name);
    writeFileSync(source, texts[name], { mode: 0o644 });
    return { destination: `/etc/${name}`, type: 'bind', source, options: bindOptions };
  });
  const shm = { destination: '/dev/shm', type: 'bind', source: '/dev/shm', options: bindOptions };
  return [...files, shm];
}

/** A container's specification with its pod's mounts; its own for the same places win. */
export function withPodMounts(spec: OciSpec, podMounts: readonly OciMount[]): OciSpec {
  // a private /dev/shm is containerd's default, not the container's wish
  const own = (spec.mounts ?? []).filter(
    ({ destination, type }) =>
      type !== 'tmpfs' || !podMounts.some((mount) => mount.destination === destination),
  );
  const missing = podMounts.filter(
    ({ destination }) => !own.some((mount) => mount.destination === destination),
  );
  return { ...spec, mounts: [...own, ...missing] };
}

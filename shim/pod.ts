import { Code, RunvError } from '../proto/error.ts';
import type { OciMount, OciSpec } from './oci.ts';
import { identifier } from './shim-args.ts';

/** Annotations of containerd's CRI plugin (containerd, pkg/cri/annotations). */
const containerType = 'io.kubernetes.cri.container-type';
const sandboxId = 'io.kubernetes.cri.sandbox-id';

/** What a container is to a pod: none's, the one that stands for the pod, or one in it. */
export type PodRole =
  | { readonly kind: 'alone' }
  | { readonly kind: 'sandbox' }
  | { readonly kind: 'member'; readonly sandbox: string };

/** @throws RunvError InvalidArgument for a member that names no sandbox */
export function podRole(spec: OciSpec): PodRole {
  const type = spec.annotations?.[containerType];
  if (type === 'sandbox') return { kind: 'sandbox' };
  if (type !== 'container') return { kind: 'alone' };
  const sandbox = spec.annotations?.[sandboxId] ?? '';
  if (identifier.test(sandbox)) return { kind: 'member', sandbox };
  const named = JSON.stringify(sandbox);
  throw new RunvError(Code.InvalidArgument, `annotation ${sandboxId}: ${named} is no sandbox`);
}

/** What the pod asks of its guest before any container is there. */
export interface PodSettings {
  /** Empty: the sandbox's id. */
  readonly hostname: string;
  /** Kernel parameters by name, such as `net.core.somaxconn`. */
  readonly sysctls: Readonly<Record<string, string>>;
  /**
   * Of a pod without a container that stands for it (containerd's sandbox API): what each of its
   * containers has mounted. Such a pod lives on without containers.
   */
  readonly mounts?: readonly OciMount[];
}

/**
 * The settings of a pod by its sandbox's specification. A container alone has its own, but for the
 * parameters of its network, which is the guest's.
 */
export function podSettings(spec: OciSpec): PodSettings {
  const sysctls = spec.linux?.sysctl ?? {};
  if (podRole(spec).kind === 'sandbox') return { hostname: spec.hostname ?? '', sysctls };
  const ofNetwork = Object.entries(sysctls).filter(([name]) => name.startsWith('net.'));
  return { hostname: '', sysctls: Object.fromEntries(ofNetwork) };
}

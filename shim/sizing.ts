import { Code, RunvError } from '../proto/error.ts';
import { type Config, leastMemoryMiB } from './config.ts';
import type { HostLimits } from './host-cgroup.ts';
import type { VmSpec } from './hypervisor/hypervisor.ts';
import type { OciSpec } from './oci.ts';
import { podRole } from './pod.ts';

/** Annotations that override what limits and configuration say. */
const memoryAnnotation = 'io.runv.memory_mib';
const vcpusAnnotation = 'io.runv.vcpus';
/** Of interfaces that come after the pod's start: the VM has its devices from power-on. */
const interfacesAnnotation = 'io.runv.interfaces';
const mostInterfaces = 8;

const mib = 1024 * 1024;

/** Kubernetes' shares of one processor, and the least that it writes: nothing was asked for. */
const sharesPerCpu = 1024;
const leastShares = 2;

/** What a sandbox may use; 0: no limit, nothing asked for. */
interface Demand {
  /** Bytes. */
  readonly memory: number;
  /** Processors that the quota comes to. */
  readonly cpuLimit: number;
  /** Processors that were requested. */
  readonly cpuRequest: number;
}

/**
 * How large a VM the sandbox of `spec` gets.
 * @throws RunvError InvalidArgument for an annotation that is no number or out of range
 */
export function sizeVm(spec: OciSpec, config: Config): VmSpec {
  const demand = podRole(spec).kind === 'sandbox' ? podDemand(spec) : containerDemand(spec);
  const { memory: limit, cpuLimit, cpuRequest } = demand;
  const memoryMiB =
    annotation(spec, memoryAnnotation, leastMemoryMiB, config.maxMemoryMiB) ??
    (limit > 0
      ? Math.min(config.baseMemoryMiB + Math.ceil(limit / mib), config.maxMemoryMiB)
      : config.defaultMemoryMiB);
  const wanted =
    cpuLimit > 0 ? Math.ceil(cpuLimit) : Math.max(config.defaultVcpus, Math.ceil(cpuRequest));
  const vcpus =
    annotation(spec, vcpusAnnotation, 1, config.maxVcpus) ?? Math.min(wanted, config.maxVcpus);
  return { memoryMiB, vcpus };
}

/**
 * How many interfaces the pod may come to have; undefined: those that it starts with.
 * @throws RunvError InvalidArgument for an annotation that is no number or out of range
 */
export function interfacesAsked(spec: OciSpec): number | undefined {
  return annotation(spec, interfacesAnnotation, 1, mostInterfaces);
}

/**
 * What a sandbox's processes on the host take beside the guest's memory: shim, VMM and page cache,
 * and on software emulation the code that QEMU has translated (1 GiB at most).
 */
const overheadMiB = { kvm: 512, tcg: 1536 } as const;

/**
 * What the host enforces on a sandbox. Its containers' limits are the guest's to enforce; this
 * bounds a VMM that leaks or that the guest has taken over.
 */
export function hostLimits(spec: OciSpec, size: VmSpec, accelerator: 'kvm' | 'tcg'): HostLimits {
  return {
    memoryBytes: (size.memoryMiB + overheadMiB[accelerator]) * mib,
    cpuShares: spec.linux?.resources?.cpu?.shares,
  };
}

function containerDemand(spec: OciSpec): Demand {
  const { memory, cpu } = spec.linux?.resources ?? {};
  const { quota = 0, period = 100_000 } = cpu ?? {};
  const cpuLimit = quota > 0 && period > 0 ? quota / period : 0;
  return { memory: Math.max(0, memory?.limit ?? 0), cpuLimit, cpuRequest: 0 };
}

/** The sums over a pod's containers, which CRI tells by annotations of its sandbox. */
function podDemand(spec: OciSpec): Demand {
  const shares = podNumber(spec, 'cpu-shares');
  const quota = podNumber(spec, 'cpu-quota');
  const period = podNumber(spec, 'cpu-period') || 100_000;
  return {
    memory: podNumber(spec, 'memory'),
    cpuLimit: quota > 0 && period > 0 ? quota / period : 0,
    cpuRequest: shares > leastShares ? shares / sharesPerCpu : 0,
  };
}

/** containerd, pkg/cri/annotations: absent, 0 or negative where nothing is limited. */
function podNumber(spec: OciSpec, name: string): number {
  const key = `io.kubernetes.cri.sandbox-${name}`;
  const text = spec.annotations?.[key] ?? '0';
  if (/^-?\d{1,18}$/.test(text)) return Math.max(0, Number(text));
  throw new RunvError(
    Code.InvalidArgument,
    `annotation ${key} must be a whole number, not ${JSON.stringify(text)}`,
  );
}

function annotation(spec: OciSpec, name: string, least: number, most: number): number | undefined {
  const text = spec.annotations?.[name];
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new RunvError(
    Code.InvalidArgument,
    `annotation ${name} must be a whole number from ${least} to ${most}, not ${JSON.stringify(text)}`,
  );
}

import { Code, RunvError } from '../proto/error.ts';
import { type Config, leastMemoryMiB } from './config.ts';
import type { HostLimits } from './host-cgroup.ts';
import type { VmSpec } from './hypervisor/hypervisor.ts';
import type { OciSpec } from './oci.ts';

/** Annotations that override what limits and configuration say. */
const memoryAnnotation = 'io.runv.memory_mib';
const vcpusAnnotation = 'io.runv.vcpus';

const mib = 1024 * 1024;

/**
 * How large a VM the sandbox of `spec` gets.
 * @throws RunvError InvalidArgument for an annotation that is no number or out of range
 */
export function sizeVm(spec: OciSpec, config: Config): VmSpec {
  const limit = spec.linux?.resources?.memory?.limit ?? 0;
  const memoryMiB =
    annotation(spec, memoryAnnotation, leastMemoryMiB, config.maxMemoryMiB) ??
    (limit > 0
      ? Math.min(config.baseMemoryMiB + Math.ceil(limit / mib), config.maxMemoryMiB)
      : config.defaultMemoryMiB);
  const { quota = 0, period = 100_000 } = spec.linux?.resources?.cpu ?? {};
  const vcpus =
    annotation(spec, vcpusAnnotation, 1, config.maxVcpus) ??
    (quota > 0 && period > 0
      ? Math.min(Math.max(1, Math.ceil(quota / period)), config.maxVcpus)
      : Math.min(config.defaultVcpus, config.maxVcpus));
  return { memoryMiB, vcpus };
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

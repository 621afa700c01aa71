import { Code, RunvError } from '../proto/error.ts';
import type { OciDevice, OciDeviceRule, OciMount, OciSpec } from './oci.ts';
import { podRole } from './pod.ts';

/** File systems that a mount entry may put on a block device or image file of the host. */
export const diskFileSystems: ReadonlySet<string> = new Set([
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'erofs',
]);

/** Options that belong to the mount point, not to the file system on the disk. */
const bindOptions = new Set(['bind', 'rbind', 'ro', 'rw', 'loop']);
const propagation = /^r?(private|shared|slave|unbindable)$/;

/** A mount entry whose source is on the host, by its index in `spec.mounts`. */
export type VolumePlan =
  | {
      readonly kind: 'share';
      readonly index: number;
      readonly source: string;
      readonly readOnly: boolean;
      /** What is mounted below it on the host later is not to be seen. */
      readonly isPrivate: boolean;
    }
  | {
      readonly kind: 'disk';
      readonly index: number;
      readonly source: string;
      readonly readOnly: boolean;
      readonly fsType: string;
      readonly options: readonly string[];
    };

/** A block device that was asked for, by its index in `spec.linux.devices`. */
export interface BlockDevicePlan {
  readonly index: number;
  readonly device: OciDevice;
  /** No rule lets the container write to it. */
  readonly readOnly: boolean;
}

/** What one container needs of the host beside its root file system. */
export interface ContainerPlan {
  /** The specification as the agent gets it; indexes below refer to it. */
  readonly spec: OciSpec;
  readonly volumes: readonly VolumePlan[];
  readonly blockDevices: readonly BlockDevicePlan[];
  /** Block devices that the specification lists and that stay on the host. */
  readonly hostDevices: readonly OciDevice[];
}

/**
 * Sorts a specification's entries by who serves them: the guest itself, the 9p export or a disk.
 * @throws RunvError InvalidArgument when it asks for what a VM cannot give
 */
export function planContainer(spec: OciSpec): ContainerPlan {
  if (!spec.linux?.namespaces?.some((n) => n.type === 'network')) {
    throw new RunvError(
      Code.InvalidArgument,
      "host network asked for: runv's containers run in a virtual machine and cannot join it",
    );
  }
  const devices = (spec.linux.devices ?? []).filter((d) => asked(spec, d));
  const mounts = (spec.mounts ?? []).map(asBind);
  const namespaces = podRole(spec).kind === 'member' ? spec.linux.namespaces : ownPids(spec);
  const guestSpec: OciSpec = { ...spec, mounts, linux: { ...spec.linux, devices, namespaces } };
  return {
    spec: guestSpec,
    hostDevices: (spec.linux.devices ?? []).filter((d) => d.type === 'b' && !asked(spec, d)),
    volumes: (spec.mounts ?? []).flatMap((mount, index) => volume(mount, index)),
    blockDevices: devices.flatMap((device, index) =>
      device.type === 'b' ? [{ index, device, readOnly: !writable(spec, device) }] : [],
    ),
  };
}

/** A pid namespace of the host's can be joined by nobody in a guest: outside a pod it is a new one. */
function ownPids(spec: OciSpec): { type: string; path?: string }[] {
  return (spec.linux?.namespaces ?? []).map((n) => (n.type === 'pid' ? { type: 'pid' } : n));
}

/**
 * Whether a device was asked for by itself. A privileged container's specification lists every
 * device of the host behind one rule that allows all: those stay on the host.
 */
function asked(spec: OciSpec, device: OciDevice): boolean {
  return rulesFor(spec, device).length > 0;
}

function writable(spec: OciSpec, device: OciDevice): boolean {
  return rulesFor(spec, device).some(({ access }) => access?.includes('w') ?? true);
}

/** The rules that allow this device by its numbers. */
function rulesFor(spec: OciSpec, device: OciDevice): OciDeviceRule[] {
  return (spec.linux?.resources?.devices ?? []).filter(
    ({ allow, type, major, minor }) =>
      allow && type === device.type && major === device.major && minor === device.minor,
  );
}

function volume(mount: OciMount, index: number): VolumePlan[] {
  const options = mount.options ?? [];
  const readOnly = options.includes('ro');
  const { source, type } = mount;
  if (type === 'bind' || options.includes('bind') || options.includes('rbind')) {
    if (!source?.startsWith('/')) {
      throw new RunvError(
        Code.InvalidArgument,
        `mount ${mount.destination}: the source of a bind mount must be an absolute path`,
      );
    }
    const isPrivate = options.findLast((o) => propagation.test(o))?.endsWith('private') ?? false;
    return [{ kind: 'share', index, source, readOnly, isPrivate }];
  }
  if (type !== undefined && diskFileSystems.has(type)) {
    if (!source?.startsWith('/')) {
      throw new RunvError(
        Code.InvalidArgument,
        `mount ${mount.destination}: a file system of type ${type} needs the path of its device`,
      );
    }
    const { ofFileSystem } = splitMountOptions(options);
    return [{ kind: 'disk', index, source, readOnly, fsType: type, options: ofFileSystem }];
  }
  return [];
}

/** Tells what the file system on a disk is mounted with from what belongs to its mount point. */
export function splitMountOptions(options: readonly string[]): {
  readonly readOnly: boolean;
  readonly ofFileSystem: readonly string[];
} {
  const ofFileSystem = options.filter((o) => !bindOptions.has(o) && !propagation.test(o));
  return { readOnly: options.includes('ro'), ofFileSystem };
}

/** What runc in the guest sees of an entry that a disk serves: a bind mount. */
function asBind(mount: OciMount): OciMount {
  if (mount.type === undefined || !diskFileSystems.has(mount.type)) return mount;
  const options = (mount.options ?? []).filter((o) => bindOptions.has(o) && o !== 'loop');
  const kept = (mount.options ?? []).filter((o) => propagation.test(o));
  return { ...mount, type: 'bind', options: ['rbind', ...options, ...kept] };
}

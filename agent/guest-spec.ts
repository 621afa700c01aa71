import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';

/** JSON whose parts are looked at one by one. */
type Json = Record<string, unknown>;

/** Numbers of a device node. */
export interface DeviceNumbers {
  readonly major: number;
  readonly minor: number;
}

/** What the guest decides about a container. */
export interface GuestPlace {
  readonly rootPath: string;
  readonly cgroupsPath: string;
  /** Whether the process gets a terminal; overrides the specification. */
  readonly terminal: boolean;
  /** New source of `spec.mounts[index]`. */
  readonly volumeSources: ReadonlyMap<number, string>;
  /** The guest's numbers of `spec.linux.devices[index]`. */
  readonly deviceNumbers: ReadonlyMap<number, DeviceNumbers>;
  /** Whether the guest has a character device of these numbers. */
  readonly hasCharDevice: (numbers: DeviceNumbers) => boolean;
  /** Path of the pid namespace that an entry with a path means; undefined: there is none. */
  readonly sharedPids: string | undefined;
  /** Where sysfs is mounted: it tells what the guest's machine has. */
  readonly sysfs: string;
}

/** What belongs to the host or is the host's business: its hooks, labels, and cache partitions. */
const hostOnlyLinux = ['intelRdt', 'mountLabel'];
const hostOnlyProcess = ['apparmorProfile', 'selinuxLabel'];

/**
 * Rewrites an OCI runtime specification made for the host into one for the guest.
 * @throws RunvError InvalidArgument when it is not one, FailedPrecondition for a character device
 *   that the guest does not have
 */
export function guestSpec(bytes: Uint8Array, place: GuestPlace): Json {
  const spec = parseObject(bytes, 'specification');
  delete spec['hooks'];
  spec['root'] = { ...object(spec['root']), path: place.rootPath };
  const process = without(object(spec['process']), hostOnlyProcess);
  spec['process'] = { ...process, terminal: place.terminal };
  const mounts = list(spec['mounts']);
  for (const [index, source] of place.volumeSources) {
    const mount = mounts[index];
    if (!mount) throw new RunvError(Code.InvalidArgument, `there is no mount ${index}`);
    mount['source'] = source;
    mount['type'] = 'bind';
    const options = Array.isArray(mount['options']) ? (mount['options'] as unknown[]) : [];
    const binds = options.includes('bind') || options.includes('rbind');
    mount['options'] = binds ? options : ['rbind', ...options];
  }
  spec['mounts'] = mounts;
  const linux = without(object(spec['linux']), hostOnlyLinux);
  linux['cgroupsPath'] = place.cgroupsPath;
  // runc sets none without a network namespace of the container's own: Configure has.
  if (linux['sysctl'] !== undefined) linux['sysctl'] = withoutNetwork(object(linux['sysctl']));
  const namespaces = list(linux['namespaces']).flatMap((n) => guestNamespace(n, place.sharedPids));
  if (!namespaces.some(({ type }) => type === 'uts')) delete spec['hostname'];
  // What cgroup v1 hosts do without it, and v2 hosts with it: a container sees its own cgroup only.
  if (!namespaces.some(({ type }) => type === 'cgroup')) namespaces.push({ type: 'cgroup' });
  linux['namespaces'] = namespaces;
  const resources = resourcesOf(object(linux['resources']), place.sysfs);
  const devices = list(linux['devices']);
  const rules = list(resources['devices']);
  for (const [index, device] of devices.entries()) {
    renumber(device, place.deviceNumbers.get(index), rules, place.hasCharDevice);
  }
  spec['linux'] = { ...linux, devices, resources: { ...resources, devices: rules } };
  return spec;
}

/**
 * Rewrites an OCI `process` object for an exec.
 * @throws RunvError InvalidArgument when it is not one
 */
export function guestProcess(bytes: Uint8Array): Json {
  return without(parseObject(bytes, 'process'), hostOnlyProcess);
}

/**
 * Rewrites an OCI `linux.resources` object for an update.
 * @throws RunvError InvalidArgument when it is not one
 */
export function guestResources(bytes: Uint8Array, sysfs: string): Json {
  return resourcesOf(parseObject(bytes, 'resources'), sysfs);
}

/** Whether a rewritten specification asks for a namespace of its own. */
export function hasOwnNamespace(spec: Json, type: string): boolean {
  const namespaces = list(object(spec['linux'])['namespaces']);
  return namespaces.some((n) => n['type'] === type && n['path'] === undefined);
}

/**
 * Whether a specification for the host names another's pid namespace.
 * @throws RunvError InvalidArgument when it is none
 */
export function sharesPids(bytes: Uint8Array): boolean {
  const { linux } = parseObject(bytes, 'specification');
  return list(object(linux)['namespaces']).some((n) => n['type'] === 'pid' && hasPath(n));
}

/** Of these the guest has one for its whole pod: its own. */
const podNamespaces: readonly unknown[] = ['network', 'ipc', 'uts'];

const hasPath = ({ path }: Json): boolean => typeof path === 'string' && path !== '';

/** A path names a namespace of the host's: the pod's, where the pod has one. The network is always the pod's. */
function guestNamespace(namespace: Json, sharedPids: string | undefined): Json[] {
  const { type } = namespace;
  if (type === 'network') return [];
  if (!hasPath(namespace)) return [{ type }];
  if (podNamespaces.includes(type)) return [];
  return type === 'pid' && sharedPids !== undefined ? [{ type, path: sharedPids }] : [{ type }];
}

function withoutNetwork(sysctls: Json): Json {
  return Object.fromEntries(Object.entries(sysctls).filter(([name]) => !name.startsWith('net.')));
}

/** Limits that name parts of the host's machine: what the guest does not have is left out. */
function resourcesOf(resources: Json, sysfs: string): Json {
  const { cpu, hugepageLimits, blockIO } = resources;
  const result = without(resources, ['hugepageLimits', 'blockIO', 'rdma', 'network']);
  // the shim gives the whole VM its processors and memory nodes
  if (cpu !== undefined) result['cpu'] = without(object(cpu), ['cpus', 'mems']);
  const sizes = hugepageSizes(sysfs);
  if (hugepageLimits !== undefined) {
    // containerd lists all of the host's page sizes
    result['hugepageLimits'] = list(hugepageLimits).filter((limit) => sizes.has(limit['pageSize']));
  }
  const { weight } = object(blockIO);
  if (typeof weight === 'number') result['blockIO'] = { weight };
  return result;
}

/** Huge page sizes of the guest, as a specification names them: `2MB`, `1GB`. */
function hugepageSizes(sysfs: string): ReadonlySet<unknown> {
  let names: string[];
  try {
    names = readdirSync(join(sysfs, 'kernel/mm/hugepages'));
  } catch {
    return new Set();
  }
  return new Set(names.map((name) => sizeName(Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]))));
}

function sizeName(kib: number): string {
  if (kib >= 1024 * 1024) return `${kib / (1024 * 1024)}GB`;
  return kib >= 1024 ? `${kib / 1024}MB` : `${kib}KB`;
}

/**
 * Parses bytes as a JSON object.
 * @param what names it in the error
 * @throws RunvError InvalidArgument
 */
export function parseObject(bytes: Uint8Array, what: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (e) {
    throw new RunvError(Code.InvalidArgument, `${what} is not JSON: ${(e as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RunvError(Code.InvalidArgument, `${what} is not a JSON object`);
  }
  return value as Json;
}

/** Gives a device, and the rules that name the same host device, the guest's numbers. */
function renumber(
  device: Json,
  numbers: DeviceNumbers | undefined,
  rules: readonly Json[],
  hasCharDevice: GuestPlace['hasCharDevice'],
): void {
  const { major, minor, type } = device as { major: number; minor: number; type: string };
  if (!numbers) {
    if (type === 'p' || (type !== 'b' && hasCharDevice({ major, minor }))) return;
    const kind = type === 'b' ? 'block' : 'character';
    throw new RunvError(
      Code.FailedPrecondition,
      `device ${String(device['path'])}: the guest has no ${kind} device ${major}:${minor}`,
    );
  }
  for (const rule of rules) {
    if (rule['type'] !== type || rule['major'] !== major || rule['minor'] !== minor) continue;
    Object.assign(rule, numbers);
  }
  Object.assign(device, numbers);
}

const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

const list = (value: unknown): Json[] => (Array.isArray(value) ? value.map(object) : []);

function without(value: Json, keys: readonly string[]): Json {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)));
}

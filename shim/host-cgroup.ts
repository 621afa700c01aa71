import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';

/** One cgroup of a sandbox's processes on the host: the only one with cgroup v2. */
export interface HostCgroup {
  readonly dir: string;
  /** Where its processes came from, and where those go that must outlive it. */
  readonly home: string;
}

/** What the host enforces on a sandbox as a whole; the guest enforces its containers' limits. */
export interface HostLimits {
  /** Bytes, of all processes together. */
  readonly memoryBytes: number;
  /** CPU shares as the OCI specification has them, 2 to 262144; undefined: the kernel's default. */
  readonly cpuShares: number | undefined;
}

const mountPoint = '/sys/fs/cgroup';
/** linux/magic.h */
const CGROUP2_SUPER_MAGIC = 0x63677270;
/** Controllers of version 1 whose limits a pod has and that take processes without further ado. */
const controllersV1 = ['memory', 'cpu', 'cpuacct', 'pids'] as const;
/** How long processes that were killed may take to leave. */
const leaveTimeoutMs = 2000;

/**
 * The cgroup that `linux.cgroupsPath` of a specification means, as a path below a hierarchy's root:
 * a path, or systemd's `slice:prefix:name`. Undefined where it is none or the root itself.
 * @throws RunvError InvalidArgument when it leads out of the hierarchy
 */
export function cgroupPath(cgroupsPath: string | undefined): string | undefined {
  if (cgroupsPath === undefined || cgroupsPath === '') return undefined;
  if (cgroupsPath.split('/').includes('..')) {
    throw new RunvError(
      Code.InvalidArgument,
      `cgroupsPath ${cgroupsPath} leads out of the cgroups`,
    );
  }
  const [slice = '', prefix, name, ...rest] = cgroupsPath.split(':');
  const isUnit = prefix !== undefined && name !== undefined && rest.length === 0;
  const path = isUnit
    ? join('/', expandSlice(slice === '' ? 'system.slice' : slice), unit(prefix, name))
    : normalize(join('/', cgroupsPath)).replace(/\/$/, '');
  return path === '' ? undefined : path;
}

/** systemd.slice(5): each dash is a level, `a-b.slice` lies in `a.slice`. */
function expandSlice(slice: string): string {
  if (slice === '-.slice') return '/';
  const parts = slice.replace(/\.slice$/, '').split('-');
  return join(...parts.map((_, n) => `${parts.slice(0, n + 1).join('-')}.slice`));
}

/** As runc names it: a scope, but for a name that is a slice. */
function unit(prefix: string, name: string): string {
  if (name.endsWith('.slice')) return name;
  return prefix === '' ? `${name}.scope` : `${prefix}-${name}.scope`;
}

/** Whether the host has cgroup v2 alone. */
function isUnified(): boolean {
  return statfsSync(mountPoint).type === CGROUP2_SUPER_MAGIC;
}

/** The roots of the hierarchies that count and limit; those of version 1 may share one. */
function hierarchies(): { root: string; controller: string }[] {
  if (isUnified()) return [{ root: mountPoint, controller: '' }];
  const found = new Map<string, string>();
  for (const controller of controllersV1) {
    const dir = join(mountPoint, controller);
    if (existsSync(dir) && !found.has(realpathSync(dir))) found.set(realpathSync(dir), controller);
  }
  return [...found].map(([root, controller]) => ({ root, controller }));
}

/** The cgroups at `path`, and this process's own in the same hierarchies. Makes nothing. */
export function hostCgroups(path: string): HostCgroup[] {
  const own = readFileSync('/proc/self/cgroup', 'utf8').split('\n');
  return hierarchies().map(({ root, controller }) => {
    // hierarchy:controllers:path; version 2 has neither number nor controllers
    const line = own.find((l) => (l.split(':')[1] ?? '').split(',').includes(controller));
    return { dir: join(root, path), home: join(root, line?.split(':').slice(2).join(':') ?? '/') };
  });
}

/**
 * Makes a sandbox's cgroups, limits them, and moves this process in; what it starts stays there.
 * @throws RunvError FailedPrecondition when the host lets none be made
 */
export function enter(cgroups: readonly HostCgroup[], limits: HostLimits): void {
  try {
    for (const { dir } of cgroups) {
      const unified = isUnified();
      if (unified) enableControllers(dirname(dir));
      mkdirSync(dir, { recursive: true });
      for (const [file, value] of limitFiles(limits, unified)) {
        if (existsSync(join(dir, file))) writeFileSync(join(dir, file), value);
      }
      writeFileSync(join(dir, 'cgroup.procs'), String(process.pid));
    }
  } catch (e) {
    throw new RunvError(
      Code.FailedPrecondition,
      `cannot use the sandbox's cgroup: ${(e as Error).message}`,
    );
  }
}

function limitFiles({ memoryBytes, cpuShares }: HostLimits, unified: boolean): [string, string][] {
  const memory = unified ? 'memory.max' : 'memory.limit_in_bytes';
  const files: [string, string][] = [[memory, String(memoryBytes)]];
  if (cpuShares !== undefined && cpuShares > 0) {
    files.push(
      unified ? ['cpu.weight', String(weightOf(cpuShares))] : ['cpu.shares', String(cpuShares)],
    );
  }
  return files;
}

/** As runc converts them: 2 to 262144 becomes 1 to 10000. */
export function weightOf(cpuShares: number): number {
  return 1 + Math.floor(((Math.min(Math.max(cpuShares, 2), 262_144) - 2) * 9999) / 262_142);
}

/** A controller is there for a cgroup when every one above passes it on. */
function enableControllers(dir: string): void {
  if (dir !== mountPoint) enableControllers(dirname(dir));
  mkdirSync(dir, { recursive: true });
  const passed = readFileSync(join(dir, 'cgroup.subtree_control'), 'utf8').trim().split(' ');
  for (const controller of ['memory', 'cpu', 'pids', 'io']) {
    if (passed.includes(controller)) continue;
    try {
      writeFileSync(join(dir, 'cgroup.subtree_control'), `+${controller}`);
    } catch {
      // not passed on from above, or the cgroup has processes: as with runc, go without
    }
  }
}

/**
 * Removes a cgroup once the processes that were killed have left; `keep` and this process move
 * home before. One that others use stays.
 */
export async function leave({ dir, home }: HostCgroup, keep: ReadonlySet<number>): Promise<void> {
  const deadline = performance.now() + leaveTimeoutMs;
  for (;;) {
    try {
      const inside = readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n');
      for (const pid of inside.filter((text) => text !== '').map(Number)) {
        if (keep.has(pid) || pid === process.pid) moveTo(home, pid);
      }
      rmdirSync(dir);
      return;
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT' || performance.now() > deadline) return;
    }
    await sleep(5);
  }
}

function moveTo(home: string, pid: number): void {
  try {
    writeFileSync(join(home, 'cgroup.procs'), String(pid));
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ESRCH') throw e;
  }
}

/** How many processes of the cgroups the kernel has killed for lack of memory. */
export function oomKills(cgroups: readonly HostCgroup[]): number {
  const counts = cgroups.flatMap(({ dir }) =>
    ['memory.events', 'memory.oom_control'].map((file) => {
      try {
        const text = readFileSync(join(dir, file), 'utf8');
        return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
      } catch {
        return 0; // no memory controller here
      }
    }),
  );
  return Math.max(0, ...counts);
}

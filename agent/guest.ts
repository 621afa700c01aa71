import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Code, RunvError } from '../proto/error.ts';
import { bringUp, mount, MS, RLIMIT, setLimit } from '../proto/sys.ts';
import type { GuestPaths } from './environment.ts';
import type { Log } from './log.ts';

export const guestPaths: GuestPaths = {
  containers: '/run/runv/containers',
  shared: '/run/runv/shared',
  temp: '/run/runv/tmp',
  runcState: '/run/runc',
  runcProgram: '/usr/sbin/runc',
  cgroups: '/sys/fs/cgroup',
  sysfs: '/sys',
};

const { NOSUID, NODEV, NOEXEC } = MS;
const noDevices = NOSUID | NODEV;
const dataOnly = NOSUID | NODEV | NOEXEC;

/** In this order; the kernel has mounted the root and /dev. Mount points in /dev are made. */
const mounts: readonly [fsType: string, target: string, flags: number, data: string][] = [
  ['proc', '/proc', dataOnly, ''],
  ['sysfs', '/sys', dataOnly, ''],
  // as systemd mounts it: limits of a cgroup protect what is below it
  ['cgroup2', '/sys/fs/cgroup', dataOnly, 'nsdelegate,memory_recursiveprot'],
  ['devpts', '/dev/pts', NOSUID | NOEXEC, 'newinstance,ptmxmode=0666,mode=0620,gid=5'],
  ['tmpfs', '/dev/shm', noDevices, 'mode=1777'],
  ['mqueue', '/dev/mqueue', dataOnly, ''],
  ['tmpfs', '/run', noDevices, 'mode=0755'],
  ['tmpfs', '/tmp', noDevices, 'mode=1777'],
];

/** What nodes of a cluster commonly set for containers, and what the kernel's defaults break. */
const sysctls: readonly [path: string, value: string][] = [
  // pids are not used again soon
  ['kernel/pid_max', '4194304'],
  // kubelet's --protect-kernel-defaults expects these of a node
  ['vm/overcommit_memory', '1'],
  ['kernel/keys/root_maxkeys', '1000000'],
  ['kernel/keys/root_maxbytes', '25000000'],
  // databases and watchers refuse to start with the defaults
  ['vm/max_map_count', '262144'],
  ['fs/inotify/max_user_instances', '8192'],
  ['fs/inotify/max_user_watches', '524288'],
  ['fs/file-max', '9223372036854775807'],
];

/** containerd's own unit gives its containers these limits. */
const maxOpenFiles = 1_048_576;

/**
 * Mounts what a freshly booted guest needs to answer. Without forking, and nothing more: this is
 * time that every pod waits for.
 */
export function mountGuest(log: Log): void {
  for (const [fsType, target, flags, data] of mounts) {
    if (target.startsWith('/dev/')) mkdirSync(target, { recursive: true });
    attempt(log, `mount ${target}`, () => mount(fsType, target, fsType, flags, data));
  }
  for (const name of ['containers', 'shared', 'temp', 'runcState'] as const) {
    mkdirSync(guestPaths[name], { recursive: true, mode: 0o711 });
  }
}

/** The rest of what containers expect of a guest; a failed part is told in the log. */
export function finishGuest(log: Log): void {
  attempt(log, 'enable controllers', () => {
    const { cgroups } = guestPaths;
    const names = readFileSync(`${cgroups}/cgroup.controllers`, 'utf8').trim().split(' ');
    const enable = names.map((name) => `+${name}`).join(' ');
    writeFileSync(`${cgroups}/cgroup.subtree_control`, enable);
  });
  attempt(log, 'bring up lo', () => bringUp('lo'));
  for (const [path, value] of sysctls) {
    attempt(log, `set ${path}`, () => writeFileSync(`/proc/sys/${path}`, value));
  }
  attempt(log, 'set limits', () => {
    setLimit(RLIMIT.NOFILE, maxOpenFiles);
    setLimit(RLIMIT.NPROC, Infinity);
    setLimit(RLIMIT.CORE, Infinity);
  });
}

/** A kernel parameter's name as sysctl(8) takes it: no part of it leads elsewhere. */
const sysctlName = /^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)+$/;

/**
 * Sets a kernel parameter of the guest, which is the pod's.
 * @param name with dots or slashes, as in a specification
 * @throws RunvError InvalidArgument when the kernel does not take it
 */
export function setSysctl(name: string, value: string): void {
  try {
    if (!sysctlName.test(name)) throw new Error('no name of a kernel parameter');
    writeFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, value, { flag: 'r+' });
  } catch (e) {
    const why = (e as Error).message;
    throw new RunvError(Code.InvalidArgument, `cannot set sysctl ${name} to "${value}": ${why}`);
  }
}

function attempt(log: Log, what: string, step: () => void): void {
  try {
    step();
  } catch (err) {
    log.warn({ what, err }, 'guest not fully prepared');
  }
}

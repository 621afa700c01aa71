import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { delay, patient } from './command.ts';
import type { PrivateContainerd } from './containerd.ts';
import { processesOf, unescapeMountPath } from './proc.ts';

/** What of a containerd and its runtime is on the machine, each thing as one readable line. */
export type HostState = ReadonlyMap<string, ReadonlySet<string>>;

/** Reads the machine's present state, as far as it belongs to this containerd. */
export function hostState(containerd: PrivateContainerd): HostState {
  const { dir } = containerd;
  const { namespace } = containerd.ctr;
  const mine = (text: string) => containerd.marks.some((mark) => text.includes(mark));
  return new Map(
    [
      ['process', processes(containerd)],
      ['mount', mounts().filter(mine)],
      ['loop device', loopDevices().filter(mine)],
      ['network link', readdirSync('/sys/class/net')],
      ['network namespace', names('/run/netns').filter(notOfAnotherRun)],
      ['unix socket', unixSockets().filter(mine)],
      ['cgroup', cgroups(basename(dir))],
      ['file lock', locks(dir)],
      ['run_dir', tree(containerd.runvRunDir).filter((path) => !meantToStay.test(basename(path)))],
      ['bundle', tree(join(containerd.stateDir, 'io.containerd.runtime.v2.task', namespace), 1)],
      ['work dir', tree(join(dir, 'root', 'io.containerd.runtime.v2.task', namespace), 1)],
      ['fifo', tree(containerd.fifoDir)],
      [
        'unfinished cache entry',
        tree(containerd.runvDataDir).filter((path) => unfinished.test(relative(dir, path))),
      ],
      ['temporary file', names(containerd.tempDir)],
    ].map(([what, lines]) => [what as string, new Set(lines as string[])]),
  );
}

/** Tests name the namespaces they make themselves: see PodNetns. */
const notOfAnotherRun = (name: string) =>
  !name.startsWith('runv-t-') || name.startsWith(`runv-t-${process.pid}-`);

/** A cache entry in the making, or a lock on it, must not outlive the one who makes it. */
const unfinished = /(lock|tmp|partial|\.new)/;

/** What runv has found out about the host, for the rest of its boot, and what its starts lock. */
const meantToStay = /^(kvm-probe\.json|containerd\.json|\.start-\d+)$/;

function processes(containerd: PrivateContainerd): string[] {
  return processesOf(containerd.dir, basename(containerd.dir))
    .filter((p) => basename(p.argv[0] ?? '') !== 'containerd')
    .map((p) => {
      // running or sleeping is the same process; a zombie is another matter
      const zombie = p.state === 'Z' ? ' zombie' : '';
      return `${p.pid} (since ${p.startTime})${zombie} ${p.name}: ${p.argv.join(' ')}`;
    });
}

function mounts(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
  return lines.map((line) => {
    const [head = '', tail = ''] = line.split(' - ');
    const path = unescapeMountPath(head.split(' ')[4] ?? '');
    const [type = '', source = ''] = tail.split(' ');
    return `${path} (${type} from ${source})`;
  });
}

function loopDevices(): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .flatMap((name) => {
      try {
        return [
          `${name} on ${readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim()}`,
        ];
      } catch {
        return []; // no file behind it: free
      }
    });
}

/** Paths of bound sockets; the last column of /proc/net/unix. */
function unixSockets(): string[] {
  const lines = readFileSync('/proc/net/unix', 'utf8').trim().split('\n').slice(1);
  const paths = lines.flatMap((line) => line.trim().split(/\s+/)[7] ?? []);
  return [...new Set(paths)];
}

/** Not the namespace's own cgroup: runc leaves that, too. */
function cgroups(namespace: string): string[] {
  const roots = ['/sys/fs/cgroup', ...tree('/sys/fs/cgroup', 1)];
  return roots.flatMap((root) => [
    ...directories(join(root, namespace)),
    ...names(root)
      .filter((name) => name !== namespace && name.includes(namespace))
      .map((name) => join(root, name)),
  ]);
}

/** Locks on files below `dir`, from /proc/locks, which knows them by device and inode only. */
function locks(dir: string): string[] {
  const held = new Map<string, string>();
  for (const line of readFileSync('/proc/locks', 'utf8').trim().split('\n')) {
    const inode = line.split(/\s+/).find((word) => /^[0-9a-f]+:[0-9a-f]+:\d+$/.test(word));
    if (inode !== undefined) held.set(inode.split(':')[2] ?? '', line);
  }
  if (held.size === 0) return [];
  return tree(dir, 3).flatMap((path) => {
    // containerd's own databases are locked as long as it runs
    if (path.endsWith('.db')) return [];
    try {
      return held.has(String(statSync(path).ino)) ? [`lock on ${path}`] : [];
    } catch {
      return [];
    }
  });
}

function names(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** All paths below a directory; none when it is absent or goes away meanwhile. */
function tree(dir: string, depth = Infinity): string[] {
  if (depth < 1 || !existsSync(dir)) return [];
  try {
    return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
      const path = join(dir, entry.name);
      return entry.isDirectory() ? [path, ...tree(path, depth - 1)] : [path];
    });
  } catch {
    return [];
  }
}

function directories(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => [join(dir, entry.name), ...directories(join(dir, entry.name))]);
  } catch {
    return [];
  }
}

function difference(before: HostState, after: HostState): string[] {
  const lines: string[] = [];
  for (const [what, now] of after) {
    const then = before.get(what) ?? new Set();
    for (const line of now) if (!then.has(line)) lines.push(`left over: ${what} ${line}`);
    if (what === 'network link') {
      for (const line of then) if (!now.has(line)) lines.push(`gone: ${what} ${line}`);
    }
  }
  return lines;
}

/**
 * Fails unless everything that is new since `before` goes away again. Cleanup runs on after a
 * client was answered, so this polls.
 * @param look reads the state again, as it was read before
 * @param deadlineMs how long cleanup may take on a slow machine
 */
export async function assertNothingLeft(
  containerd: PrivateContainerd,
  before: HostState,
  deadlineMs = 10_000,
  look: (containerd: PrivateContainerd) => HostState = hostState,
): Promise<void> {
  const endMs = performance.now() + patient(deadlineMs);
  for (;;) {
    const left = difference(before, look(containerd));
    if (left.length === 0) return;
    if (performance.now() > endMs)
      throw new Error(`the machine is not as it was\n${left.join('\n')}`);
    await delay(100);
  }
}

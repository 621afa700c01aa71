import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import type { Config } from './config.ts';
import { type HostCgroup, leave } from './host-cgroup.ts';
import { vmmUid } from './vmm-uid.ts';

/**
 * One thing a sandbox has acquired on the host. `path` entries are files, directories or sockets,
 * removed with all they contain; `process` stands for every process whose environment carries the
 * sandbox's marker, so it is true before, while and after each of them is started; a `cgroup` is
 * removed when its processes have gone or moved home; `ingress` is the queue that redirects what
 * arrives on an interface of a pod's network namespace which outlives the sandbox. `boot` tells in
 * which life of the host all this was: after its end only files are left.
 */
export type Entry =
  | { readonly kind: 'boot'; readonly id: string }
  | ({ readonly kind: 'cgroup' } & HostCgroup)
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'process'; readonly marker: string }
  | {
      readonly kind: 'ingress';
      /** Path of the namespace. */
      readonly namespace: string;
      /** Index of the interface in it. */
      readonly link: number;
    };

/** A process that SIGKILL does not end by then waits for a device. */
const killTimeoutMs = 10_000;

/** Name of the environment variable that marks every process of a sandbox. */
export const markerVariable = 'RUNV_SANDBOX';

/** Where one sandbox keeps things; derived from configuration, namespace and id alone. */
export interface SandboxPaths {
  /** Journal and 9p export. */
  readonly stateDir: string;
  /** Sockets: a hash of the ids, since a socket's path may have 107 bytes at most. */
  readonly socketDir: string;
  /** Disk images that live as long as the sandbox. */
  readonly diskDir: string;
}

export function sandboxPaths(config: Config, namespace: string, id: string): SandboxPaths {
  const hash = createHash('sha256').update(`${namespace}/${id}`).digest('hex').slice(0, 16);
  return {
    stateDir: join(config.runDir, namespace, id),
    socketDir: join(config.runDir, 's', hash),
    diskDir: join(config.dataDir, 'sandboxes', namespace, id),
  };
}

/**
 * What a sandbox has acquired, written down before it is acquired, one JSON object a line
 * (docs/journal.md). Cleaning up needs nothing but this file.
 */
export class Journal {
  readonly #file: string;
  readonly #seen = new Set<string>();

  private constructor(file: string) {
    this.#file = file;
  }

  /** Starts the journal of a new sandbox and makes its directories. */
  static create(paths: SandboxPaths): Journal {
    // `run_dir`, which others pass through and which stays: what is not recorded yet must not be made.
    mkdirSync(dirname(dirname(paths.socketDir)), { recursive: true, mode: 0o711 });
    mkdirSync(paths.stateDir, { recursive: true, mode: 0o700 });
    const journal = new Journal(join(paths.stateDir, 'journal'));
    journal.record({ kind: 'boot', id: bootId() });
    journal.record({ kind: 'process', marker: paths.stateDir });
    journal.record({ kind: 'path', path: paths.socketDir });
    journal.record({ kind: 'path', path: paths.diskDir });
    // Helpers that run as another user reach the sockets below by name; they can list nothing.
    mkdirSync(paths.socketDir, { recursive: true, mode: 0o711 });
    // Of a sandbox from before a reboot, whose journal went with /run.
    rmSync(paths.diskDir, { recursive: true, force: true });
    mkdirSync(paths.diskDir, { recursive: true, mode: 0o700 });
    return journal;
  }

  /** Goes on with the journal that `create` has begun. */
  static open(paths: SandboxPaths): Journal {
    return new Journal(join(paths.stateDir, 'journal'));
  }

  /** Writes `entry` down; it may be acquired when this returns. */
  record(entry: Entry): void {
    const line = JSON.stringify(entry);
    if (this.#seen.has(line)) return;
    appendFileSync(this.#file, line + '\n', { mode: 0o600 });
    this.#seen.add(line);
  }
}

/** Names the time from one start of the host to the next. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Reads a journal; a last line cut short by a crash is left out, as what it names was never acquired. */
export function readJournal(stateDir: string): Entry[] {
  let text: string;
  try {
    text = readFileSync(join(stateDir, 'journal'), 'utf8');
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw e;
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Entry);
}

/**
 * Gives back whatever a sandbox has acquired, however its shim ended. Idempotent; safe beside
 * another cleaner.
 * @param keep pids of this sandbox that must live on: the cleaner's own
 */
export async function cleanUp(stateDir: string, keep: ReadonlySet<number>): Promise<void> {
  const entries = readJournal(stateDir);
  for (const entry of entries) {
    if (entry.kind === 'process') await killMarked(entry.marker, keep);
  }
  await unmountBelow(stateDir);
  for (const entry of entries) {
    if (entry.kind === 'cgroup') await leave(entry, keep);
  }
  for (const entry of entries.toReversed()) {
    if (entry.kind === 'ingress' && existsSync(entry.namespace)) {
      const { removeRedirect } = await import('./network/redirect.ts');
      removeRedirect(entry.namespace, entry.link);
    }
    if (entry.kind !== 'path') continue;
    rmSync(entry.path, { recursive: true, force: true });
    removeEmptyParent(entry.path);
  }
  rmSync(stateDir, { recursive: true, force: true });
  removeEmptyParent(stateDir);
}

/**
 * Takes away what is mounted below `dir` where the cleaner shares the shim's mount namespace;
 * elsewhere nothing is, and the mounts end with the shim's processes.
 */
async function unmountBelow(dir: string): Promise<void> {
  const targets = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => unescapeMount(line.split(' ')[4] ?? ''))
    .filter((target) => target.startsWith(`${dir}/`));
  if (targets.length === 0) return;
  const { MNT_DETACH, umount } = await import('../proto/sys.ts');
  // Detaching a mount takes those below it along: deepest first, so that each is still there.
  for (const target of targets.toSorted((a, b) => b.length - a.length)) umount(target, MNT_DETACH);
}

/** proc(5): space, tab, newline and backslash stand in octal. */
export function unescapeMount(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/**
 * Pids of a sandbox: those whose environment carries its marker, and those that run as its VMM's
 * user, since a VMM that a guest has taken over could rewrite its environment.
 */
export function markedPids(marker: string): number[] {
  const needle = Buffer.from(`${markerVariable}=${marker}\0`);
  const user = new RegExp(`^Uid:\\t${vmmUid(marker)}\\t`, 'm');
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      if (readFileSync(`/proc/${name}/environ`).includes(needle)) return [Number(name)];
      const status = readFileSync(`/proc/${name}/status`, 'utf8');
      return user.test(status) && !status.includes('State:\tZ') ? [Number(name)] : [];
    } catch {
      return []; // gone meanwhile
    }
  });
}

async function killMarked(marker: string, keep: ReadonlySet<number>): Promise<void> {
  const deadline = performance.now() + killTimeoutMs;
  for (;;) {
    const pids = markedPids(marker).filter((pid) => !keep.has(pid));
    if (pids.length === 0) return;
    if (performance.now() > deadline) {
      const list = pids.join(', ');
      throw new RunvError(Code.DeadlineExceeded, `process ${list} of ${marker} does not die`);
    }
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // gone meanwhile
      }
    }
    await sleep(5);
  }
}

/** Removes the namespace's directory when its last sandbox has gone. */
export function removeEmptyParent(dir: string): void {
  try {
    if (lstatSync(dirname(dir)).isDirectory()) rmdirSync(dirname(dir));
  } catch {
    // other sandboxes live there, or it is gone already
  }
}

import { execFile } from 'node:child_process';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Kept in run_dir: asking takes longer than all else that `start` does. */
const cacheFile = 'containerd.json';
const timeoutMs = 10_000;

export interface Version {
  readonly major: number;
  readonly minor: number;
}

/** Every containerd takes what this one does. */
const oldest: Version = { major: 1, minor: 6 };

/** What a program said of itself, and which program it was. */
interface Finding {
  readonly program: string;
  readonly version: Version;
}

/**
 * The version of the containerd that has called us, through the launcher; the oldest when it cannot
 * be told. Its environment says nothing of it: all versions claim the same MAX_SHIM_VERSION.
 */
export async function containerdVersion(runDir: string): Promise<Version> {
  try {
    const exe = `/proc/${parentOf(process.ppid)}/exe`;
    const { dev, ino, size, mtimeMs } = statSync(exe);
    const program = [dev, ino, size, mtimeMs].join(' ');
    const known = readFinding(runDir);
    if (known?.program === program) return known.version;
    const { stdout } = await promisify(execFile)(exe, ['--version'], { timeout: timeoutMs });
    const version = parseVersion(stdout);
    keepFinding(runDir, { program, version });
    return version;
  } catch {
    return oldest;
  }
}

/** Exported for its test: `containerd github.com/containerd/containerd/v2 2.1.9+unknown …`. */
export function parseVersion(text: string): Version {
  const [, major, minor] = /^containerd \S+ v?(\d+)\.(\d+)\./.exec(text) ?? [];
  return minor === undefined ? oldest : { major: Number(major), minor: Number(minor) };
}

function parentOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // proc_pid_stat(5): the second field may hold anything, in parentheses
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

function readFinding(runDir: string): Finding | undefined {
  try {
    return JSON.parse(readFileSync(join(runDir, cacheFile), 'utf8')) as Finding;
  } catch {
    return undefined;
  }
}

function keepFinding(runDir: string, finding: Finding): void {
  const temporary = join(runDir, `.${cacheFile}.${process.pid}`);
  writeFileSync(temporary, JSON.stringify(finding), { mode: 0o600 });
  renameSync(temporary, join(runDir, cacheFile));
}

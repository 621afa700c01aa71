import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** One process as /proc shows it. */
export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  /** Clock ticks since boot: with the pid it names a process for good. */
  readonly startTime: string;
  /** One letter, e.g. Z for a zombie. */
  readonly state: string;
  readonly argv: readonly string[];
  readonly name: string;
}

/** A process may end while it is looked at: then there is nothing to see. */
function tryRead(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export function allProcesses(): ProcessInfo[] {
  const found: ProcessInfo[] = [];
  for (const entry of readdirSync('/proc')) {
    if (/^\d+$/.test(entry)) {
      const info = processInfo(Number(entry));
      if (info) found.push(info);
    }
  }
  return found;
}

export function processInfo(pid: number): ProcessInfo | undefined {
  const stat = tryRead(`/proc/${pid}/stat`);
  // the name stands in parentheses and may itself hold any character: proc_pid_stat(5)
  const end = stat.lastIndexOf(')');
  if (end < 0) return undefined;
  const fields = stat.slice(end + 2).split(' ');
  const argv = tryRead(`/proc/${pid}/cmdline`).split('\0').slice(0, -1);
  return {
    pid,
    name: stat.slice(stat.indexOf('(') + 1, end),
    state: fields[0] ?? '?',
    parent: Number(fields[1]),
    startTime: fields[19] ?? '',
    argv,
  };
}

/** Whether anything the kernel tells about a process names the directory. */
export function mentions(pid: number, dir: string, marker: string): boolean {
  for (const file of ['cmdline', 'environ', 'cgroup']) {
    const text = tryRead(`/proc/${pid}/${file}`);
    if (text.includes(dir) || text.includes(marker)) return true;
  }
  const links = [`/proc/${pid}/cwd`, `/proc/${pid}/root`, `/proc/${pid}/exe`];
  try {
    links.push(...readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`));
  } catch {
    // ended meanwhile
  }
  return links.some((link) => {
    try {
      return readlinkSync(link).startsWith(`${dir}/`);
    } catch {
      return false;
    }
  });
}

/** All processes that mention the directory, and their descendants. */
export function processesOf(dir: string, marker: string): ProcessInfo[] {
  const all = allProcesses().filter((p) => p.pid !== process.pid);
  const chosen = new Set(all.filter((p) => mentions(p.pid, dir, marker)).map((p) => p.pid));
  for (let grown = true; grown;) {
    grown = false;
    for (const p of all) {
      if (!chosen.has(p.pid) && chosen.has(p.parent)) {
        chosen.add(p.pid);
        grown = true;
      }
    }
  }
  return all.filter((p) => chosen.has(p.pid));
}

/** Proportional set size in bytes: shared pages count by their share. 0 when it has ended. */
export function pssBytes(pid: number): number {
  const match = /^Pss:\s+(\d+) kB/m.exec(tryRead(`/proc/${pid}/smaps_rollup`));
  return Number(match?.[1] ?? 0) * 1024;
}

export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(tryRead(`/proc/${pid}/status`));
  return Number(match?.[1] ?? 0) * 1024;
}

/** mountinfo writes blank, tab, newline and backslash in octal: proc_pid_mountinfo(5). */
export function unescapeMountPath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  );
}

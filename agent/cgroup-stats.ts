import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { cgroup } from '../proto/messages.ts';

/** How containerd writes `max`: no limit. */
const noLimit = 0xffff_ffff_ffff_ffffn;

/**
 * Reads cgroup v2 directories into containerd's own message, field by field as containerd's cgroups
 * library does (Documentation/admin-guide/cgroup-v2.rst). A file that the kernel or an absent
 * controller does not provide leaves its fields zero. All directories have the same controllers:
 * what is missing in one is not looked for again, since each miss costs more than a file's reading.
 */
export class CgroupReader {
  readonly #missing = new Set<string>();
  #pageSizes: readonly string[] | undefined;

  stats(dir: string): cgroup.IMetrics {
    return cgroupStats((name) => this.#read(dir, name), this.#hugePageSizes(dir));
  }

  #read(dir: string, name: string): string {
    if (this.#missing.has(name)) return '';
    const text = tryRead(join(dir, name));
    // a cgroup that has gone says nothing of the others
    if (text === undefined && existsSync(dir)) this.#missing.add(name);
    return text ?? '';
  }

  #hugePageSizes(dir: string): readonly string[] {
    if (this.#pageSizes) return this.#pageSizes;
    try {
      const names = readdirSync(dir).map((name) => /^hugetlb\.(\w+)\.current$/.exec(name)?.[1]);
      return (this.#pageSizes = names.filter((size) => size !== undefined));
    } catch {
      return []; // it has gone
    }
  }
}

function cgroupStats(
  file: (name: string) => string,
  hugePageSizes: readonly string[],
): cgroup.IMetrics {
  const memory = pairs(file('memory.stat'));
  const cpu = pairs(file('cpu.stat'));
  const events = pairs(file('memory.events'));
  const of = (from: ReadonlyMap<string, bigint>, ...names: readonly string[]) =>
    names.reduce((sum, name) => sum + (from.get(name) ?? 0n), 0n);
  return {
    pids: { current: value(file('pids.current')), limit: value(file('pids.max')) },
    cpu: {
      usageUsec: of(cpu, 'usage_usec'),
      userUsec: of(cpu, 'user_usec'),
      systemUsec: of(cpu, 'system_usec'),
      nrPeriods: of(cpu, 'nr_periods'),
      nrThrottled: of(cpu, 'nr_throttled'),
      throttledUsec: of(cpu, 'throttled_usec'),
      psi: pressure(file('cpu.pressure')),
    },
    memory: {
      anon: of(memory, 'anon'),
      file: of(memory, 'file'),
      kernelStack: of(memory, 'kernel_stack'),
      slab: of(memory, 'slab'),
      sock: of(memory, 'sock'),
      shmem: of(memory, 'shmem'),
      fileMapped: of(memory, 'file_mapped'),
      fileDirty: of(memory, 'file_dirty'),
      fileWriteback: of(memory, 'file_writeback'),
      anonThp: of(memory, 'anon_thp'),
      inactiveAnon: of(memory, 'inactive_anon'),
      activeAnon: of(memory, 'active_anon'),
      inactiveFile: of(memory, 'inactive_file'),
      activeFile: of(memory, 'active_file'),
      unevictable: of(memory, 'unevictable'),
      slabReclaimable: of(memory, 'slab_reclaimable'),
      slabUnreclaimable: of(memory, 'slab_unreclaimable'),
      pgfault: of(memory, 'pgfault'),
      pgmajfault: of(memory, 'pgmajfault'),
      // Since Linux 5.9 these two are counted apart for anonymous memory and files.
      workingsetRefault: of(memory, 'workingset_refault_anon', 'workingset_refault_file'),
      workingsetActivate: of(memory, 'workingset_activate_anon', 'workingset_activate_file'),
      workingsetNodereclaim: of(memory, 'workingset_nodereclaim'),
      pgrefill: of(memory, 'pgrefill'),
      pgscan: of(memory, 'pgscan'),
      pgsteal: of(memory, 'pgsteal'),
      pgactivate: of(memory, 'pgactivate'),
      pgdeactivate: of(memory, 'pgdeactivate'),
      pglazyfree: of(memory, 'pglazyfree'),
      pglazyfreed: of(memory, 'pglazyfreed'),
      thpFaultAlloc: of(memory, 'thp_fault_alloc'),
      thpCollapseAlloc: of(memory, 'thp_collapse_alloc'),
      usage: value(file('memory.current')),
      usageLimit: value(file('memory.max')),
      swapUsage: value(file('memory.swap.current')),
      swapLimit: value(file('memory.swap.max')),
      maxUsage: value(file('memory.peak')),
      swapMaxUsage: value(file('memory.swap.peak')),
      psi: pressure(file('memory.pressure')),
    },
    io: { usage: ioEntries(file('io.stat')), psi: pressure(file('io.pressure')) },
    hugetlb: hugePageSizes.map((pagesize) => ({
      pagesize,
      current: value(file(`hugetlb.${pagesize}.current`)),
      max: value(file(`hugetlb.${pagesize}.max`)),
    })),
    memoryEvents: {
      low: of(events, 'low'),
      high: of(events, 'high'),
      max: of(events, 'max'),
      oom: of(events, 'oom'),
      oomKill: of(events, 'oom_kill'),
    },
  };
}

/** How often the kernel has killed a process of the cgroup for lack of memory. */
export function oomKills(dir: string): bigint {
  return pairs(tryRead(join(dir, 'memory.events')) ?? '').get('oom_kill') ?? 0n;
}

/** Every pid in the cgroup and those below it, in no order. */
export function cgroupPids(dir: string): number[] {
  let below: string[];
  try {
    below = readdirSync(dir, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return []; // the cgroup has gone with its last process
  }
  return [dir, ...below].flatMap((each) =>
    (tryRead(join(each, 'cgroup.procs')) ?? '').split('\n').filter(Boolean).map(Number),
  );
}

function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** A file of one number, or `max`. */
function value(text: string): bigint {
  const word = text.trim();
  if (word === 'max') return noLimit;
  return /^\d+$/.test(word) ? BigInt(word) : 0n;
}

/** A flat keyed file: a name and a number on each line. */
function pairs(text: string): Map<string, bigint> {
  const result = new Map<string, bigint>();
  for (const [, name = '', number = ''] of text.matchAll(/^(\S+) (\d+)$/gm)) {
    result.set(name, BigInt(number));
  }
  return result;
}

/** A nested keyed file: `8:0 rbytes=1 wbytes=2 …` on each line. */
function ioEntries(text: string): cgroup.IIOEntry[] {
  return [...text.matchAll(/^(\d+):(\d+)(.*)$/gm)].map(([, major = '', minor = '', rest = '']) => {
    const of = (name: string) => BigInt(new RegExp(`\\b${name}=(\\d+)`).exec(rest)?.[1] ?? 0);
    return {
      major: BigInt(major),
      minor: BigInt(minor),
      rbytes: of('rbytes'),
      wbytes: of('wbytes'),
      rios: of('rios'),
      wios: of('wios'),
    };
  });
}

/** Pressure stall information: a line each for `some` and `full`. */
function pressure(text: string): cgroup.IPSIStats | undefined {
  const line = (kind: string): cgroup.IPSIData | undefined => {
    const found = new RegExp(
      `^${kind} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)$`,
      'm',
    ).exec(text);
    if (!found) return undefined;
    const [, avg10, avg60, avg300, total = '0'] = found;
    return {
      avg10: Number(avg10),
      avg60: Number(avg60),
      avg300: Number(avg300),
      total: BigInt(total),
    };
  };
  return text === '' ? undefined : { some: line('some'), full: line('full') };
}

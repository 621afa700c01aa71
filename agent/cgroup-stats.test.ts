import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { cgroupPids, CgroupReader, oomKills } from './cgroup-stats.ts';

const dir = mkdtempSync(join(tmpdir(), 'runv-cgroup-'));
after(() => rmSync(dir, { recursive: true }));

/** As Linux 6.1 writes them. */
const files: Record<string, string> = {
  'pids.current': '3\n',
  'pids.max': 'max\n',
  'cpu.stat':
    'usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 7\nnr_throttled 2\nthrottled_usec 90\nnr_bursts 0\n',
  'cpu.pressure': 'some avg10=1.50 avg60=0.25 avg300=0.00 total=123\n',
  'memory.current': '8192\n',
  'memory.max': '67108864\n',
  'memory.swap.max': 'max\n',
  'memory.stat':
    'anon 4096\nfile 2048\ninactive_file 1024\nworkingset_refault_anon 1\nworkingset_refault_file 2\n',
  'memory.events': 'low 0\nhigh 0\nmax 4\noom 2\noom_kill 1\noom_group_kill 0\n',
  'io.stat': '8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:0 \n',
  'hugetlb.2MB.current': '0\n',
  'hugetlb.2MB.max': 'max\n',
  'cgroup.procs': '10\n11\n',
};
for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
mkdirSync(join(dir, 'below'));
writeFileSync(join(dir, 'below', 'cgroup.procs'), '12\n');
const most = 2n ** 64n - 1n;

describe('cgroup statistics', () => {
  const reader = new CgroupReader();
  const stats = reader.stats(dir);

  it('writes no limit as containerd does', () => {
    assert.deepEqual(stats.pids, { current: 3n, limit: most });
    assert.equal(stats.memory?.usageLimit, 67108864n);
    assert.equal(stats.memory?.swapLimit, most);
  });

  it('carries cpu, throttling and pressure', () => {
    const { psi, ...cpu } = stats.cpu ?? {};
    assert.deepEqual(cpu, {
      usageUsec: 5000n,
      userUsec: 3000n,
      systemUsec: 2000n,
      nrPeriods: 7n,
      nrThrottled: 2n,
      throttledUsec: 90n,
    });
    assert.deepEqual(psi?.some, { avg10: 1.5, avg60: 0.25, avg300: 0, total: 123n });
    assert.equal(psi?.full, undefined);
  });

  it('carries what the working set is computed from', () => {
    assert.equal(stats.memory?.usage, 8192n);
    assert.equal(stats.memory?.inactiveFile, 1024n);
    assert.equal(stats.memory?.workingsetRefault, 3n);
  });

  it('carries io per device, also of one without traffic', () => {
    assert.deepEqual(stats.io?.usage, [
      { major: 8n, minor: 16n, rbytes: 10n, wbytes: 20n, rios: 1n, wios: 2n },
      { major: 8n, minor: 0n, rbytes: 0n, wbytes: 0n, rios: 0n, wios: 0n },
    ]);
  });

  it('carries huge pages and memory events', () => {
    assert.deepEqual(stats.hugetlb, [{ pagesize: '2MB', current: 0n, max: most }]);
    assert.deepEqual(stats.memoryEvents, { low: 0n, high: 0n, max: 4n, oom: 2n, oomKill: 1n });
    assert.equal(oomKills(dir), 1n);
  });

  it('lists the processes of the whole subtree', () => {
    assert.deepEqual(cgroupPids(dir).toSorted(), [10, 11, 12]);
  });

  it('looks for files again that were missing with their whole cgroup', () => {
    const another = new CgroupReader();
    another.stats(join(dir, 'gone'));
    assert.deepEqual(another.stats(dir), stats);
    assert.deepEqual(another.stats(dir), stats);
  });

  it('is all zero for a cgroup that has gone', () => {
    const gone = reader.stats(join(dir, 'gone'));
    assert.equal(gone.memory?.usage, 0n);
    assert.deepEqual(gone.io?.usage, []);
    assert.deepEqual(cgroupPids(join(dir, 'gone')), []);
  });
});

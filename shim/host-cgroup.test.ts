import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Code, RunvError } from '../proto/error.ts';
import { cgroupPath, hostCgroups, leave, oomKills, weightOf } from './host-cgroup.ts';

describe('the path of a sandbox’s cgroup', () => {
  const cases: readonly [string | undefined, string | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['/', undefined],
    ['/default/web', '/default/web'],
    ['default/web', '/default/web'],
    ['/kubepods/burstable/pod1/web/', '/kubepods/burstable/pod1/web'],
    ['system.slice:runv:web', '/system.slice/runv-web.scope'],
    [':runv:web', '/system.slice/runv-web.scope'],
    ['-.slice:runv:web', '/runv-web.scope'],
    [
      'kubepods-burstable-pod1.slice:cri-containerd:web',
      '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-web.scope',
    ],
  ];
  for (const [given, path] of cases) {
    it(`${JSON.stringify(given)} is ${path ?? 'none'}`, () =>
      assert.equal(cgroupPath(given), path));
  }
  it('never leads out of the cgroups', () => {
    const invalid = (e: unknown) => e instanceof RunvError && e.code === Code.InvalidArgument;
    assert.throws(() => cgroupPath('/default/../../etc'), invalid);
  });
});

describe('CPU shares', () => {
  for (const [shares, weight] of [
    [2, 1],
    [1024, 39],
    [262_144, 10_000],
    [0, 1],
    [1_000_000, 10_000],
  ] as const) {
    it(`${shares} are weight ${weight}`, () => assert.equal(weightOf(shares), weight));
  }
});

describe('a sandbox’s cgroup', () => {
  it('knows where this process is, in each hierarchy', () => {
    const cgroups = hostCgroups('/runv-test');
    assert.ok(cgroups.length > 0);
    for (const { dir, home } of cgroups) {
      assert.ok(dir.endsWith('/runv-test'), dir);
      assert.ok(existsSync(join(home, 'cgroup.procs')), home);
    }
    assert.equal(oomKills(cgroups), 0, 'of cgroups that are not there');
  });

  it('is removed when it is empty, and not missed when it is gone', async (t) => {
    const [cgroup] = hostCgroups(`/runv-test-${process.pid}`);
    assert.ok(cgroup);
    try {
      mkdirSync(cgroup.dir);
    } catch {
      return t.skip('a cgroup that may be made');
    }
    t.after(() => existsSync(cgroup.dir) && rmdirSync(cgroup.dir));
    await leave(cgroup, new Set());
    assert.ok(!existsSync(cgroup.dir));
    await leave(cgroup, new Set());
  });
});

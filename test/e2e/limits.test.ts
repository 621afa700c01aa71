import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describe } from '../harness/command.ts';
import { ContainerdApi, runChanged } from '../harness/containerd-api.ts';
import { idle } from '../harness/ctr.ts';
import { isRunv } from '../harness/environment.ts';
import { qemuPid, shimPid } from '../harness/runtime-processes.ts';
import { suite } from '../harness/suite.ts';

const s = suite();
const runvOnly = { skip: !isRunv && 'runv' };

/** Lets the container see its own cgroup, in whichever version the kernel has. */
const cgroup = ['--mount', 'type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro'];

/** Reads a file of the container's cgroup by its v2 name, or by the v1 path given. */
const read = (v2: string, v1: string) =>
  `cat /sys/fs/cgroup/${v2} 2>/dev/null || cat /sys/fs/cgroup/${v1}`;

test('--memory-limit is the limit of the container’s cgroup', async () => {
  const flags = [...cgroup, '--memory-limit', String(100 << 20)];
  const found = await s.ctr.sh(read('memory.max', 'memory/memory.limit_in_bytes'), { flags });
  assert.equal(found.trim(), String(100 << 20));
});

test('a container may use all the memory it was given', async () => {
  // /dev/shm counts to the container: 540 MiB in it need a machine that is larger than the default
  const flags = ['--memory-limit', String(620 << 20)];
  const script = 'dd if=/dev/zero of=/dev/shm/big bs=1M count=540 2>&1; stat -c %s /dev/shm/big';
  const outcome = await runChanged(s.ctr, { flags, argv: ['sh', '-c', script] }, (spec) => {
    for (const mount of spec.mounts) {
      if (mount.destination === '/dev/shm') mount.options = ['size=600m'];
    }
  });
  assert.match(outcome.stdout, new RegExp(`^${540 << 20}$`, 'm'), describe(outcome));
});

test('--cpus is the quota of the container’s cgroup', async () => {
  const flags = [...cgroup, '--cpus', '0.5'];
  const script = read('cpu.max', 'cpu/cpu.cfs_quota_us');
  const found = await s.ctr.sh(script, { flags });
  assert.match(found.trim(), /^50000( 100000)?$/);
});

test('--cpus slows a busy container down', async () => {
  const flags = ['--cpus', '0.2'];
  // user and system time of the shell and its children, in hundredths of a second
  const script = `
    end=$(($(date +%s) + 4)); while [ $(date +%s) -lt $end ]; do :; done
    cut -d ' ' -f 14-17 /proc/self/stat`;
  const found = await s.ctr.sh(script, { flags });
  const ticks = found
    .trim()
    .split(' ')
    .reduce((sum, word) => sum + Number(word), 0);
  assert.ok(ticks < 200, `${ticks} ticks in 4 to 5 s at a fifth of a processor`);
});

test(
  'more processors than the default are there when asked for',
  { skip: !isRunv && 'runv' },
  async () => {
    const found = await s.ctr.sh('grep -c ^processor /proc/cpuinfo', { flags: ['--cpus', '2'] });
    assert.equal(found.trim(), '2');
  },
);

test('--cpu-shares is the weight of the container’s cgroup', async () => {
  const flags = [...cgroup, '--cpu-shares', '512'];
  const found = await s.ctr.sh(read('cpu.weight', 'cpu/cpu.shares'), { flags });
  // 1 + (shares - 2) * 9999 / 262142: runc's conversion to cgroup v2
  assert.match(found.trim(), /^(512|20)$/);
});

test('the limit of processes holds', async () => {
  const script = 'for i in 1 2 3 4 5 6 7 8; do sleep 2 & done 2>&1; wait';
  const outcome = await runChanged(s.ctr, { argv: ['sh', '-c', script] }, (spec) => {
    spec.linux.resources = { ...spec.linux.resources, pids: { limit: 6 } };
  });
  assert.match(outcome.stdout + outcome.stderr, /can't fork/, describe(outcome));
});

test('/dev/shm has the size of the specification', async () => {
  const script =
    "df -k /dev/shm | tail -1 | awk '{print $2}'; dd if=/dev/zero of=/dev/shm/x bs=1M count=30";
  const outcome = await runChanged(s.ctr, { argv: ['sh', '-c', script] }, (spec) => {
    for (const mount of spec.mounts) {
      if (mount.destination === '/dev/shm') mount.options = ['nosuid', 'nodev', 'size=16m'];
    }
  });
  assert.equal(outcome.stdout.trim(), String(16 << 10), describe(outcome));
  assert.match(outcome.stderr, /No space left/);
});

test('a tmpfs mount has its size and options', async () => {
  const mount = 'type=tmpfs,src=tmpfs,dst=/scratch,options=size=8m:noexec:mode=1711';
  const script = "grep ' /scratch ' /proc/mounts; stat -c %a /scratch";
  const found = await s.ctr.sh(script, { flags: ['--mount', mount] });
  assert.match(found, /^tmpfs \/scratch tmpfs rw,noexec,relatime,size=8192k,mode=1711/);
  assert.match(found, /^1711$/m);
});

test(
  'a process that uses up the guest’s memory is killed, and the guest lives on',
  runvOnly,
  async () => {
    const id = await s.ctr.runDetached({ argv: idle });
    try {
      const outcome = await s.ctr.exec(id, ['sh', '-c', 'tail /dev/zero; exit $?']);
      assert.equal(outcome.code, 137, describe(outcome));
      assert.equal((await s.ctr.exec(id, ['echo', 'alive'])).stdout, 'alive\n');
      assert.equal(await s.ctr.status(id), 'RUNNING');
    } finally {
      await s.ctr.remove(id);
    }
  },
);

test(
  'the host ends a machine for memory as soon as it would its container, containerd last',
  runvOnly,
  async () => {
    const score = (pid: number) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));
    const id = await s.ctr.create({ argv: idle });
    try {
      await new ContainerdApi(s.ctr).changeSpec(id, (spec) => {
        spec.process.oomScoreAdj = 300;
      });
      await s.ctr.must(s.ctr.taskStartArgs(id, '--detach', '--null-io'));
      assert.equal(score(qemuPid(s.containerd, id)), 300);
      assert.equal(score(shimPid(s.containerd, id)), score(s.containerd.pid) + 1);
    } finally {
      await s.ctr.remove(id);
    }
  },
);

test('a scratch disk that is full is an error of the process that writes', runvOnly, async () => {
  await s.containerd.configureRunv({ scratch_mib: 64 });
  try {
    const script =
      'dd if=/dev/zero of=/big bs=1M count=100 2>&1; rm /big; echo fine >/small; cat /small';
    const found = await s.ctr.sh(script);
    assert.match(found, /No space left on device/);
    assert.match(found, /^fine$/m);
  } finally {
    await s.containerd.configureRunv({});
  }
});

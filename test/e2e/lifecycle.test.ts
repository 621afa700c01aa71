import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { delay, describe, start, until } from '../harness/command.ts';
import { ContainerdApi } from '../harness/containerd-api.ts';
import { idle } from '../harness/ctr.ts';
import { isRunv } from '../harness/environment.ts';
import { EventLog } from '../harness/event-log.ts';
import { suite } from '../harness/suite.ts';

const s = suite();

test('events of a whole life come in order, each once', async () => {
  await using events = await EventLog.open(s.ctr);
  const id = await s.ctr.runDetached({ argv: idle });
  const execId = s.ctr.newId('e');
  assert.equal((await s.ctr.exec(id, ['sh', '-c', 'exit 9'], { id: execId })).code, 9);
  await s.ctr.must(['task', 'pause', id]);
  await s.ctr.must(['task', 'resume', id]);
  await s.ctr.kill(id, 'SIGKILL');
  await s.ctr.untilStatus(id, 'STOPPED');
  await s.ctr.must(['task', 'delete', id]);
  await s.ctr.must(['container', 'delete', id]);
  await events.until('/tasks/delete', id);

  const seen = events.of(id).filter(({ topic }) => topic.startsWith('/tasks/'));
  assert.deepEqual(
    seen.map(({ topic, data }) => [topic, data['exec_id'] ?? data['id'] ?? '']),
    [
      ['/tasks/create', ''],
      ['/tasks/start', ''],
      ['/tasks/exec-added', execId],
      ['/tasks/exec-started', execId],
      ['/tasks/exit', execId],
      ['/tasks/paused', ''],
      ['/tasks/resumed', ''],
      ['/tasks/exit', id],
      ['/tasks/delete', ''],
    ],
  );
  const [create, start, , execStarted, execExit, , , exit, deleted] = seen.map((e) => e.data);
  assert.ok(Number(create?.['pid']) > 0);
  assert.equal(start?.['pid'], create?.['pid']);
  assert.equal(execExit?.['pid'], execStarted?.['pid']);
  assert.equal(execExit?.['exit_status'], 9);
  assert.equal(exit?.['pid'], create?.['pid']);
  assert.equal(exit?.['exit_status'], 137);
  assert.equal(deleted?.['exit_status'], 137);
  assert.equal(deleted?.['pid'], create?.['pid']);
  const exitedAt = Date.parse(String(exit?.['exited_at']));
  assert.ok(Math.abs(exitedAt - Date.now()) < 60_000, `exited_at ${String(exit?.['exited_at'])}`);
});

test('events of a short run come in order', async () => {
  await using events = await EventLog.open(s.ctr);
  const id = s.ctr.newId();
  await s.ctr.run({ id, argv: ['true'] });
  await events.until('/tasks/delete', id);
  const topics = events.of(id).map(({ topic }) => topic);
  const tasks = topics.filter((topic) => topic.startsWith('/tasks/'));
  assert.deepEqual(tasks, ['/tasks/create', '/tasks/start', '/tasks/exit', '/tasks/delete']);
});

test('a process that takes more memory than allowed is killed, and an OOM event tells', async () => {
  await using events = await EventLog.open(s.ctr);
  const id = s.ctr.newId();
  const outcome = await s.ctr.run({
    id,
    flags: ['--memory-limit', String(64 << 20)],
    // tail keeps the whole line, which never ends
    argv: ['sh', '-c', 'tail /dev/zero; echo tail ended with $?; exit 7'],
  });
  assert.match(outcome.stdout, /tail ended with 137/, describe(outcome));
  assert.equal(outcome.code, 7);
  await events.until('/tasks/oom', id);
});

test('a paused container stands still and goes on when resumed', async () => {
  const id = s.ctr.newId();
  const argv = ['sh', '-c', 'n=0; while :; do n=$((n + 1)); echo $n; sleep 0.05; done'];
  await using main = s.ctr.startRun({ id, argv });
  await main.untilStdout(/^5$/m);
  await s.ctr.must(['task', 'pause', id]);
  assert.equal(await s.ctr.status(id), 'PAUSED');
  await delay(300); // what was under way
  const before = main.stdoutSoFar;
  await delay(1500);
  assert.equal(main.stdoutSoFar, before, 'it went on while paused');

  const exec = await s.ctr.exec(id, ['true']);
  assert.notEqual(exec.code, 0);
  assert.match(exec.stderr, /paused/, describe(exec));

  await s.ctr.must(['task', 'resume', id]);
  assert.equal(await s.ctr.status(id), 'RUNNING');
  const last = Number(before.trim().split('\n').at(-1));
  await main.untilStdout(new RegExp(`^${last + 5}$`, 'm'));
  await s.ctr.kill(id, 'SIGKILL');
  assert.equal((await main.outcome).code, 137);
});

test('ps lists every process of the container and names the execs', async () => {
  const id = await s.ctr.runDetached({ argv: idle });
  try {
    const execId = s.ctr.newId('e');
    await using exec = s.ctr.startExec(id, ['sh', '-c', 'echo up; exec sleep 1000'], {
      id: execId,
    });
    await exec.untilStdout(/up/);
    const [head, ...lines] = (await s.ctr.must(['task', 'ps', id])).trim().split('\n');
    assert.match(head ?? '', /^PID\s+INFO$/);
    // the shell, its sleep, the exec
    assert.equal(lines.length, 3, lines.join('\n'));
    assert.equal(lines.filter((line) => line.includes(execId)).length, 1, lines.join('\n'));
    const task = (await s.ctr.must(['task', 'ls'])).split('\n').find((line) => line.startsWith(id));
    const pid = task?.split(/\s+/)[1] ?? 'none';
    assert.ok(
      lines.some((line) => line.split(/\s+/)[0] === pid),
      `main process ${pid} is not among\n${lines.join('\n')}`,
    );
    await s.ctr.kill(id, 'SIGKILL', '--exec-id', execId);
    await exec.outcome;
  } finally {
    await s.ctr.remove(id);
  }
});

interface Metrics {
  readonly pids: { current: number };
  /** Names as cgroup v2 has them and, where it differs, as v1 has them. */
  readonly cpu: { usage_usec?: number; usage?: { total: number } };
  readonly memory: {
    usage: number | { usage: number; limit: number };
    usage_limit?: number;
    inactive_file?: number;
  };
}

test('metrics tell of processes, processor time and memory', async () => {
  const flags = ['--memory-limit', String(128 << 20)];
  const busy = ['sh', '-c', 'while :; do :; done'];
  const id = await s.ctr.runDetached({ flags, argv: busy });
  try {
    const read = async () =>
      JSON.parse(await s.ctr.must(['task', 'metrics', '--format', 'json', id])) as Metrics;
    const cpuUs = ({ cpu }: Metrics) => cpu.usage_usec ?? (cpu.usage?.total ?? 0) / 1000;
    const first = await read();
    await delay(1000);
    const second = await read();
    assert.equal(second.pids.current, 1);
    const usedUs = cpuUs(second) - cpuUs(first);
    assert.ok(usedUs > 200_000 && usedUs < 4_000_000, `${usedUs} µs of processor in a second`);
    const { usage, usage_limit } = second.memory;
    const used = typeof usage === 'number' ? usage : usage.usage;
    const limit = typeof usage === 'number' ? usage_limit : usage.limit;
    assert.ok(used > 4096 && used < 128 << 20, `memory ${used}`);
    assert.equal(limit, 128 << 20);
    if (isRunv) assert.ok('inactive_file' in second.memory, 'no working set without inactive_file');
    const table = await s.ctr.must(['task', 'metrics', id]);
    assert.match(table, /^METRIC\s+VALUE/m);
    assert.match(table, /^pids\.current\s+1/m);
  } finally {
    await s.ctr.remove(id);
  }
});

test('deleting a running task is refused', async () => {
  const id = await s.ctr.runDetached({ argv: idle });
  try {
    const outcome = await s.ctr.call(['task', 'delete', id]);
    assert.notEqual(outcome.code, 0);
    assert.match(outcome.stderr, /must be stopped before deletion/);
    assert.equal(await s.ctr.status(id), 'RUNNING');
  } finally {
    await s.ctr.remove(id);
  }
});

test('a task that was created and never started can be killed and deleted', async () => {
  const id = await s.ctr.create({ argv: idle });
  const api = new ContainerdApi(s.ctr);
  await api.createTask(id, await s.ctr.snapshotMounts(id));
  assert.equal(await s.ctr.status(id), 'CREATED');
  await s.ctr.kill(id, 'SIGKILL');
  assert.equal(await api.waitTask(id), 137);
  await s.ctr.remove(id);
});

test('a container may be started again after its task was deleted', async () => {
  const id = await s.ctr.create({ argv: ['sh', '-c', 'cat /kept 2>/dev/null; echo kept >/kept'] });
  const first = await s.ctr.call(s.ctr.taskStartArgs(id));
  assert.equal(first.stdout, '', describe(first));
  const second = await s.ctr.call(s.ctr.taskStartArgs(id));
  assert.equal(second.code, 0, describe(second));
  assert.equal(second.stdout, 'kept\n');
  await s.ctr.remove(id);
});

test('ctr task attach reads what a detached container writes, to its end', async () => {
  const script = 'read line; echo got $line; exit 8';
  const id = await s.ctr.runDetached({ argv: ['sh', '-c', script] });
  await using attach = s.ctr.startCall(['task', 'attach', id], { keepStdin: true });
  attach.write('this\n');
  const outcome = await attach.outcome;
  assert.equal(outcome.stdout, 'got this\n', describe(outcome));
  assert.equal(outcome.code, 8);
  await s.ctr.remove(id);
});

test('limits can be changed while the container runs', async () => {
  const flags = ['--mount', 'type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro'];
  const id = await s.ctr.runDetached({ argv: idle, flags });
  try {
    await new ContainerdApi(s.ctr).updateTask(id, { memory: { limit: 96 << 20 } });
    const script =
      'cat /sys/fs/cgroup/memory.max || cat /sys/fs/cgroup/memory/memory.limit_in_bytes';
    const outcome = await s.ctr.exec(id, ['sh', '-c', script]);
    assert.equal(outcome.stdout.trim(), String(96 << 20), describe(outcome));
  } finally {
    await s.ctr.remove(id);
  }
});

test('a run without trouble logs no warning', { skip: !isRunv && 'runv' }, async () => {
  const before = (await s.containerd.log()).length;
  assert.equal((await s.ctr.run({ argv: ['touch', '/file'] })).code, 0);
  const warnings = (await s.containerd.log())
    .slice(before)
    .split('\n')
    .filter((line) => /^\{"level":[4-6]0,/.test(line))
    // once for each sandbox on a machine without KVM
    .filter((line) => !line.includes('software emulation'));
  assert.deepEqual(warnings, []);
});

test('a checkpoint is refused with a sentence', { skip: !isRunv && 'runv' }, async () => {
  const id = await s.ctr.runDetached({ argv: idle });
  try {
    const outcome = await s.ctr.call(['task', 'checkpoint', id]);
    assert.notEqual(outcome.code, 0);
    assert.match(outcome.stderr, /checkpoint.*not (supported|implemented)/i, describe(outcome));
    assert.equal(await s.ctr.status(id), 'RUNNING');
  } finally {
    await s.ctr.remove(id);
  }
});

test(
  'a start that takes long is not taken for dead by another sandbox',
  { skip: !isRunv && 'runv' },
  async () => {
    const runDir = s.containerd.runvRunDir;
    const known = join(runDir, 'kvm-probe.json');
    await s.ctr.run({ argv: ['true'] });
    const found = existsSync(known) ? readFileSync(known) : undefined;
    rmSync(known, { force: true });
    // a probe of KVM waits for this lock
    await using probing = start('flock', ['--no-fork', runDir, 'sleep', '1000']);
    const id = s.ctr.newId();
    await using slow = s.ctr.startRun({ id, argv: ['echo', 'alive'] });
    const journal = join(runDir, s.ctr.namespace, id, 'journal');
    await until('the start has begun', () => existsSync(journal));
    await delay(100);
    const longAgo = Date.now() / 1000 - 60;
    utimesSync(journal, longAgo, longAgo);
    if (found !== undefined) writeFileSync(known, found);
    // looks for what the dead have left, at the latest before it goes
    await s.ctr.remove(await s.ctr.runDetached({ argv: idle }));
    probing.child.kill('SIGKILL');
    const outcome = await slow.outcome;
    assert.equal(outcome.stdout, 'alive\n', describe(outcome));
  },
);

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describe, until } from '../harness/command.ts';
import { ContainerdApi, type Spec } from '../harness/containerd-api.ts';
import { idle } from '../harness/ctr.ts';
import { EventLog } from '../harness/event-log.ts';
import { qemuPid, shimProcesses } from '../harness/runtime-processes.ts';
import { suite } from '../harness/suite.ts';

const s = suite();
const root = '/sys/fs/cgroup';
const mebibyte = 1 << 20;

const cgroupOf = (pid: number) =>
  /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '';
const read = (cgroup: string, file: string) =>
  readFileSync(join(root, cgroup, file), 'utf8').trim();

/** Starts an idle container with a specification that was changed. */
async function runWith(change: (spec: Spec) => void): Promise<string> {
  const id = await s.ctr.create({ argv: idle });
  await new ContainerdApi(s.ctr).changeSpec(id, change);
  await s.ctr.must(s.ctr.taskStartArgs(id, '--detach', '--null-io'));
  return id;
}

test('the host’s processes of a container are in its cgroup, which goes with it', async () => {
  const id = await s.ctr.runDetached({ argv: idle, flags: ['--cpu-shares', '512'] });
  const cgroup = `/${s.ctr.namespace}/${id}`;
  try {
    const pids = [qemuPid(s.containerd, id), ...shimProcesses(s.containerd, id).map((p) => p.pid)];
    assert.ok(pids.length >= 3, 'QEMU, the daemon and its supervisor');
    for (const pid of pids) assert.equal(cgroupOf(pid), cgroup);
    // the guest's memory, touched so far, and what has run
    assert.ok(Number(read(cgroup, 'memory.current')) > 64 * mebibyte);
    assert.match(read(cgroup, 'cpu.stat'), /^usage_usec [1-9]/);
    assert.equal(read(cgroup, 'cpu.weight'), '20', 'of 512 shares');
    const limit = Number(read(cgroup, 'memory.max'));
    assert.ok(limit > 512 * mebibyte && limit <= 1024 * mebibyte, `${limit} of a VM of 512 MiB`);
  } finally {
    await s.ctr.remove(id);
  }
  await until('the cgroup is gone', () => !existsSync(join(root, cgroup)));
});

/** A cgroup above those of containers, as the kubelet makes one for each pod. */
class PodCgroup implements AsyncDisposable {
  readonly path = `/${s.ctr.namespace}-pod`;

  constructor(memoryBytes: number) {
    mkdirSync(join(root, this.path));
    writeFileSync(join(root, this.path, 'memory.max'), String(memoryBytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await until('the pod’s cgroup can be removed', () => {
      try {
        rmdirSync(join(root, this.path));
        return true;
      } catch {
        return false;
      }
    });
  }
}

test('a machine that its pod’s limit ends is told as out of memory, its neighbour lives', async () => {
  // less than the guest could take
  await using pod = new PodCgroup(330 * mebibyte);
  await using events = await EventLog.open(s.ctr);
  const neighbour = await s.ctr.runDetached({ argv: idle });
  const id = await runWith((spec) => {
    spec.linux['cgroupsPath'] = `${pod.path}/greedy`;
    const shm = spec.mounts.find((mount) => mount.destination === '/dev/shm');
    if (shm) shm.options = ['size=480m'];
  });
  try {
    assert.equal(cgroupOf(qemuPid(s.containerd, id)), `${pod.path}/greedy`);
    await using greedy = s.ctr.startExec(id, ['sh', '-c', 'cat /dev/zero >/dev/shm/all']);
    const exit = await events.until('/tasks/exit', id);
    assert.equal(exit.data['exit_status'], 137);
    const grave = (await s.containerd.log()).split('\n').filter((l) => /"level":[56]0/.test(l));
    assert.ok(
      events.of(id).some((event) => event.topic === '/tasks/oom'),
      `the exit says OOM: ${read(pod.path, 'memory.events').replaceAll('\n', ', ')}; ${grave.join('\n')}`,
    );
    assert.notEqual((await greedy.outcome).code, 0);
    assert.match(await s.containerd.log(), /out of memory/);
    assert.match(read(pod.path, 'memory.events'), /^oom_kill [1-9]/m);

    const alive = await s.ctr.exec(neighbour, ['echo', 'alive']);
    assert.equal(alive.stdout, 'alive\n', describe(alive));
    assert.match(read(`${s.ctr.namespace}/${neighbour}`, 'memory.events'), /^oom_kill 0$/m);
  } finally {
    await s.ctr.remove(neighbour);
    await s.ctr.remove(id);
  }
});

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { delay, describe, until } from '../harness/command.ts';
import { ContainerdApi } from '../harness/containerd-api.ts';
import { suite } from '../harness/suite.ts';

const s = suite();
const counting = ['sh', '-c', 'n=0; while :; do n=$((n + 1)); echo $n; sleep 0.1; done'];

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`containerd ended with ${signal} and started again: the container goes on`, async () => {
    const log = join(s.containerd.dir, `counting-${signal}`);
    const count = async () => Number((await readFile(log, 'utf8')).trim().split('\n').at(-1));
    const flags = ['--log-uri', `file://${log}`];
    const id = await s.ctr.runDetached({ argv: counting, flags });
    await until('it counts', async () => (await count().catch(() => 0)) > 3);

    await s.containerd.terminate(signal);
    const down = await count();
    await until('it counts on without containerd', async () => (await count()) > down + 3);
    await s.containerd.launch();

    assert.equal(await s.ctr.status(id), 'RUNNING');
    const up = await count();
    await until('it counts on', async () => (await count()) > up + 3);
    const exec = await s.ctr.exec(id, ['sh', '-c', 'cat; exit 4'], { stdin: 'through exec\n' });
    assert.equal(exec.stdout, 'through exec\n', describe(exec));
    assert.equal(exec.code, 4);
    const waiting = new ContainerdApi(s.ctr).waitTask(id);
    await s.ctr.kill(id, 'SIGKILL');
    assert.equal(await waiting, 137);
    await s.ctr.must(['task', 'delete', id]);
    await s.ctr.must(['container', 'delete', id]);
    const lines = (await readFile(log, 'utf8')).trim().split('\n').map(Number);
    assert.deepEqual(
      lines,
      lines.map((_, index) => index + 1),
      'no line was lost or doubled',
    );
  });
}

test('stdin and stdout through FIFOs work after containerd was restarted', async () => {
  const script = 'read a; echo got $a; read b; echo got $b; exit 6';
  const id = await s.ctr.runDetached({ argv: ['sh', '-c', script] });
  await s.containerd.restart('SIGKILL');
  await using attach = s.ctr.startCall(['task', 'attach', id], { keepStdin: true });
  attach.write('one\n');
  await attach.untilStdout(/got one/);
  attach.write('two\n');
  const outcome = await attach.outcome;
  assert.equal(outcome.stdout, 'got one\ngot two\n', describe(outcome));
  assert.equal(outcome.code, 6);
  await s.ctr.remove(id);
});

test('the exit of a container that ended while containerd was down is known afterwards', async () => {
  const id = await s.ctr.runDetached({ argv: ['sh', '-c', 'sleep 3; exit 5'] });
  await s.containerd.terminate('SIGKILL');
  await delay(6000);
  await s.containerd.launch();
  await s.ctr.untilStatus(id, 'STOPPED', 20_000);
  const deleted = await s.ctr.call(['task', 'delete', id]);
  assert.match(deleted.stderr, /exit with non-zero exit code 5/, describe(deleted));
  await s.ctr.remove(id);
});

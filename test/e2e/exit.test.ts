import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delay, describe } from '../harness/command.ts';
import { idle } from '../harness/ctr.ts';
import { suite } from '../harness/suite.ts';

const s = suite();

for (const status of [0, 42, 255]) {
  test(`exit status ${status} of the main process comes back`, async () => {
    const outcome = await s.ctr.run({ argv: ['sh', '-c', `echo ran; exit ${status}`] });
    assert.equal(outcome.stdout, 'ran\n', describe(outcome));
    assert.equal(outcome.code, status, describe(outcome));
  });
}

test('a main process killed with SIGKILL ends with 137', async () => {
  const id = s.ctr.newId();
  await using main = s.ctr.startRun({ id, argv: ['sh', '-c', 'echo up; sleep 1000'] });
  await main.untilStdout(/up/);
  await s.ctr.kill(id, 'SIGKILL');
  assert.equal((await main.outcome).code, 137);
});

test('a main process that dies of SIGTERM ends with 143', async () => {
  const id = s.ctr.newId();
  // the first process of a PID namespace is immune to signals it does not handle: pid_namespaces(7)
  const script = 'trap "exit 143" TERM; echo up; while :; do sleep 0.1; done';
  await using main = s.ctr.startRun({ id, argv: ['sh', '-c', script] });
  await main.untilStdout(/up/);
  await s.ctr.kill(id, 'SIGTERM');
  assert.equal((await main.outcome).code, 143);
});

test('SIGTERM to ctr run reaches the main process', async () => {
  const script = 'trap "echo bye; exit 7" TERM; echo up; while :; do sleep 0.1; done';
  await using main = s.ctr.startRun({ argv: ['sh', '-c', script] });
  await main.untilStdout(/up/);
  // ctr begins to forward signals only some time after the process has started
  await delay(1000);
  main.kill('SIGTERM');
  const outcome = await main.outcome;
  assert.equal(outcome.code, 7, describe(outcome));
  assert.equal(outcome.stdout, 'up\nbye\n');
});

test('each signal arrives once', async () => {
  const id = s.ctr.newId();
  const script = `
    usr1=0; hup=0
    trap 'usr1=$((usr1 + 1)); echo usr1 $usr1' USR1
    trap 'hup=$((hup + 1)); echo hup $hup' HUP
    trap 'echo total $usr1 $hup; exit 0' TERM
    echo up
    while :; do sleep 0.02; done`;
  await using main = s.ctr.startRun({ id, argv: ['sh', '-c', script] });
  await main.untilStdout(/up/);
  for (let n = 1; n <= 5; n++) {
    await s.ctr.kill(id, 'SIGUSR1');
    await main.untilStdout(new RegExp(`usr1 ${n}\n`));
  }
  for (let n = 1; n <= 3; n++) {
    await s.ctr.kill(id, '1');
    await main.untilStdout(new RegExp(`hup ${n}\n`));
  }
  // time for a second delivery, were there one
  await delay(300);
  await s.ctr.kill(id, 'SIGTERM');
  const outcome = await main.outcome;
  assert.match(outcome.stdout, /^total 5 3$/m, describe(outcome));
});

test('exec: exit statuses and deaths by signal come back, and the container goes on', async () => {
  const id = await s.ctr.runDetached({ argv: idle });
  try {
    for (const status of [0, 42, 255]) {
      const outcome = await s.ctr.exec(id, ['sh', '-c', `echo ran; exit ${status}`]);
      assert.equal(outcome.stdout, 'ran\n', describe(outcome));
      assert.equal(outcome.code, status, describe(outcome));
    }
    for (const [signal, status] of [
      ['SIGKILL', 137],
      ['SIGTERM', 143],
      ['SIGSEGV', 139],
    ] as const) {
      const execId = s.ctr.newId('e');
      const argv = ['sh', '-c', 'echo up; exec sleep 1000'];
      await using exec = s.ctr.startExec(id, argv, { id: execId });
      await exec.untilStdout(/up/);
      await s.ctr.kill(id, signal, '--exec-id', execId);
      const outcome = await exec.outcome;
      assert.equal(outcome.code, status, describe(outcome));
    }
    assert.equal(await s.ctr.status(id), 'RUNNING');
  } finally {
    await s.ctr.remove(id);
  }
});

test('kill --all reaches every process of the container', async () => {
  const id = s.ctr.newId();
  const script = `
    (trap 'echo child; exit 0' USR1; while :; do sleep 0.02; done) &
    trap 'echo parent' USR1
    sleep 0.2; echo up; wait; wait; echo end`;
  await using main = s.ctr.startRun({ id, argv: ['sh', '-c', script] });
  await main.untilStdout(/up/);
  await s.ctr.kill(id, 'SIGUSR1', '--all');
  const outcome = await main.outcome;
  assert.match(outcome.stdout, /^child$/m, describe(outcome));
  assert.match(outcome.stdout, /^parent$/m, describe(outcome));
});

test('processes left in the background end with the main process', async () => {
  const outcome = await s.ctr.run({ argv: ['sh', '-c', 'sleep 1000 >/dev/null 2>&1 & exit 3'] });
  assert.equal(outcome.code, 3, describe(outcome));
});

test('signalling a process that has exited is an error that says so', async () => {
  const id = await s.ctr.runDetached({ argv: ['sh', '-c', 'exit 5'] });
  try {
    await s.ctr.untilStatus(id, 'STOPPED');
    const outcome = await s.ctr.call(['task', 'kill', '-s', 'SIGTERM', id]);
    assert.notEqual(outcome.code, 0);
    assert.match(outcome.stderr, /process already finished|not found/);
    const deleted = await s.ctr.call(['task', 'delete', id]);
    assert.equal(deleted.code, 0, describe(deleted));
    assert.match(deleted.stderr, /exit with non-zero exit code 5/);
  } finally {
    await s.ctr.remove(id);
  }
});

import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { describe, must, patient, until, type Running } from '../harness/command.ts';
import { allProcesses } from '../harness/proc.ts';
import { idle } from '../harness/ctr.ts';
import { suite } from '../harness/suite.ts';

/** One container that all tests of this file run further processes in. */
let id = '';
const s = suite({
  prepare: async ({ ctr }) => {
    id = await ctr.runDetached({ argv: idle });
  },
});

test('exec without a terminal has separate stdout and stderr and no tty', async () => {
  const script = 'echo out; echo err >&2; tty; test -t 0 || echo none';
  const outcome = await s.ctr.exec(id, ['sh', '-c', script]);
  assert.equal(outcome.stdout, 'out\nnot a tty\nnone\n', describe(outcome));
  assert.equal(outcome.stderr, 'err\n');
});

test('exec with a terminal has one, and lines end as terminals end them', async () => {
  await using exec = s.ctr.startExecTty(id, ['sh', '-c', 'tty; echo err >&2; sleep 0.5; exit 9']);
  const outcome = await exec.outcome;
  // ctr's own terminal puts one more \r before each line's end
  assert.match(outcome.stdout, /^\/dev\/(pts\/\d+|console)\r+\nerr\r+\n/, describe(outcome));
  assert.equal(outcome.code, 9);
});

test('what is typed at the terminal arrives, is echoed, and ^C interrupts', async () => {
  const script = 'trap "echo interrupted; exit 5" INT; echo up; cat; sleep 1000';
  await using exec = s.ctr.startExecTty(id, ['sh', '-c', script]);
  await exec.untilStdout(/up/);
  exec.write('typed\n');
  await exec.untilStdout(/typed\r+\ntyped\r+\n/);
  exec.write('\x03');
  const outcome = await exec.outcome;
  assert.match(outcome.stdout, /interrupted/, describe(outcome));
  assert.equal(outcome.code, 5);
});

/** Finds the terminal that `ctr` under script(1) has, and gives it another size. */
async function resize(under: Running, rows: number, columns: number): Promise<void> {
  const terminal = await until('ctr has a terminal', () => {
    const all = allProcesses();
    const ctr = all.find(
      (p) => p.parent === under.child.pid && p.argv.some((word) => word.endsWith('ctr')),
    );
    const path = ctr && readlinkSync(`/proc/${ctr.pid}/fd/0`);
    return path?.startsWith('/dev/pts/') === true && path;
  });
  await must('stty', ['-F', terminal, 'rows', String(rows), 'cols', String(columns)]);
}

test('a process sees its terminal change size', async () => {
  const script = 'trap "stty size" WINCH; echo up; while :; do sleep 0.05; done';
  const execId = s.ctr.newId('e');
  await using exec = s.ctr.startExecTty(id, ['sh', '-c', script], { id: execId });
  await exec.untilStdout(/up/);
  await resize(exec, 33, 101);
  await exec.untilStdout(/^33 101\r+$/m);
  await resize(exec, 50, 222);
  await exec.untilStdout(/^50 222\r+$/m);
  await s.ctr.kill(id, 'SIGKILL', '--exec-id', execId);
  assert.equal((await exec.outcome).code, 137);
});

test('the main process with a terminal has it, its size and its exit status', async () => {
  // stty gives a terminal its rows and then its columns, and ctr gives it a size at the start
  const script = `
    trap seen=1 WINCH; echo $TERM; tty; echo up
    until [ "$seen" ] && stty size | grep ' 77$'; do sleep 0.05; done; exit 3`;
  await using main = s.ctr.startRunTty({ argv: ['sh', '-c', script] });
  await main.untilStdout(/^xterm\r+\n\/dev\/(pts\/\d+|console)\r+\n(.*\n)?up/);
  await resize(main, 21, 77);
  const outcome = await main.outcome;
  assert.match(outcome.stdout, /^21 77\r+$/m, describe(outcome));
  assert.equal(outcome.code, 3);
});

test('exec of a command that is not there fails at once and names it', async () => {
  const outcome = await s.ctr.exec(id, ['/no/such/command']);
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /\/no\/such\/command.*no such file or directory/, describe(outcome));
  assert.equal(outcome.stderr.trim().split('\n').length, 1, describe(outcome));
  assert.ok(outcome.elapsedMs < patient(10_000), describe(outcome));
});

test('exec of a command that is not executable fails at once and says so', async () => {
  const outcome = await s.ctr.exec(id, ['/etc/passwd']);
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /permission denied/, describe(outcome));
});

test('run of a command that is not there fails at once, names it and leaves nothing', async () => {
  const failed = s.ctr.newId();
  const outcome = await s.ctr.run({ id: failed, argv: ['no-such-command'] });
  assert.notEqual(outcome.code, 0);
  assert.match(
    outcome.stderr,
    /no-such-command.*(executable file not found in \$PATH|no such file or directory)/,
    describe(outcome),
  );
  assert.ok(!(await s.ctr.containers()).includes(failed), 'the container is still there');
});

test('exec takes a working directory and a user of its own', async () => {
  const flags = ['--cwd', '/work/dir', '--user', '1000:2000'];
  const outcome = await s.ctr.exec(id, ['sh', '-c', 'pwd; id -u; id -g'], { flags });
  assert.equal(outcome.stdout, '/work/dir\n1000\n2000\n', describe(outcome));
});

test('a second exec with the id of a living one is refused', async () => {
  const execId = s.ctr.newId('e');
  await using first = s.ctr.startExec(id, ['sh', '-c', 'echo up; sleep 1000'], { id: execId });
  await first.untilStdout(/up/);
  const second = await s.ctr.exec(id, ['true'], { id: execId });
  assert.notEqual(second.code, 0);
  assert.match(second.stderr, /already exists/, describe(second));
  await s.ctr.kill(id, 'SIGKILL', '--exec-id', execId);
  assert.equal((await first.outcome).code, 137);
});

test('an exec id may be used again after its process has gone', async () => {
  const execId = s.ctr.newId('e');
  for (const status of [3, 4]) {
    const outcome = await s.ctr.exec(id, ['sh', '-c', `exit ${status}`], { id: execId });
    assert.equal(outcome.code, status, describe(outcome));
  }
});

test('ten execs at once keep their input, output and exit status apart', async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 10 }, (_, n) =>
      s.ctr.exec(id, ['sh', '-c', `cat; seq 1 2000; echo end ${n}; exit ${100 + n}`], {
        stdin: `input ${n}\n`,
      }),
    ),
  );
  outcomes.forEach((outcome, n) => {
    assert.equal(outcome.code, 100 + n, describe(outcome));
    assert.ok(outcome.stdout.startsWith(`input ${n}\n1\n2\n`), describe(outcome));
    assert.ok(outcome.stdout.endsWith(`\n2000\nend ${n}\n`), describe(outcome));
  });
});

test('a detached exec runs on after ctr has gone', async () => {
  const execId = s.ctr.newId('e');
  // not FIFOs: ctr would leave those behind, whatever the runtime does
  const flags = ['--detach', '--log-uri', `file://${s.containerd.dir}/detached.log`];
  const script = 'echo $$ >/tmp/detached; exec sleep 1000';
  const outcome = await s.ctr.exec(id, ['sh', '-c', script], { id: execId, flags });
  assert.equal(outcome.code, 0, describe(outcome));
  await until('it runs', async () => {
    const alive = await s.ctr.exec(id, ['sh', '-c', 'kill -0 $(cat /tmp/detached)']);
    return alive.code === 0;
  });
  await s.ctr.kill(id, 'SIGKILL', '--exec-id', execId);
  await until('it has ended', async () => {
    const alive = await s.ctr.exec(id, ['sh', '-c', 'kill -0 $(cat /tmp/detached)']);
    return alive.code !== 0;
  });
});

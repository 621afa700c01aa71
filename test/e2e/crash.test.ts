import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { delay, describe, must, patient, until } from '../harness/command.ts';
import { idle } from '../harness/ctr.ts';
import { isRunv } from '../harness/environment.ts';
import { EventLog } from '../harness/event-log.ts';
import { assertNothingLeft, hostState } from '../harness/leaks.ts';
import { qemuPid, shimPid, shimProcesses } from '../harness/runtime-processes.ts';
import { suite } from '../harness/suite.ts';

const s = suite();
/** A journal younger than that may belong to a `start` under way. */
const staleAfterMs = 6000;
const runvOnly = { skip: !isRunv && 'runv' };

/** FIFOs of a client that has gone are nobody's to remove when containerd deletes the task itself. */
const detached = ['--null-io'];

/**
 * Lets a container die by `strike` and checks what containerd learns and what can be done then.
 * The suite's own check afterwards finds what is left over.
 */
async function dies(
  t: TestContext,
  strike: (id: string) => void | Promise<void>,
  flags: readonly string[] = [],
): Promise<void> {
  await using events = await EventLog.open(s.ctr);
  const id = await s.ctr.runDetached({ argv: idle, flags: [...detached, ...flags] });
  const struckMs = performance.now();
  await strike(id);
  // the deadline is for machines under load; the time it took is told
  const exit = await events.until('/tasks/exit', id, 15_000);
  t.diagnostic(`containerd learnt of it in ${Math.round(performance.now() - struckMs)} ms`);
  assert.notEqual(exit.data['exit_status'] ?? 0, 0);

  // the first exit may be that of an exec, whose container is told of a moment later
  await until('the task has ended', async () => (await s.ctr.status(id)) !== 'RUNNING');
  // containerd itself deletes the task of a shim that died
  const deleted = await s.ctr.call(['task', 'delete', id]);
  assert.ok(deleted.code === 0 || /not found/.test(deleted.stderr), describe(deleted));
  await s.ctr.must(['container', 'delete', id]);
  await delay(500);
  const exits = events.of(id).filter((e) => e.topic === '/tasks/exit' && e.data['id'] === id);
  assert.equal(exits.length, 1, 'one exit event');
}

test('kill -9 of the shim: containerd learns of it, and nothing is left', async (t) => {
  await dies(t, (id) => void process.kill(shimPid(s.containerd, id), 'SIGKILL'));
});

test('kill -9 of QEMU: containerd learns of it, and nothing is left', runvOnly, async (t) => {
  await dies(t, (id) => void process.kill(qemuPid(s.containerd, id), 'SIGKILL'));
});

test(
  'a panic of the guest’s kernel: containerd learns of it, and nothing is left',
  runvOnly,
  async (t) => {
    const panic = async (id: string) => {
      const script = 'mount -o remount,rw /proc 2>/dev/null; echo c >/proc/sysrq-trigger';
      await using exec = s.ctr.startExec(id, ['sh', '-c', script]);
      await exec.outcome.catch(() => {});
    };
    await dies(t, panic, ['--privileged']);
  },
);

test('QEMU and shim killed together leave nothing', runvOnly, async (t) => {
  await dies(t, (id) => {
    const pids = [qemuPid(s.containerd, id), shimPid(s.containerd, id)];
    for (const pid of pids) process.kill(pid, 'SIGKILL');
  });
});

test(
  'a client in the foreground ends, with an error, when the machine dies',
  runvOnly,
  async () => {
    const id = s.ctr.newId();
    await using main = s.ctr.startRun({ id, argv: ['sh', '-c', 'echo up; sleep 1000'] });
    await main.untilStdout(/up/);
    process.kill(qemuPid(s.containerd, id), 'SIGKILL');
    const outcome = await main.outcome;
    assert.notEqual(outcome.code, 0, describe(outcome));
  },
);

test('a client of an exec ends, with an error, when the machine dies', runvOnly, async () => {
  const id = await s.ctr.runDetached({ argv: idle, flags: detached });
  await using exec = s.ctr.startExec(id, ['sh', '-c', 'echo up; sleep 1000']);
  await exec.untilStdout(/up/);
  process.kill(qemuPid(s.containerd, id), 'SIGKILL');
  const outcome = await exec.outcome;
  assert.notEqual(outcome.code, 0, describe(outcome));
  await s.ctr.remove(id);
});

test('a container whose machine died starts again with what it had synced', runvOnly, async () => {
  const script =
    'cat /kept 2>/dev/null && exit; echo kept | dd of=/kept conv=fsync 2>/dev/null; echo synced; sleep 1000';
  const id = await s.ctr.create({ argv: ['sh', '-c', script] });
  await using first = s.ctr.startCall(s.ctr.taskStartArgs(id));
  await first.untilStdout(/synced/);
  process.kill(qemuPid(s.containerd, id), 'SIGKILL');
  const died = await first.outcome;
  assert.notEqual(died.code, 0, describe(died));
  const second = await s.ctr.call(s.ctr.taskStartArgs(id));
  assert.equal(second.stdout, 'kept\n', describe(second));
  await s.ctr.remove(id);
});

test('a container that died takes no other one with it', async () => {
  const [first, second] = await Promise.all([
    s.ctr.runDetached({ argv: idle, flags: detached }),
    s.ctr.runDetached({ argv: idle, flags: detached }),
  ]);
  for (const { pid } of shimProcesses(s.containerd, first)) process.kill(pid, 'SIGKILL');
  await until('the first is gone', async () => (await s.ctr.status(first)) !== 'RUNNING');
  assert.equal((await s.ctr.exec(second, ['echo', 'alive'])).stdout, 'alive\n');
  await s.ctr.remove(first);
  await s.ctr.remove(second);
});

/** Milliseconds after the start of ctr, from before the shim exists to after the process runs. */
const steps = [20, 40, 60, 90, 130, 180, 250, 350, 500, 700, 1000, 1400, 2000, 3000];

// runc leaves cgroups and sockets in these cases
test(
  'kill -9 of the shim at any step of starting leaves nothing',
  { ...runvOnly, timeout: patient(400_000) },
  async (t) => {
    for (const afterMs of steps) {
      const before = hostState(s.containerd);
      const id = s.ctr.newId();
      await using main = s.ctr.startRun({ id, argv: idle, flags: detached });
      await delay(afterMs);
      // The one that starts and the one that stays; not those that watch over them and clean up.
      // Until ctr has ended: where the first hands over to the second, that may not be there yet.
      let ended = false;
      const ending = main.outcome.finally(() => (ended = true));
      await until('the shim is dead and ctr has ended', () => {
        for (const { pid, argv } of shimProcesses(s.containerd, id)) {
          const watches = argv[0]?.endsWith('sh') ?? true;
          if (watches || !(argv.includes('start') || argv.includes('serve'))) continue;
          try {
            process.kill(pid, 'SIGKILL');
          } catch {
            // ended by itself meanwhile
          }
        }
        return ended;
      });
      const outcome = await ending;
      assert.notEqual(outcome.code, 0, `after ${afterMs} ms: ${describe(outcome)}`);
      if ((await s.ctr.containers()).includes(id)) await s.ctr.remove(id);
      await assertNothingLeft(s.containerd, before).catch((e: unknown) => {
        throw new Error(`killed after ${afterMs} ms`, { cause: e });
      });
      t.diagnostic(
        `${afterMs} ms: ${outcome.stderr.trim().split('\n').at(-1)?.slice(0, 120) ?? ''}`,
      );
    }
  },
);

test('what is left by a start killed with all that watched it, the next start removes', async () => {
  const before = hostState(s.containerd);
  const id = s.ctr.newId();
  await using main = s.ctr.startRun({ id, argv: idle, flags: detached });
  const pids = await until('there is a shim', () => {
    const found = shimProcesses(s.containerd, id).map((p) => p.pid);
    return found.length > 0 && found;
  });
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ended by itself meanwhile
    }
  }
  await main.outcome;
  if ((await s.ctr.containers()).includes(id)) await s.ctr.remove(id);
  await delay(staleAfterMs);
  await s.ctr.sh('true');
  await assertNothingLeft(s.containerd, before);
});

test(
  'a shim that containerd never calls ends by itself, whoever has looked whether it lives',
  runvOnly,
  async () => {
    const before = hostState(s.containerd);
    const like = await s.ctr.runDetached({ argv: idle, flags: detached });
    const spec = await readFile(join(s.containerd.bundleDir(like), 'config.json'), 'utf8');
    await s.ctr.remove(like);
    const id = s.ctr.newId();
    const bundle = await mkdtemp(join(s.containerd.dir, 'bundle-'));
    await writeFile(join(bundle, 'config.json'), spec.replaceAll(like, id));
    const { namespace } = s.ctr;
    const args = ['-namespace', namespace, '-id', id, '-address', s.containerd.socket, 'start'];
    const address = await must(join(s.containerd.dir, 'bin/containerd-shim-runv-v2'), args, {
      cwd: bundle,
      env: { ...process.env, RUNV_CONFIG: s.containerd.runvConfigPath },
    });
    const path = address.replace('unix://', '');
    const looking = connect(path);
    await once(looking, 'connect');
    looking.destroy();
    await until('it has ended', () => !existsSync(path), 60_000);
    await rm(bundle, { recursive: true });
    await assertNothingLeft(s.containerd, before);
  },
);

test('kill -9 of QEMU while it boots is a clear error and leaves nothing', runvOnly, async () => {
  const id = s.ctr.newId();
  await using main = s.ctr.startRun({ id, argv: idle, flags: detached });
  const pid = await until('there is a QEMU', () => {
    try {
      return qemuPid(s.containerd, id);
    } catch {
      return undefined;
    }
  });
  process.kill(pid, 'SIGKILL');
  const outcome = await main.outcome;
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /QEMU|virtual machine/, describe(outcome));
  assert.ok(outcome.elapsedMs < patient(15_000), describe(outcome));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../harness/command.ts';
import { eachVersion, type Pod, usualVersions } from '../harness/cri.ts';

/** Counts SIGTERM, says so, and goes on. */
const deaf = ['sh', '-c', 'trap "echo asked" TERM; echo ready; while :; do sleep 0.1; done'];
/** Takes a moment for its farewell. */
const polite = [
  'sh',
  '-c',
  'trap "sleep 1; echo bye; exit 7" TERM; echo ready; while :; do sleep 0.1; done',
];

/** Runs a container until it is ready for signals. */
async function ready(pod: Pod, command: readonly string[]): Promise<string> {
  const id = await pod.run({ command });
  await until('the process is ready', async () => (await pod.logs(id)) === 'ready\n');
  return id;
}

async function seconds(step: Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await step;
  return (performance.now() - startedMs) / 1000;
}

eachVersion({ versions: usualVersions }, (s) => {
  test('a process that handles SIGTERM ends in its own time, with its own status and last words', async () => {
    await s.withPod(async (pod) => {
      const id = await ready(pod, polite);
      assert.ok((await seconds(pod.stop(id, 60))) < 50, 'it waited for the whole grace period');
      const { exit_code: code, reason } = await pod.status(id);
      assert.deepEqual([code, reason], [7, 'Error']);
      assert.equal(await pod.logs(id), 'ready\nbye\n');
    });
  });

  test('a process that ignores SIGTERM has its grace period, then is killed, it alone', async () => {
    await s.withPod(async (pod) => {
      const other = await pod.run();
      const id = await ready(pod, deaf);
      const took = await seconds(pod.stop(id, 3));
      assert.ok(took >= 3, `killed after ${took} s`);
      assert.equal((await pod.status(id)).exit_code, 137);
      assert.equal(await pod.logs(id), 'ready\nasked\n');
      assert.equal((await pod.status(other)).state, 'CONTAINER_RUNNING');
    });
  });

  test('without a grace period a process is killed at once', async () => {
    await s.withPod(async (pod) => {
      const id = await ready(pod, polite);
      await pod.stop(id, 0);
      assert.equal((await pod.status(id)).exit_code, 137);
      assert.equal(await pod.logs(id), 'ready\n');
    });
  });

  test('a hook runs to its end before the process is asked to stop, and another in its grace period', async () => {
    await s.withPod(async (pod) => {
      const script =
        'trap "echo asked" TERM; echo ready; while [ ! -e /done ]; do sleep 0.1; done; exit 5';
      const id = await ready(pod, ['sh', '-c', script]);
      // kubelet runs preStop with ExecSync, then stops the container with what is left of the time
      const preStop = await pod.exec(id, ['sh', '-c', 'sleep 1; echo drained; exit 3']);
      assert.deepEqual(preStop, { code: 3, stdout: 'drained\n', stderr: '' });
      assert.equal(await pod.logs(id), 'ready\n');
      const stopped = pod.stop(id, 60);
      await until('it was asked', async () => (await pod.logs(id)) === 'ready\nasked\n');
      // one that still runs ends with the container
      const late = pod.exec(id, ['sleep', '1000']);
      assert.equal(await pod.execSh(id, 'echo still here; touch /done'), 'still here\n');
      await stopped;
      assert.equal((await pod.status(id)).exit_code, 5);
      assert.equal((await late).code, 137);
    });
  });
});

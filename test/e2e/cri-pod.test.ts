import assert from 'node:assert/strict';
import { test } from 'node:test';
import { criSuite } from '../harness/cri.ts';

const s = criSuite();

test('a pod runs a container, which ends with its own status and log', async () => {
  await s.withPod(async (pod) => {
    assert.equal(await s.podState(pod.id), 'SANDBOX_READY');
    const id = await pod.run({ command: ['sh', '-c', 'uname -r; echo error >&2; exit 3'] });
    const status = await pod.untilExited(id);
    assert.equal(status.exit_code, 3);
    assert.match(await pod.logs(id, 'stdout'), /-runv\n$/);
    assert.equal(await pod.logs(id, 'stderr'), 'error\n');
  });
});

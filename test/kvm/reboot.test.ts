import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../harness/command.ts';
import { PrivateContainerd } from '../harness/containerd.ts';
import { skipped } from '../harness/skip.ts';
import { type BeforeReboot, bootIdNow, stateFile } from './rebooted.ts';

test('what pods left that ran when the host went down is removed at the first start', async (t) => {
  if (!existsSync(stateFile)) return skipped(t, 'a reboot before this run');
  const state = JSON.parse(readFileSync(stateFile, 'utf8')) as BeforeReboot;
  assert.notEqual(state.bootId, bootIdNow());
  // containerd's own, too, is on a file system that a reboot empties
  await rm(join(state.dir, 'state'), { recursive: true });
  await using containerd = await PrivateContainerd.reopen(state.dir);
  const { ctr } = containerd;
  const sandboxes = join(containerd.runvDataDir, 'sandboxes');
  const left = () => (existsSync(sandboxes) ? readdirSync(join(sandboxes, ctr.namespace)) : []);
  assert.deepEqual(left().sort(), [...state.ids].sort(), 'their disks are still there');
  assert.equal((await ctr.must(['task', 'ls', '-q'])).trim(), '');

  assert.equal(await ctr.sh('echo first', { id: 'first' }), 'first\n');
  await until('the disks are gone', () => readdirSync(sandboxes).length === 0);

  // the containers themselves are containerd's, and start again
  const [id = '', other = ''] = state.ids;
  await ctr.must(ctr.taskStartArgs(id, '--detach', '--null-io'));
  assert.equal((await ctr.exec(id, ['echo', 'again'])).stdout, 'again\n');
  await ctr.remove(id);
  await ctr.remove(other);
  await until('nothing is left', () => readdirSync(sandboxes).length === 0);
});

/**
 * Before the tests: leaves pods running and reboots the host without a word to them. The host comes
 * up again with the same disk, and `reboot.test.ts` looks at what it finds.
 */
import { writeFile } from 'node:fs/promises';
import { must } from '../harness/command.ts';
import { PrivateContainerd } from '../harness/containerd.ts';
import { idle } from '../harness/ctr.ts';
import { busyboxImage } from '../harness/image.ts';
import { bootIdNow, type BeforeReboot, rebootedConfig, stateFile } from './rebooted.ts';

const containerd = await PrivateContainerd.start(rebootedConfig, { base: '/var/lab' });
await containerd.import(await busyboxImage());
const ids = [
  await containerd.ctr.runDetached({ argv: idle }),
  await containerd.ctr.runDetached({ argv: idle }),
];
const state: BeforeReboot = { dir: containerd.dir, ids, bootId: bootIdNow() };
await writeFile(stateFile, JSON.stringify(state));
console.log(`lab: rebooting with ${ids.length} containers running`);
// what init waits for, so that a reboot is taken for one that was meant
await writeFile('/var/lab/reboot', '');
await must('sync', []);
await writeFile('/proc/sysrq-trigger', 'b');

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { must } from '../harness/command.ts';
import { PrivateContainerd } from '../harness/containerd.ts';
import { idle } from '../harness/ctr.ts';
import { busyboxImage } from '../harness/image.ts';
import { assertNothingLeft, hostState, type HostState } from '../harness/leaks.ts';

const pool = 'runv-test-pool';
const snapshotter = ['--snapshotter', 'devmapper'];
/** 512 B sectors; 64 KiB blocks of the pool. */
const sectorBytes = 512;
const dataBytes = 2 ** 31;
const blockSectors = 128;

let dir: string;
let loops: string[] = [];
let containerd: PrivateContainerd;
let initial: HostState;

async function loop(name: string, sizeBytes: number): Promise<string> {
  const file = join(dir, name);
  await writeFile(file, '');
  await truncate(file, sizeBytes);
  return (await must('losetup', ['--find', '--show', file])).trim();
}

/** Names of the thin devices that are there. */
async function thinDevices(): Promise<string[]> {
  const lines = (await must('dmsetup', ['ls', '--target', 'thin'])).trim().split('\n');
  return lines.map((line) => line.split('\t')[0] ?? '').filter((name) => name.startsWith(pool));
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'runv-pool-'));
  loops = [await loop('data', dataBytes), await loop('meta', 2 ** 26)];
  const [data = '', meta = ''] = loops;
  const table = `0 ${dataBytes / sectorBytes} thin-pool ${meta} ${data} ${blockSectors} 0 1 skip_block_zeroing`;
  await must('dmsetup', ['create', pool, '--table', table]);
  containerd = await PrivateContainerd.start({}, { thinPool: pool });
  await containerd.import(await busyboxImage(), 'devmapper');
  initial = hostState(containerd);
});

after(async () => {
  await containerd?.[Symbol.asyncDispose]();
  for (const name of await thinDevices()) await must('dmsetup', ['remove', '--retry', name]);
  await must('dmsetup', ['remove', '--retry', pool]);
  for (const path of loops) await must('losetup', ['--detach', path]);
  await rm(dir, { recursive: true, force: true });
});

test('a thin device is the container’s root: the host neither mounts nor copies it', async () => {
  const { ctr } = containerd;
  const id = await ctr.runDetached({ argv: idle, flags: snapshotter });
  try {
    const exec = await ctr.exec(id, ['sh', '-c', "grep ' / ' /proc/mounts; df -k / | tail -1"]);
    assert.match(exec.stdout, /^\S+ \/ ext4 rw/m, exec.stderr);
    // base_image_size
    const kilobytes = Number(exec.stdout.trim().split('\n').at(-1)?.trim().split(/\s+/)[1]);
    assert.ok(kilobytes > 150_000 && kilobytes < 262_145, exec.stdout);
    const mounts = readFileSync('/proc/mounts', 'utf8');
    assert.doesNotMatch(mounts, new RegExp(`^/dev/mapper/${pool}`, 'm'));
    const made = await must('find', [containerd.runvDataDir, '-type', 'f']);
    assert.equal(made, '', 'neither an image nor a scratch disk');
  } finally {
    await ctr.remove(id);
  }
  await assertNothingLeft(containerd, initial);
});

test('what a container writes is in its snapshot, and in no other', async () => {
  const { ctr } = containerd;
  const before = await thinDevices();
  const id = await ctr.runDetached({ argv: idle, flags: snapshotter });
  try {
    const write = await ctr.exec(id, ['sh', '-c', 'echo kept >/kept; sync; ls /odd | wc -l']);
    assert.equal(write.code, 0, write.stderr);
    const script = 'ls /kept 2>&1; ls /odd | wc -l';
    const other = await ctr.sh(script, { flags: snapshotter });
    assert.match(other, /No such file/);
    assert.equal(other.trim().split('\n').at(-1), write.stdout.trim());

    await ctr.kill(id, 'SIGKILL');
    await ctr.untilStatus(id, 'STOPPED');
    await ctr.must(['task', 'delete', id]).catch(() => undefined); // its status is not 0
    const [device, ...others] = (await thinDevices()).filter((name) => !before.includes(name));
    assert.ok(device !== undefined && others.length === 0, 'one snapshot more');
    assert.equal(await must('debugfs', ['-R', 'cat /kept', `/dev/mapper/${device}`]), 'kept\n');
  } finally {
    await ctr.remove(id);
  }
  await assertNothingLeft(containerd, initial);
});

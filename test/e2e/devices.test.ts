import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { describe } from '../harness/command.ts';
import { isRunv } from '../harness/environment.ts';
import { LoopDevice, makeExt4, readFromExt4, whileMounted } from '../harness/loop-device.ts';
import { qemuPid } from '../harness/runtime-processes.ts';
import { suite } from '../harness/suite.ts';

const s = suite();
const mebibyte = 1 << 20;

let count = 0;
const newFile = () => join(s.containerd.dir, `disk-${(count += 1)}.img`);

async function bytesAt(file: string, position: number, length: number): Promise<string> {
  await using handle = await open(file, 'r');
  const buffer = Buffer.alloc(length);
  await handle.read(buffer, 0, length, position);
  return buffer.toString('latin1');
}

test('--device gives a node with working numbers, the right size and the host’s mode', async () => {
  await using disk = await LoopDevice.attach(newFile(), { sizeBytes: 33 * mebibyte });
  await chmod(disk.path, 0o640);
  const { path } = disk;
  const script = `
    stat -c '%F %a %u:%g' ${path}
    size=$(cat /sys/dev/block/$(( 0x$(stat -c %t ${path}) )):$(( 0x$(stat -c %T ${path}) ))/size)
    echo $size
    dd if=${path} bs=1M 2>/dev/null | wc -c`;
  const found = await s.ctr.sh(script, { flags: ['--device', path] });
  assert.equal(found, `block special file 640 0:0\n${33 * 2048}\n${33 * mebibyte}\n`);
});

test('what a container writes and syncs is on the device afterwards, byte for byte', async () => {
  await using disk = await LoopDevice.attach(newFile(), { sizeBytes: 16 * mebibyte });
  const script = `
    yes written-by-the-container | head -c ${8 * mebibyte} |
      dd of=${disk.path} bs=64k seek=16 conv=fsync iflag=fullblock 2>/dev/null
    dd if=${disk.path} bs=64k skip=16 count=128 2>/dev/null | sha256sum | cut -c1-64`;
  const flags = ['--device', disk.path];
  const found = await s.ctr.sh(script, { flags });
  const line = 'written-by-the-container\n';
  const expected = Buffer.alloc(8 * mebibyte, line);
  assert.equal(found.trim(), createHash('sha256').update(expected).digest('hex'));
  const content = await readFile(disk.file);
  assert.ok(content.subarray(mebibyte, 9 * mebibyte).equals(expected));
  assert.ok(content.subarray(0, mebibyte).every((byte) => byte === 0));
});

test('a container reads what the host wrote', async () => {
  const file = newFile();
  await using disk = await LoopDevice.attach(file, { sizeBytes: 4 * mebibyte });
  await writeFile(disk.path, 'from the host');
  const found = await s.ctr.sh(`head -c 13 ${disk.path}`, { flags: ['--device', disk.path] });
  assert.equal(found, 'from the host');
});

test('two devices in one container are not mistaken for each other', async () => {
  await using first = await LoopDevice.attach(newFile(), { sizeBytes: 4 * mebibyte });
  await using second = await LoopDevice.attach(newFile(), { sizeBytes: 4 * mebibyte });
  await writeFile(first.path, 'first');
  await writeFile(second.path, 'other');
  const flags = ['--device', second.path, '--device', first.path];
  const script = `head -c5 ${first.path}; head -c5 ${second.path}; ls /dev/loop*`;
  const found = await s.ctr.sh(script, { flags });
  const paths = [first.path, second.path].sort().join('\n');
  assert.equal(found, `firstother${paths}\n`);
});

test('a device that was not given cannot be reached, even by its numbers', async () => {
  await using disk = await LoopDevice.attach(newFile(), { sizeBytes: 4 * mebibyte });
  const script = `
    echo given:; dd if=${disk.path} bs=512 count=1 2>/dev/null | wc -c
    for number in 0 1 2 3 4 5 6 7; do
      mknod /tmp/l$number b 7 $number; dd if=/tmp/l$number bs=512 count=1 2>&1 | grep -v records
      mknod /tmp/s$number b 8 $((number * 16)); dd if=/tmp/s$number bs=512 count=1 2>&1 | grep -v records
    done; true`;
  const found = await s.ctr.sh(script, { flags: ['--device', disk.path] });
  const lines = found.trim().split('\n').slice(2);
  assert.match(found, /^given:\n512\n/);
  const opened = lines.filter((line) => /copied/.test(line));
  // one of them is the given one under another name
  assert.ok(opened.length <= 1, found);
});

test('a device that the host has read-only is read-only inside', async () => {
  const file = newFile();
  await makeExt4(file, 8 * mebibyte);
  const before = createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
  await using disk = await LoopDevice.attach(file, { readOnly: true });
  const script = `echo x >${disk.path} || echo refused; head -c 2048 ${disk.path} | wc -c; sync`;
  const found = await s.ctr.run({ argv: ['sh', '-c', script], flags: ['--device', disk.path] });
  assert.match(found.stdout, /2048/, describe(found));
  const after = createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
  assert.equal(after, before);
});

test('--mount of a block device mounts its file system inside and keeps what is written', async () => {
  const file = newFile();
  await makeExt4(file, 32 * mebibyte);
  await using disk = await LoopDevice.attach(file);
  const mount = `type=ext4,src=${disk.path},dst=/data,options=rw:noatime`;
  const script = "grep ' /data ' /proc/mounts; echo kept >/data/file; mkdir /data/dir; sync";
  const found = await s.ctr.sh(script, { flags: ['--mount', mount] });
  assert.match(found, /^\S+ \/data ext4 rw,(\S+,)?noatime/);
  if (isRunv) assert.doesNotMatch(found, /loop/, 'mounted on the host');
  assert.equal(await readFromExt4(disk.path, '/file'), 'kept\n');

  const again = await s.ctr.sh('cat /data/file; ls /data', { flags: ['--mount', mount] });
  assert.match(again, /^kept\ndir\nfile\n/);
});

test('--mount of a block device read-only refuses writes', async () => {
  const file = newFile();
  await makeExt4(file, 32 * mebibyte);
  await using disk = await LoopDevice.attach(file);
  const mount = `type=ext4,src=${disk.path},dst=/data,options=ro`;
  const found = await s.ctr.sh('touch /data/x 2>&1; true', { flags: ['--mount', mount] });
  assert.match(found, /Read-only file system/);
});

test(
  '--mount of a block device that the host has mounted is refused',
  { skip: !isRunv && 'runv' },
  async () => {
    const file = newFile();
    await makeExt4(file, 32 * mebibyte);
    await using disk = await LoopDevice.attach(file);
    const flags = ['--mount', `type=ext4,src=${disk.path},dst=/data,options=rw`];
    const dir = join(s.containerd.dir, 'mounted');
    const found = await whileMounted(disk, dir, () => s.ctr.run({ argv: ['true'], flags }));
    assert.match(
      found.stderr,
      /\/dev\/loop\d+ is mounted on the host or in use by another sandbox/,
    );
    await s.ctr.sh('true', { flags });
  },
);

test('what was synced survives kill -9 of QEMU', { skip: !isRunv && 'runv' }, async () => {
  const file = newFile();
  await makeExt4(file, 32 * mebibyte);
  await using disk = await LoopDevice.attach(file);
  await using raw = await LoopDevice.attach(newFile(), { sizeBytes: 4 * mebibyte });
  const id = s.ctr.newId();
  const script = `
    echo kept >/data/file; sync
    echo raw-bytes | dd of=${raw.path} conv=fsync 2>/dev/null
    echo synced; sleep 1000`;
  const mount = `type=ext4,src=${disk.path},dst=/data,options=rw`;
  const flags = ['--mount', mount, '--device', raw.path];
  await using main = s.ctr.startRun({ id, flags, argv: ['sh', '-c', script] });
  await main.untilStdout(/synced/);
  process.kill(qemuPid(s.containerd, id), 'SIGKILL');
  assert.notEqual((await main.outcome).code, 0);
  assert.equal(await readFromExt4(disk.path, '/file'), 'kept\n');
  assert.equal(await bytesAt(raw.file, 0, 9), 'raw-bytes');
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { describe, must, run, until } from '../harness/command.ts';
import type { Message } from '../harness/cri-client.ts';
import { type CriSuite, eachVersion, usualVersions } from '../harness/cri.ts';
import { distDir } from '../harness/environment.ts';
import {
  isClaimed,
  LoopDevice,
  makeExt4,
  readFromExt4,
  whileMounted,
} from '../harness/loop-device.ts';
import { qemuPid, shimPid } from '../harness/runtime-processes.ts';

const mebibyte = 1 << 20;

let count = 0;
const newFile = (s: CriSuite) => join(s.containerd.dir, `disk-${(count += 1)}.img`);

const mount = (host: string, target: string, more: Message = {}): Message => ({
  host_path: host,
  container_path: target,
  ...more,
});

const device = (host: string, container: string, permissions = 'rwm'): Message => ({
  devices: [{ host_path: host, container_path: container, permissions }],
});

/** A CSI volume's directory as kubelet makes it, which the driver has not mounted. */
async function volumeDir(s: CriSuite): Promise<string> {
  const pod = join(s.containerd.dir, 'kubelet', 'pods', `uid-${(count += 1)}`);
  const dir = join(pod, 'volumes', 'kubernetes.io~csi', 'pv', 'mount');
  await mkdir(dir, { recursive: true });
  return dir;
}

const runv = (s: CriSuite, ...words: string[]) =>
  run('env', [`RUNV_CONFIG=${s.containerd.runvConfigPath}`, join(distDir, 'runv'), ...words]);

/** Leaves a record as a driver does. */
async function record(s: CriSuite, path: string, record: object): Promise<void> {
  const text = JSON.stringify({ 'volume-type': 'block', fstype: 'ext4', ...record });
  const { code, stderr } = await runv(s, 'volume', 'add', path, text);
  assert.equal(code, 0, stderr);
}

/** A disk with an ext4 file system, and the volume that it is. */
async function directVolume(s: CriSuite, more: object = {}, from?: string) {
  const file = newFile(s);
  await makeExt4(file, 32 * mebibyte, from);
  const disk = await LoopDevice.attach(file);
  const dir = await volumeDir(s);
  await record(s, dir, { device: disk.path, ...more });
  return { disk, dir, [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose]() };
}

const sha256 = async (file: string) =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

eachVersion({ versions: usualVersions }, (s) => {
  test('a direct volume is one file system for the pod’s containers, and keeps what is written', async () => {
    await using volume = await directVolume(s, { options: ['noatime', 'rw'] });
    const { disk, dir } = volume;
    const mounts = [mount(dir, '/data')];
    await s.withPod(async (pod) => {
      const [one, two] = [await pod.run({ mounts }), await pod.run({ mounts })];
      await pod.execSh(one, 'echo kept >/data/file');
      const look = 'cat /data/file; stat -c %d /data; grep " /data " /proc/mounts';
      const seen = await pod.execSh(two, look);
      assert.match(seen, /^kept\n\d+\n\S+ \/data ext4 rw,(\S+,)?noatime/);
      assert.equal(await pod.execSh(one, look), seen);
      // the host keeps its hands off, and so does another pod
      const onHost = await run('mount', [disk.path, dir]);
      assert.match(onHost.stderr, /already mounted|busy/);
      await s.withPod(async (other) => {
        const id = await other.create({ mounts });
        await assert.rejects(other.start(id), /is mounted on the host or in use by another sandb/);
      });
      for (const id of [one, two]) {
        await pod.stop(id);
        await pod.remove(id);
      }
      // nobody has it any more: the host can
      assert.equal(await readFromExt4(disk.path, '/file'), 'kept\n');
      assert.equal(await pod.sh('cat /data/file', { mounts }), 'kept\n');
    });
    assert.equal(await readFromExt4(disk.path, '/file'), 'kept\n');
    await s.withPod(async (pod) => {
      assert.equal(await pod.sh('cat /data/file', { mounts }), 'kept\n');
    });
  });

  test('a subPath of a direct volume is a part of the same file system', async () => {
    await using volume = await directVolume(s);
    const { disk, dir } = volume;
    // as kubelet does it, on the host's directory: a directory, and a bind mount of it elsewhere
    const part = join(dir, 'part/inner');
    const subPath = join(dir, '../../../../volume-subpaths/pv/c/0');
    for (const path of [part, subPath]) await mkdir(path, { recursive: true });
    await must('mount', ['--bind', part, subPath]);
    try {
      await s.withPod(async (pod) => {
        const whole = await pod.run({ mounts: [mount(dir, '/whole')] });
        const mounts = [mount(subPath, '/bound'), mount(join(dir, 'part'), '/part')];
        const id = await pod.run({ mounts });
        await pod.execSh(id, 'echo here >/bound/file');
        const look = 'cat /part/inner/file; stat -c %d /bound /part | uniq | wc -l';
        assert.equal(await pod.execSh(id, look), 'here\n1\n');
        assert.equal(await pod.execSh(whole, 'cat /whole/part/inner/file'), 'here\n');
        await pod.execSh(whole, 'ln -s / /whole/out');
        await mkdir(join(dir, 'out'));
        const out = await pod.create({ mounts: [mount(join(dir, 'out'), '/out')] });
        await assert.rejects(pod.start(out), /sub_path "out": out is a symbolic link/);
        // a file of the volume can be mounted by itself
        await pod.execSh(whole, 'echo conf >/whole/conf');
        await writeFile(join(dir, 'conf'), '');
        const conf = [mount(join(dir, 'conf'), '/etc/conf')];
        assert.equal(await pod.sh('cat /etc/conf', { mounts: conf }), 'conf\n');
      });
    } finally {
      await must('umount', [subPath]);
    }
    assert.equal(await readFromExt4(disk.path, '/part/inner/file'), 'here\n');
  });

  test('a direct volume is read-only for a mount that is, and untouched when its record says so', async () => {
    await using volume = await directVolume(s);
    const { disk, dir } = volume;
    const write = 'touch /data/file 2>&1; true';
    const readOnly = [mount(dir, '/data', { readonly: true })];
    await s.withPod(async (pod) => {
      assert.match(await pod.sh(write, { mounts: readOnly }), /Read-only file system/);
      assert.equal(await pod.sh(write, { mounts: [mount(dir, '/data')] }), '');
    });
    await readFromExt4(disk.path, '/file');
    await record(s, dir, { device: disk.path, options: ['ro'], metadata: { fsGroup: '3000' } });
    const before = await sha256(disk.path);
    await s.withPod(async (pod) => {
      assert.match(
        await pod.sh(`${write}; ls /data`, { mounts: [mount(dir, '/data')] }),
        /Read-only file system\n(.*\n)*file\n/,
      );
      // others may read it at the same time
      await s.withPod(async (other) => {
        assert.match(await other.sh('ls /data', { mounts: readOnly }), /file\n/);
      });
    });
    assert.equal(await sha256(disk.path), before);
  });

  test('a direct volume is given to its fsGroup', async () => {
    const from = join(s.containerd.dir, 'group');
    await mkdir(join(from, 'dir'), { recursive: true });
    await writeFile(join(from, 'dir/file'), 'x\n', { mode: 0o600 });
    const metadata = { fsGroup: '3000', fsGroupChangePolicy: 'OnRootMismatch' };
    await using volume = await directVolume(s, { metadata }, from);
    const { dir } = volume;
    await s.withPod(async (pod) => {
      const look = 'stat -c "%g %a" /data /data/dir /data/dir/file';
      const found = await pod.sh(look, { mounts: [mount(dir, '/data')] });
      assert.equal(found, '3000 2775\n3000 2775\n3000 660\n');
    });
  });

  test('records and disks that cannot be used fail their container in one line, and no other', async () => {
    await using disk = await LoopDevice.attach(newFile(s), { sizeBytes: 4 * mebibyte });
    const file = newFile(s);
    await makeExt4(file, 32 * mebibyte);
    await using mounted = await LoopDevice.attach(file);
    const text = (more: object) =>
      JSON.stringify({ 'volume-type': 'block', device: disk.path, fstype: 'ext4', ...more });
    const bad: [text: string, says: RegExp][] = [
      ['{', /direct volume .*: its record is not JSON/],
      [text({ 'volume-type': 'nfs' }), /volume-type must be "block" or "directvol", not "nfs"/],
      [text({ fstype: 'btrfs' }), /fstype must be one the guest has .*, not "btrfs"/],
      [text({ device: '/dev/none' }), /there is no device \/dev\/none/],
      [text({ device: file }), /is not a block device/],
      [text({ x: 'x'.repeat(70_000) }), /its record is larger than 65536 bytes/],
      [text({}), /disk runv-\d+ has no intact ext4 file system/],
      [text({ device: mounted.path }), /is mounted on the host or in use by another sandbox/],
    ];
    await whileMounted(mounted, join(s.containerd.dir, 'mounted'), () =>
      s.withPod(async (pod) => {
        const other = await pod.run();
        for (const [record, says] of bad) {
          const dir = await volumeDir(s);
          const place = join(s.containerd.directVolumesDir, Buffer.from(dir).toString('base64url'));
          await mkdir(place, { recursive: true });
          await writeFile(join(place, 'mountInfo.json'), record);
          const id = await pod.create({ mounts: [mount(dir, '/data')] });
          const error = await pod.start(id).catch((e: unknown) => e);
          assert.match(String(error), says);
          assert.doesNotMatch(String(error), /\n/);
        }
        // the disk whose file system could not be mounted is nobody's
        assert.equal((await run('wipefs', ['--all', disk.path])).code, 0);
        assert.equal((await pod.status(other)).state, 'CONTAINER_RUNNING');
      }),
    );
  });

  test('runv volume refuses what could not be used, and takes a record back', async () => {
    const dir = await volumeDir(s);
    const file = newFile(s);
    const { directVolumesDir } = s.containerd;
    await using disk = await LoopDevice.attach(newFile(s), { sizeBytes: mebibyte });
    await writeFile(
      file,
      JSON.stringify({ 'volume-type': 'block', device: disk.path, fstype: 'xfs' }),
    );
    const name = Buffer.from(dir).toString('base64url');
    const known = async () => (await readdir(directVolumesDir)).some((n) => n.startsWith(name));
    const calls: [words: string[], code: number, says: RegExp][] = [
      [['add', dir, file], 0, /^$/],
      [['add', dir, '{"volume-type":"block"}'], 1, /^runv: direct volume .*device must be .*\n$/],
      [['add', dir, '/no/file'], 1, /^runv: a record is JSON or a file with it: ENOENT.*\n$/],
      [['add', `${dir}/../x`, file], 1, /^runv: a volume's path must be absolute, .*\n$/],
      [['add', dir], 2, /^usage: /],
    ];
    for (const [words, code, says] of calls) {
      const outcome = await runv(s, 'volume', ...words);
      assert.equal(outcome.code, code, describe(outcome));
      assert.match(outcome.stderr, says);
    }
    assert.ok(await known());
    assert.equal((await runv(s, 'volume', 'remove', dir)).code, 0);
    assert.ok(!(await known()));
    assert.match((await runv(s, 'volume', 'remove', dir)).stderr, /there is no direct volume/);
  });

  test('after kill -9 of the VM or of the shim a direct volume is free, with what was synced', async () => {
    await using volume = await directVolume(s);
    const { disk, dir } = volume;
    for (const victim of ['qemu', 'shim']) {
      await s.withPod(async (pod) => {
        const id = await pod.run({ mounts: [mount(dir, '/data')] });
        await pod.execSh(id, `echo ${victim} >/data/${victim}; sync`);
        const find = victim === 'qemu' ? qemuPid : shimPid;
        process.kill(find(s.containerd, pod.id), 'SIGKILL');
        await pod.untilExited(id);
        await until('the disk is free', async () => !(await isClaimed(disk)));
        assert.equal(await readFromExt4(disk.path, `/${victim}`), `${victim}\n`);
      });
    }
  });

  test('a block volume is a device with the guest’s numbers, the same for all containers', async () => {
    await using disk = await LoopDevice.attach(newFile(s), { sizeBytes: 16 * mebibyte });
    await writeFile(disk.path, 'from the host');
    await s.withPod(async (pod) => {
      const linux = device(disk.path, '/dev/xvda');
      const one = await pod.run({ config: linux });
      const two = await pod.run({ config: linux });
      const numbers = 'echo $(( 0x$(stat -c %t /dev/xvda) )):$(( 0x$(stat -c %T /dev/xvda) ))';
      const found = await pod.execSh(
        one,
        `stat -c %F /dev/xvda; n=$(${numbers}); cat /sys/dev/block/$n/size; head -c 13 /dev/xvda`,
      );
      assert.equal(found, `block special file\n${16 * 2048}\nfrom the host`);
      assert.equal(await pod.execSh(one, numbers), await pod.execSh(two, numbers));
      // what one has read is not what the other has to go by
      const read = 'head -c 10 /dev/xvda';
      await pod.execSh(two, read);
      await pod.execSh(one, 'printf 0123456789 | dd of=/dev/xvda conv=notrunc,fsync 2>/dev/null');
      assert.equal(await pod.execSh(two, read), '0123456789');
      assert.equal(await pod.execSh(one, 'ls /dev/loop* 2>/dev/null | wc -l'), '0\n');
    });
    assert.equal((await readFile(disk.file)).toString('latin1', 0, 13), '0123456789ost');
  });

  test('a block volume without permission to write cannot be written to', async () => {
    await using disk = await LoopDevice.attach(newFile(s), { sizeBytes: 4 * mebibyte });
    await writeFile(disk.path, 'from the host');
    const before = await sha256(disk.file);
    await s.withPod(async (pod) => {
      const script = 'head -c 13 /dev/xvda; echo x >/dev/xvda || echo refused';
      const found = await pod.sh(script, { config: device(disk.path, '/dev/xvda', 'r') });
      assert.match(found, /from the host/);
      assert.match(found, /refused/);
    });
    assert.equal(await sha256(disk.file), before);
  });
});

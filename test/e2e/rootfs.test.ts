import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describe, must } from '../harness/command.ts';
import { ContainerdApi } from '../harness/containerd-api.ts';
import { isRunv, runcRuntime, runtime } from '../harness/environment.ts';
import { idle } from '../harness/ctr.ts';
import { imageNames } from '../harness/image.ts';
import { LoopDevice, makeExt4 } from '../harness/loop-device.ts';
import { suite } from '../harness/suite.ts';

const s = suite({ images: ['busybox', 'debian'] });
const mebibyte = 1 << 20;

/** Every file of the Debian image as a container of this runtime sees it, one line each. */
async function manifest(withRuntime: string): Promise<string[]> {
  const script = join(dirname(fileURLToPath(import.meta.url)), '..', 'harness', 'manifest.pl');
  const outcome = await s.ctr.run({
    image: imageNames.debian,
    runtime: withRuntime,
    argv: ['perl', '-'],
    stdin: await readFile(script),
    deadlineMs: 170_000,
  });
  assert.equal(outcome.code, 0, describe(outcome));
  return outcome.stdout.trim().split('\n');
}

test('every file of an image is the same as with runc, in content and metadata', async () => {
  const expected = await manifest(runcRuntime);
  const found = await manifest(runtime);
  // otherwise nothing was compared
  assert.ok(expected.length > 3000, `${expected.length} files`);
  const missing = expected.filter((line) => !new Set(found).has(line));
  const extra = found.filter((line) => !new Set(expected).has(line));
  assert.deepEqual({ missing, extra }, { missing: [], extra: [] });
});

test('all files of the root file system have one device number', async () => {
  // what tar --one-file-system, du -x and find -xdev go by
  const script =
    "find / /odd -xdev -maxdepth 1 -exec stat -c '%d %n' {} + | grep -vE ' /(proc|sys|dev|run)$'";
  const found = await s.ctr.sh(script);
  const devices = new Set(
    found
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]),
  );
  assert.equal(devices.size, 1, found);
});

test('layers lie upon each other as the image says', async () => {
  const script = `
    cd /odd
    ls -d removed removed-dir 2>&1 | grep -c 'No such file'
    cat replaced emptied/* file-becomes-dir/inner dir-becomes-file last-layer
    ls emptied; find . -name '.wh*'
    stat -c '%n %a %u:%g %h' replaced setuid setgid sticky foreign unreadable hardlink-b
    [ $(stat -c %i hardlink-a) = $(stat -c %i hardlink-c) ] && echo one inode
    for link in symlink symlink-absolute symlink-dangling; do readlink $link; done
    md5sum <big; stat -c '%F %t:%T' null fifo; stat -c %Y old`;
  const found = await s.ctr.sh(script);
  const expected = [
    ...[
      '2',
      'new content',
      'only this one',
      'now inside',
      'now a file',
      'from the last layer',
      'new',
    ],
    ...['replaced 755 0:0 1', 'setuid 4755 0:0 1', 'setgid 2755 0:2000 1', 'sticky 1777 0:0 2'],
    ...['foreign 640 1000:2000 1', 'unreadable 0 0:0 1', 'hardlink-b 644 0:0 3', 'one inode'],
    ...['hardlink-a', '/odd/hardlink-a', 'nowhere'],
    await must('sh', ['-c', 'yes runv | tr -d "\\n" | head -c 3000001 | md5sum']).then((t) =>
      t.trim(),
    ),
    ...['character special file 1:3', 'fifo 0:0', '86400'],
  ];
  assert.deepEqual(found.trim().split('\n'), expected);
});

test('a set-user-id program runs as its owner, unless new privileges are forbidden', async () => {
  const script = 'cp /usr/bin/id /tmp/id; chown 1000 /tmp/id; chmod 4755 /tmp/id; /tmp/id -u';
  const run = async (...flags: string[]) =>
    await s.ctr.sh(script, { image: imageNames.debian, flags });
  assert.equal(await run('--allow-new-privs'), '1000\n');
  assert.equal(await run(), '0\n');
});

test('everything in the image can be changed, removed, renamed and extended', async () => {
  const script = `
    set -e
    cd /odd
    echo more >>replaced; cat replaced
    rm removed-not-there 2>/dev/null || true
    rm -r emptied; mkdir emptied; ls emptied
    mv foreign renamed; cat renamed; stat -c '%a %u:%g' renamed
    chmod 700 setgid; chown 5:6 hardlink-a; stat -c '%a' setgid
    ln hardlink-a hardlink-d; echo x >>hardlink-d; tail -1 hardlink-a
    mv sticky moved-dir; stat -c %a moved-dir
    dd if=/dev/urandom of=/bigger bs=1M count=40 2>/dev/null; stat -c %s /bigger
    dd if=/dev/zero of=/sparse bs=1 count=0 seek=1G 2>/dev/null; du -k /sparse | cut -f1
    mkfifo /pipe; mknod /null c 1 3; echo x >/null; rm -r /odd; ls / | grep -c odd || true`;
  const found = await s.ctr.sh(script);
  const expected = [
    ...['new content', 'more', 'owned by 1000:2000', '640 1000:2000', '700', 'x', '1777'],
    ...[String(40 * mebibyte), '0', '0'],
  ];
  assert.deepEqual(found.trim().split('\n'), expected);
});

test('two containers cannot write to one snapshot', { skip: !isRunv && 'runv' }, async () => {
  const [first, second] = [
    await s.ctr.runDetached({ argv: idle }),
    await s.ctr.create({ argv: idle }),
  ];
  try {
    const api = new ContainerdApi(s.ctr);
    const create = api.createTask(second, await s.ctr.snapshotMounts(first));
    await assert.rejects(create, /runv-scratch: another sandbox has it open/);
    assert.equal((await s.ctr.exec(first, ['sh', '-c', 'echo x >/f && cat /f'])).stdout, 'x\n');
  } finally {
    await s.ctr.remove(second);
    await s.ctr.remove(first);
  }
});

test('what a container writes is gone with it, and the image is as before', async () => {
  const look =
    'cat /odd/replaced; ls /odd | wc -l; [ -e /new ] && echo still there; md5sum /bin/busybox';
  const before = await s.ctr.sh(look);
  await s.ctr.sh(
    'echo changed >/odd/replaced; rm /odd/big; echo x >/new; echo x >>/bin/busybox; sync',
  );
  assert.equal(await s.ctr.sh(look), before);
});

test('containers of one image at the same time do not see each other’s changes', async () => {
  const script = (word: string) => `echo ${word} >/odd/replaced; sleep 1; cat /odd/replaced`;
  const found = await Promise.all(['one', 'two'].map((word) => s.ctr.sh(script(word))));
  assert.deepEqual(found, ['one\n', 'two\n']);
});

/** A directory that can be a root file system: busybox alone. */
async function plainRoot(): Promise<string> {
  const dir = join(s.containerd.dir, 'plain-root');
  await mkdir(join(dir, 'bin'), { recursive: true });
  for (const sub of ['proc', 'sys', 'dev', 'tmp', 'run'])
    await mkdir(join(dir, sub), { recursive: true });
  await must('cp', ['/bin/busybox', join(dir, 'bin', 'busybox')]);
  for (const name of ['sh', 'cat', 'sync', 'grep']) {
    await must('ln', ['-sf', 'busybox', join(dir, 'bin', name)]);
  }
  return dir;
}

for (const kind of ['block device', 'image file'] as const) {
  test(`a root file system that is a ${kind} is passed through and keeps what is written`, async () => {
    const file = join(s.containerd.dir, `root-${kind.slice(0, 5)}.img`);
    await makeExt4(file, 32 * mebibyte, await plainRoot());
    await using disk = kind === 'block device' ? await LoopDevice.attach(file) : undefined;
    const output = join(s.containerd.dir, 'root-output');
    const script = "grep ' / ' /proc/mounts; echo kept >/kept; sync";
    const id = await s.ctr.create({ argv: ['/bin/sh', '-c', script] });
    const api = new ContainerdApi(s.ctr);
    try {
      const mount = disk
        ? { type: 'ext4', source: disk.path, options: ['rw'] }
        : { type: 'ext4', source: file, options: ['rw', 'loop'] };
      await api.createTask(id, [mount], `file://${output}`);
      await api.startTask(id);
      assert.equal(await api.waitTask(id), 0);
    } finally {
      await s.ctr.remove(id);
    }
    assert.match(await readFile(output, 'utf8'), /^\S+ \/ ext4 rw/m);
    assert.equal(await must('debugfs', ['-R', 'cat /kept', file]), 'kept\n');
  });
}

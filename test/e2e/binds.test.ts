import assert from 'node:assert/strict';
import { mkdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { describe, until } from '../harness/command.ts';
import { idle } from '../harness/ctr.ts';
import { suite } from '../harness/suite.ts';

const s = suite();

let count = 0;
/** A directory of the host with a file, a directory and a symbolic link in it. */
async function sharedDir(): Promise<string> {
  const dir = join(s.containerd.dir, `shared-${(count += 1)}`);
  await mkdir(join(dir, 'sub'), { recursive: true });
  await writeFile(join(dir, 'file'), 'from the host\n');
  await writeFile(join(dir, 'sub', 'inner'), 'inner\n');
  await symlink('file', join(dir, 'link'));
  return dir;
}

const bind = (source: string, target: string, options: string) => [
  '--mount',
  `type=bind,src=${source},dst=${target},options=${options}`,
];

test('a bound directory is readable with all that is in it', async () => {
  const dir = await sharedDir();
  const script = 'cat /host/file /host/link /host/sub/inner; readlink /host/link; ls /host';
  const found = await s.ctr.sh(script, { flags: bind(dir, '/host', 'rbind:rw') });
  assert.equal(found, 'from the host\nfrom the host\ninner\nfile\nfile\nlink\nsub\n');
});

test('what a container writes into a bound directory is on the host, with owner and mode', async () => {
  const dir = await sharedDir();
  const script = `
    echo written >/host/new; echo more >>/host/file; mkdir /host/made
    chmod 640 /host/new; chown 1000:2000 /host/new; rm /host/link; mv /host/sub/inner /host/moved`;
  await s.ctr.sh(script, { flags: bind(dir, '/host', 'rbind:rw') });
  assert.equal(await readFile(join(dir, 'new'), 'utf8'), 'written\n');
  assert.equal(await readFile(join(dir, 'file'), 'utf8'), 'from the host\nmore\n');
  assert.equal(await readFile(join(dir, 'moved'), 'utf8'), 'inner\n');
  const { mode, uid, gid } = await stat(join(dir, 'new'));
  assert.deepEqual([mode & 0o7777, uid, gid], [0o640, 1000, 2000]);
  await assert.rejects(stat(join(dir, 'link')));
});

test('a directory bound read-only refuses every change', async () => {
  const dir = await sharedDir();
  const script = `
    touch /host/new; echo x >>/host/file; rm /host/file; mkdir /host/made; chmod 777 /host/sub
    cat /host/file`;
  const outcome = await s.ctr.run({
    argv: ['sh', '-c', script],
    flags: bind(dir, '/host', 'rbind:ro'),
  });
  assert.equal(outcome.stdout, 'from the host\n', describe(outcome));
  assert.equal(outcome.stderr.match(/Read-only file system/g)?.length, 5, describe(outcome));
});

test('a single file is bound, read-write and read-only', async () => {
  const dir = await sharedDir();
  const flags = [
    ...bind(join(dir, 'file'), '/etc/bound', 'bind:rw'),
    ...bind(join(dir, 'sub', 'inner'), '/etc/fixed', 'bind:ro'),
  ];
  const script =
    'cat /etc/bound /etc/fixed; echo changed >/etc/bound; echo x >/etc/fixed; ls /etc | wc -l';
  const outcome = await s.ctr.run({ argv: ['sh', '-c', script], flags });
  assert.match(outcome.stdout, /^from the host\ninner\n\d+\n$/, describe(outcome));
  assert.match(outcome.stderr, /\/etc\/fixed: Read-only file system/);
  assert.equal(await readFile(join(dir, 'file'), 'utf8'), 'changed\n');
  assert.equal(await readFile(join(dir, 'sub', 'inner'), 'utf8'), 'inner\n');
});

test('a mount point that the image lacks is made', async () => {
  const dir = await sharedDir();
  const flags = bind(join(dir, 'file'), '/made/by/runtime/file', 'bind:ro');
  assert.equal(await s.ctr.sh('cat /made/by/runtime/file', { flags }), 'from the host\n');
});

test('changes on the host are seen while the container runs, also by rename', async () => {
  const dir = await sharedDir();
  const flags = bind(dir, '/host', 'rbind:ro');
  const id = await s.ctr.runDetached({ argv: idle, flags });
  try {
    const read = async (file: string) => (await s.ctr.exec(id, ['cat', `/host/${file}`])).stdout;
    assert.equal(await read('file'), 'from the host\n');
    await writeFile(join(dir, 'file'), 'changed in place\n');
    await until(
      'the change is seen',
      async () => (await read('file')) === 'changed in place\n',
      5000,
    );
    await writeFile(join(dir, 'file.new'), 'changed by rename\n');
    await rename(join(dir, 'file.new'), join(dir, 'file'));
    await until(
      'the rename is seen',
      async () => (await read('file')) === 'changed by rename\n',
      5000,
    );
    await writeFile(join(dir, 'added'), 'added\n');
    await until('the new file is seen', async () => (await read('added')) === 'added\n', 5000);
  } finally {
    await s.ctr.remove(id);
  }
});

test('several binds, one inside another, each have their own content', async () => {
  const outer = await sharedDir();
  const inner = await sharedDir();
  await writeFile(join(inner, 'only-inner'), 'x');
  const flags = [...bind(outer, '/host', 'rbind:rw'), ...bind(inner, '/host/sub', 'rbind:ro')];
  const found = await s.ctr.sh('ls /host /host/sub; touch /host/sub/x 2>&1; true', { flags });
  assert.match(found, /^\/host:\nfile\nlink\nsub\n\n\/host\/sub:\nfile\nlink\nonly-inner\nsub\n/);
  assert.match(found, /Read-only file system/);
});

test('10 MB through a bound file arrive whole in both directions', async () => {
  const dir = await sharedDir();
  const data = Buffer.alloc(10_000_003, 'some data, ');
  await writeFile(join(dir, 'big'), data);
  await s.ctr.sh('cat /host/big >/host/copy', { flags: bind(dir, '/host', 'rbind:rw') });
  assert.ok((await readFile(join(dir, 'copy'))).equals(data));
});

test('a link out of a bound directory leads into the container, not the host', async () => {
  const dir = await sharedDir();
  await symlink('/etc/os-release', join(dir, 'out'));
  await symlink('../../../../../../../../etc/os-release', join(dir, 'up'));
  const found = await s.ctr.sh('cat /host/out /host/up', { flags: bind(dir, '/host', 'rbind:ro') });
  assert.equal(found.match(/ID=runv-test/g)?.length, 2);
});

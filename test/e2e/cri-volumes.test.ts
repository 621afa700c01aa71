import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { must, run, until } from '../harness/command.ts';
import type { Message } from '../harness/cri-client.ts';
import { type CriSuite, eachVersion } from '../harness/cri.ts';
import { imageNames } from '../harness/image.ts';

let count = 0;
/** A volume directory as kubelet lays it out below its own. */
async function volumeDir(s: CriSuite, plugin: string, name: string): Promise<string> {
  const pods = join(s.containerd.dir, 'kubelet', 'pods', `uid-${(count += 1)}`);
  const dir = join(pods, 'volumes', `kubernetes.io~${plugin}`, name);
  await mkdir(dir, { recursive: true });
  return dir;
}

const mount = (host: string, target: string, more: Message = {}): Message => ({
  host_path: host,
  container_path: target,
  ...more,
});

/** Says hello to whoever connects to a Unix socket. */
const socketServer = `
  use IO::Socket::UNIX; $| = 1;
  my $listener = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die "listen: $!";
  print "listening\\n";
  while (my $client = $listener->accept) { print $client "hello\\n"; close $client }`;

/** Says which name was moved to in a directory, once: inotify(7), IN_MOVED_TO. */
const watchMoves = `
  $| = 1; my ($SYS_init, $SYS_add) = (294, 254); my $IN_MOVED_TO = 128;
  my $fd = syscall($SYS_init, 0); die "init: $!" if $fd < 0;
  syscall($SYS_add, $fd, $ARGV[0], $IN_MOVED_TO) >= 0 or die "watch: $!";
  open(my $events, "<&=", $fd); print "watching\\n";
  sysread($events, my $event, 4096); print unpack("x16 Z*", $event), "\\n"`;

let version = 0;
/** Writes files as kubelet's atomic writer does. */
async function publish(dir: string, files: Record<string, string>): Promise<void> {
  const name = `..2026_${(version += 1)}`;
  await mkdir(join(dir, name));
  for (const [file, text] of Object.entries(files)) await writeFile(join(dir, name, file), text);
  await symlink(name, join(dir, '..data_tmp'));
  await rename(join(dir, '..data_tmp'), join(dir, '..data'));
  for (const file of Object.keys(files)) {
    await symlink(join('..data', file), join(dir, file)).catch(() => undefined);
  }
  if (version > 1) await rm(join(dir, `..2026_${version - 1}`), { recursive: true, force: true });
}

eachVersion({ debian: true }, (s) => {
  test('hostPath directories and files, read-only where asked, and what CRI makes for each pod', async () => {
    const dir = join(s.containerd.dir, 'host-dir');
    await mkdir(dir);
    await writeFile(join(dir, 'file'), 'from the host\n');
    await s.withPod(async (pod) => {
      const script = `
      cat /host/file /etc/one; touch /host/new && echo written; touch /fixed/x 2>&1
      hostname; cat /etc/hostname; grep -c localhost /etc/hosts; grep -v '^#' /etc/resolv.conf`;
      const output = await pod.sh(script, {
        mounts: [
          mount(dir, '/host'),
          mount(dir, '/fixed', { readonly: true }),
          mount(join(dir, 'file'), '/etc/one', { readonly: true }),
        ],
      });
      assert.match(
        output,
        /^from the host\nfrom the host\nwritten\ntouch: .*Read-only file system\npod\d+\npod\d+\n[1-9]\d*\nsearch test\.example\nnameserver 192\.0\.2\.53\noptions ndots:5\n$/,
      );
    });
  });

  test('/dev/shm is memory of the guest, has its size, and is one for the pod', async () => {
    await s.withPod(async (pod) => {
      const one = await pod.run();
      const two = await pod.run();
      await pod.execSh(one, 'echo shared >/dev/shm/file');
      assert.equal(await pod.execSh(two, 'cat /dev/shm/file'), 'shared\n');
      const mounts = await pod.execSh(two, 'grep " /dev/shm " /proc/mounts');
      assert.match(mounts, /^tmpfs \/dev\/shm tmpfs .*size=65536k/);
    });
  });

  test('an emptyDir in memory keeps its limit, and a subPath of it is the same memory', async () => {
    const dir = await volumeDir(s, 'empty-dir', 'cache');
    const subPath = join(dir, '../../../volume-subpaths/cache/c/0');
    await mkdir(subPath, { recursive: true });
    await must('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=1777', 'tmpfs', dir]);
    await mkdir(join(dir, 'part'));
    await must('mount', ['--bind', join(dir, 'part'), subPath]);
    try {
      await s.withPod(async (pod) => {
        const writer = await pod.run({ mounts: [mount(dir, '/cache')] });
        const part = await pod.run({ mounts: [mount(subPath, '/part')] });
        const full = await pod.exec(writer, [
          'dd',
          'if=/dev/zero',
          'of=/cache/big',
          'bs=2M',
          'count=1',
        ]);
        assert.match(full.stderr, /No space left/);
        await pod.execSh(writer, 'rm /cache/big');
        await pod.execSh(part, 'echo here >/part/file');
        assert.equal(
          await pod.execSh(writer, 'cat /cache/part/file; stat -c %a /cache'),
          'here\n1777\n',
        );
      });
    } finally {
      await must('umount', [subPath]);
      await must('umount', [dir]);
    }
  });

  test('an emptyDir is a disk of the guest: sockets work, and its files outlive containers', async () => {
    const dir = await volumeDir(s, 'empty-dir', 'data');
    await chmod(dir, 0o2777);
    const subPath = join(dir, '../../../volume-subpaths/data/c/0');
    await mkdir(join(dir, 'part'));
    await mkdir(subPath, { recursive: true });
    await must('mount', ['--bind', join(dir, 'part'), subPath]);
    try {
      await s.withPod(async (pod) => {
        const mounts = [mount(dir, '/data')];
        assert.equal(
          await pod.sh('stat -c %a /data; ls -A /data; echo first >/data/file', { mounts }),
          '2777\n',
        );
        const server = await pod.run({
          image: imageNames.debian,
          command: ['perl', '-e', socketServer, '/data/socket'],
          mounts,
        });
        await until('the server listens', async () => (await pod.logs(server)) === 'listening\n');
        const connect = 'print IO::Socket::UNIX->new(Peer => $ARGV[0])->getline';
        const client = await pod.run({
          image: imageNames.debian,
          command: ['perl', '-MIO::Socket::UNIX', '-e', connect, '/data/socket'],
          mounts,
        });
        assert.equal((await pod.untilExited(client)).exit_code, 0);
        assert.equal(await pod.logs(client), 'hello\n');
        await pod.sh('echo part >/part/file', { mounts: [mount(subPath, '/part')] });
        assert.equal(await pod.sh('cat /data/file /data/part/file', { mounts }), 'first\npart\n');
      });
      // a pod's next sandbox, after its machine was lost, finds what was written
      await s.withPod(async (pod) => {
        const mounts = [mount(dir, '/data')];
        assert.equal(await pod.sh('cat /data/file', { mounts }), 'first\n');
      });
    } finally {
      await must('umount', [subPath]);
    }
  });

  test('a ConfigMap that is updated is seen by readers and by inotify', async () => {
    const dir = await volumeDir(s, 'configmap', 'config');
    const files = (value: string) =>
      Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`key-${n}`, `${value} ${n}\n`]));
    await publish(dir, files('old'));
    await s.withPod(async (pod) => {
      const config = mount(dir, '/config', { readonly: true });
      const id = await pod.run({ mounts: [config] });
      const watcher = await pod.run({
        image: imageNames.debian,
        command: ['perl', '-e', watchMoves, '/config'],
        mounts: [config],
      });
      await until('the watcher waits', async () => (await pod.logs(watcher)) === 'watching\n');
      assert.equal(await pod.execSh(id, 'cat /config/key-0 /config/key-49'), 'old 0\nold 49\n');
      await publish(dir, files('new'));
      await until(
        'the new files are seen',
        async () => (await pod.execSh(id, 'cat /config/key-49')) === 'new 49\n',
        10_000,
      );
      await until(
        'inotify told of it',
        async () => (await pod.logs(watcher)) === 'watching\n..data\n',
        10_000,
      );
      assert.equal(await pod.execSh(id, 'ls /config | wc -l'), '50\n');
      const refused = await pod.exec(id, ['touch', '/config/x']);
      assert.match(refused.stderr, /Read-only file system/);
    });
  });

  test('a mount made on the host below a volume is seen inside, where that was asked for', async () => {
    const dir = join(s.containerd.dir, `propagated-${(count += 1)}`);
    const later = join(dir, 'later');
    await mkdir(later, { recursive: true });
    const propagation = (kind: string) => [mount(dir, '/host', { propagation: kind })];
    // a source must be a shared or slave mount to be asked for this
    await must('mount', ['--bind', dir, dir]);
    await must('mount', ['--make-shared', dir]);
    try {
      await s.withPod(async (pod) => {
        const follower = await pod.run({ mounts: propagation('PROPAGATION_HOST_TO_CONTAINER') });
        const other = await pod.run({ mounts: propagation('PROPAGATION_PRIVATE') });
        const both = await pod.run({ mounts: propagation('PROPAGATION_BIDIRECTIONAL') });
        await must('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', later]);
        await writeFile(join(later, 'file'), 'mounted later\n');
        assert.equal(await pod.execSh(follower, 'cat /host/later/file'), 'mounted later\n');
        assert.equal(await pod.execSh(both, 'cat /host/later/file'), 'mounted later\n');
        assert.equal(await pod.execSh(other, 'ls /host/later'), '');
        await pod.execSh(follower, 'echo back >/host/later/new');
        assert.equal(await readFile(join(later, 'new'), 'utf8'), 'back\n');
        await must('umount', [later]);
        assert.equal(await pod.execSh(follower, 'ls /host/later'), '');
      });
    } finally {
      await run('umount', [later]);
      await must('umount', [dir]);
    }
  });

  test('a volume whose source is not there fails its container, and no other', async () => {
    await s.withPod(async (pod) => {
      const other = await pod.run();
      const missing = join(s.containerd.dir, 'gone');
      const id = await pod.create({ mounts: [mount(missing, '/gone')] });
      await rm(missing, { recursive: true, force: true });
      await assert.rejects(pod.start(id), /bind mount: .*no such file or directory.*gone/);
      assert.equal((await pod.status(other)).state, 'CONTAINER_RUNNING');
    });
  });
});

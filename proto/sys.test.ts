import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Code } from './error.ts';
import * as sys from './sys.ts';

const isRoot = process.getuid?.() === 0;
const asRoot = { skip: isRoot ? false : 'skipped: root' };
const withVsock = { skip: existsSync('/dev/vsock') ? false : 'skipped: AF_VSOCK' };

test('a failed call names what was tried, with code and errno', () => {
  assert.throws(
    () => sys.umount('/nonexistent'),
    (e) =>
      e instanceof sys.SysError &&
      e.code === Code.NotFound &&
      e.errno === sys.errnos.ENOENT &&
      e.message === 'unmount /nonexistent: No such file or directory (ENOENT)',
  );
});

test('an errno that libuv does not know has its number in the message', () => {
  const e = new sys.SysError('mount /dev/sda', sys.errnos.EUCLEAN);
  assert.equal(e.message, 'mount /dev/sda: Structure needs cleaning (errno 117)');
  assert.equal(e.code, Code.Internal);
});

test('a pipe tells what it holds and whether its writers have gone', () => {
  const { readFd, writeFd } = sys.pipe();
  assert.equal(sys.bytesAvailable(readFd), 0);
  assert.equal(sys.hungUp(readFd), false);
  writeSync(writeFd, 'abc');
  assert.equal(sys.bytesAvailable(readFd), 3);
  closeSync(writeFd);
  assert.equal(sys.hungUp(readFd), true);
  assert.equal(sys.bytesAvailable(readFd), 3);
  closeSync(readFd);
});

test('a stream made from a descriptor owns it', async () => {
  const { readFd, writeFd } = sys.pipe();
  const source = sys.streamFromFd(readFd, { writable: false });
  const sink = sys.streamFromFd(writeFd, { readable: false });
  sink.end('hello');
  let text = '';
  for await (const chunk of source) text += String(chunk);
  assert.equal(text, 'hello');
  await new Promise((resolve) => (source.closed ? resolve(0) : source.once('close', resolve)));
  assert.throws(() => closeSync(readFd), { code: 'EBADF' });
});

test('an exited child can be seen, then reaped once', async () => {
  assert.equal(sys.reapChild(1), undefined);
  // the grandchild is left to us, and libuv does not know it
  sys.becomeSubreaper();
  const shell = spawnSync('sh', ['-c', '(sleep 0.05; exit 7) & echo $!']);
  const orphan = Number(shell.stdout.toString());
  let seen: number | undefined;
  while ((seen = sys.peekExitedChild()) === undefined) await new Promise((r) => setTimeout(r, 5));
  assert.equal(seen, orphan);
  assert.equal(sys.reapChild(orphan), 7 << 8);
  assert.equal(sys.reapChild(orphan), undefined);
  assert.equal(sys.peekExitedChild(), undefined);
});

test('a signal to a process that is gone is NotFound', () => {
  const { pid } = spawnSync('true');
  assert.throws(() => sys.kill(pid, 15), { code: Code.NotFound });
});

test('receives a descriptor from another process', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'runv-sys-'));
  const path = join(directory, 's');
  const listener = sys.listenForDescriptor(path);
  assert.throws(() => sys.acceptDescriptor(listener), { errno: sys.errnos.EAGAIN });
  const script = `import socket,os,sys
s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
r,w=os.pipe(); os.write(w,b'sent'); socket.send_fds(s,[b'name'],[r])`;
  const sender = spawn('python3', ['-c', script, path], { stdio: 'inherit' });
  await new Promise((resolve) => sender.once('exit', resolve));
  const fd = sys.acceptDescriptor(listener);
  const buffer = Buffer.alloc(10);
  assert.equal(buffer.toString('utf8', 0, readSync(fd, buffer)), 'sent');
  closeSync(fd);
  closeSync(listener);
  rmSync(directory, { recursive: true });
});

test('refuses a socket path that the kernel would cut short', () => {
  assert.throws(() => sys.listenForDescriptor('/tmp/' + 'x'.repeat(120)), {
    code: Code.InvalidArgument,
  });
});

test('sets limits, flushes file systems', async () => {
  const before = readFileSync('/proc/self/limits', 'utf8');
  const nofile = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(before)?.[1]);
  sys.setLimit(sys.RLIMIT.NOFILE, nofile - 1);
  assert.match(
    readFileSync('/proc/self/limits', 'utf8'),
    new RegExp(`^Max open files\\s+${nofile - 1}\\s+${nofile - 1}`, 'm'),
  );
  await sys.syncFileSystem('/tmp');
});

test('mounts, makes devices and brings up an interface in namespaces of its own', asRoot, () => {
  // a process of its own: namespaces cannot be left again
  const script = `
    import { mkdirSync, readFileSync, statSync } from 'node:fs';
    import * as sys from ${JSON.stringify(join(import.meta.dirname, 'sys.ts'))};
    sys.unshare(sys.CLONE.NEWNS | sys.CLONE.NEWNET | sys.CLONE.NEWUTS);
    sys.mount('none', '/', null, sys.MS.REC | sys.MS.PRIVATE);
    sys.mount('tmpfs', '/mnt', 'tmpfs', sys.MS.NOSUID, 'size=1m,mode=755');
    if (!/ \\/mnt rw,nosuid.* tmpfs /.test(readFileSync('/proc/self/mountinfo', 'utf8'))) throw 'mount';
    sys.mknod('/mnt/null', 0o20666, 1, 3);
    sys.mknod('/mnt/wide', 0o60600, 259, 1000);
    if (statSync('/mnt/null').rdev !== 259 || statSync('/mnt/wide').rdev !== 0x3103e8) throw 'mknod';
    sys.umount('/mnt');
    sys.bringUp('lo');
    if (!/0x9$/m.test(readFileSync('/sys/class/net/lo/flags', 'utf8'))) sys.bringUp('lo');
    sys.setHostname('guest');
    if (readFileSync('/proc/sys/kernel/hostname', 'utf8') !== 'guest\\n') throw 'hostname';
    sys.addEntropy(Buffer.alloc(32, 7));
  `;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script]);
  assert.equal(run.stderr.toString(), '');
  assert.equal(run.status, 0);
});

test('gives up connecting when told to, and says what refused', withVsock, async () => {
  // no machine has this CID: the transport refuses, or nobody answers
  const connecting = sys.connectVsock(0x7ffffff0, 1, AbortSignal.timeout(200));
  await assert.rejects(connecting, (e: Error) =>
    e instanceof sys.SysError
      ? /^connect to vsock 2147483632:1: /.test(e.message)
      : e.name === 'TimeoutError',
  );
  await assert.rejects(sys.connectVsock(2, 1, AbortSignal.abort(new Error('told'))), /told/);
});

test('listens on a vsock port, once', withVsock, () => {
  const port = 40_000 + (process.pid % 20_000);
  const listener = sys.listenVsock(port, sys.hostCid, () => undefined);
  assert.throws(() => sys.listenVsock(port, sys.hostCid, () => undefined), {
    errno: sys.errnos.EADDRINUSE,
  });
  listener.close();
});

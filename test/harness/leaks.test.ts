import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { must, start } from './command.ts';
import { PrivateContainerd } from './containerd.ts';
import { assertNothingLeft, hostState } from './leaks.ts';
import { LoopDevice } from './loop-device.ts';

/** The check that everything else relies on must itself find each kind of thing. */
let containerd: PrivateContainerd;
before(async () => {
  containerd = await PrivateContainerd.start();
});
after(async () => {
  await containerd[Symbol.asyncDispose]();
});

async function finds(what: RegExp, leak: () => Promise<() => unknown>): Promise<void> {
  const state = hostState(containerd);
  const undo = await leak();
  try {
    await assert.rejects(assertNothingLeft(containerd, state, 300), (e: Error) => {
      assert.match(e.message, what);
      return true;
    });
  } finally {
    await undo();
  }
  await assertNothingLeft(containerd, state, 2000);
}

test('finds a process by its directory and its descendants with it', async () => {
  await finds(/left over: process .*sleep 998(.|\n)*left over: process .*sleep 999/, async () => {
    const script = 'sleep 998 & sleep 999';
    const child = start('sh', ['-c', script], { cwd: containerd.runvConfigPath.slice(0, -10) });
    await new Promise((resolve) => setTimeout(resolve, 200));
    return async () => {
      // the shell's children would outlive it
      await must('pkill', ['-KILL', '-P', String(child.child.pid)]);
      await child[Symbol.asyncDispose]();
    };
  });
});

test('finds a mount', async () => {
  await finds(/left over: mount .*\/left \(tmpfs/, async () => {
    const dir = join(containerd.dir, 'left');
    await mkdir(dir);
    await must('mount', ['-t', 'tmpfs', 'tmpfs', dir]);
    return () => must('umount', [dir]);
  });
});

test('finds a loop device', async () => {
  await finds(/left over: loop device loop\d+ on .*left\.img/, async () => {
    const disk = await LoopDevice.attach(join(containerd.dir, 'left.img'), { sizeBytes: 1 << 20 });
    return () => disk[Symbol.asyncDispose]();
  });
});

test('finds a network link', async () => {
  await finds(/left over: network link runvleft/, async () => {
    await must('ip', ['tuntap', 'add', 'dev', 'runvleft', 'mode', 'tap']);
    return () => must('ip', ['link', 'delete', 'runvleft']);
  });
});

test('finds a socket, a file in run_dir, a bundle and a FIFO', async () => {
  await mkdir(containerd.runvRunDir, { recursive: true });
  await finds(/left over: unix socket (.|\n)*left over: run_dir .*\/left\.sock/, async () => {
    const server = createServer().listen(join(containerd.runvRunDir, 'left.sock'));
    await new Promise((resolve) => server.once('listening', resolve));
    return () => server.close();
  });
  const bundle = containerd.bundleDir('left');
  await finds(/left over: bundle/, async () => {
    await mkdir(bundle, { recursive: true });
    return () => must('rm', ['-r', bundle]);
  });
  const fifo = join(containerd.dir, 'fifo', 'left');
  await finds(/left over: fifo/, async () => {
    await must('mkfifo', [fifo]);
    return () => must('rm', [fifo]);
  });
});

test('finds a cgroup', async () => {
  const dir = `/sys/fs/cgroup/pids/${containerd.ctr.namespace}/left`;
  await finds(/left over: cgroup .*\/left/, async () => {
    await must('mkdir', ['-p', dir]);
    return () => must('rmdir', [dir]);
  });
});

test('finds a file lock and what is half made in the cache', async () => {
  const dir = join(containerd.runvDataDir, 'images');
  await mkdir(dir, { recursive: true });
  const path = join(dir, 'key.partial');
  await finds(/left over: file lock (.|\n)*left over: unfinished cache entry/, async () => {
    await writeFile(path, '');
    const holder = start('flock', [path, 'sleep', '1000']);
    await new Promise((resolve) => setTimeout(resolve, 200));
    return async () => {
      await must('pkill', ['-KILL', '-P', String(holder.child.pid)]);
      await holder[Symbol.asyncDispose]();
      await must('rm', [path]);
    };
  });
});

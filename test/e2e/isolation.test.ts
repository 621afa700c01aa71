import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';
import { idle } from '../harness/ctr.ts';
import { isRunv } from '../harness/environment.ts';
import { suite } from '../harness/suite.ts';

/** Two containers started at the same moment. */
let ids: string[] = [];
const s = suite({
  prepare: async ({ ctr }) => {
    ids = await Promise.all([ctr.runDetached({ argv: idle }), ctr.runDetached({ argv: idle })]);
  },
});

async function inEach(script: string): Promise<string[]> {
  return await Promise.all(
    ids.map(async (id) => (await s.ctr.exec(id, ['sh', '-c', script])).stdout.trim()),
  );
}

test(
  'each container has a kernel of its own, which is not the host’s',
  { skip: !isRunv && 'runv' },
  async () => {
    const releases = await inEach('uname -r');
    for (const found of releases) assert.notEqual(found, release());
    const bootIds = await inEach('cat /proc/sys/kernel/random/boot_id');
    bootIds.push(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    assert.equal(new Set(bootIds).size, 3, `boot ids: ${bootIds.join(' ')}`);
  },
);

test('a container sees its own processes only', async () => {
  for (const found of await inEach(
    'ls -d /proc/[0-9]* | wc -l; cat /proc/1/cmdline | tr "\\0" " "',
  )) {
    const [count, first] = found.split('\n');
    assert.equal(first?.trim(), idle.join(' '));
    assert.ok(Number(count) < 8, `${count} processes`);
  }
});

test('a file written in one container is not in the other', async () => {
  await s.ctr.exec(ids[0] ?? '', ['sh', '-c', 'echo secret >/tmp/secret; sync']);
  const [first, second] = await inEach('cat /tmp/secret 2>&1');
  assert.equal(first, 'secret');
  assert.match(second ?? '', /No such file/);
});

test('neither the host’s files nor its devices are there', async () => {
  const marker = s.containerd.dir;
  for (const found of await inEach(`ls -d ${marker} 2>&1; ls /dev`)) {
    assert.match(found, /No such file/);
    assert.doesNotMatch(found, /^(loop\d|vd[a-z]|sd[a-z]\d*|kvm|mem)$/m);
  }
});

test('the network is empty: loopback and nothing of the host', async () => {
  for (const found of await inEach('ls /sys/class/net; ip -4 route 2>/dev/null | wc -l')) {
    assert.equal(found, 'lo\n0');
  }
  const [first = '', second = ''] = ids;
  const listen = 'nc -l -p 4242 >/dev/null 2>&1 & sleep 1; netstat -ltn | grep -c :4242; kill %1';
  const count = 'sleep 0.5; netstat -ltn | grep -c :4242';
  const [listener, other] = await Promise.all([
    s.ctr.exec(first, ['sh', '-c', listen]),
    s.ctr.exec(second, ['sh', '-c', count]),
  ]);
  assert.equal(listener.stdout.trim(), '1');
  assert.equal(other.stdout.trim(), '0');
});

test('host name, System V IPC and process numbers are each container’s own', async () => {
  await s.ctr.exec(ids[0] ?? '', ['hostname', 'changed'], { flags: [] });
  const names = await inEach('hostname');
  assert.notEqual(names[1], 'changed');
  for (const found of await inEach('tail -n +2 /proc/sysvipc/shm | wc -l'))
    assert.equal(found, '0');
});

test('mounts name nothing of the host', { skip: !isRunv && 'runv' }, async () => {
  for (const found of await inEach('cat /proc/mounts /proc/self/mountinfo')) {
    assert.ok(!found.includes(s.containerd.dir), found);
  }
});

test('the clock is the host’s to within seconds', async () => {
  for (const found of await inEach('date +%s')) {
    assert.ok(Math.abs(Number(found) - Date.now() / 1000) < 5, found);
  }
});

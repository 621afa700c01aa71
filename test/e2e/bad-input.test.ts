import assert from 'node:assert/strict';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { delay, describe, type Outcome, patient } from '../harness/command.ts';
import { ContainerdApi, runChanged, type Spec } from '../harness/containerd-api.ts';
import { idle } from '../harness/ctr.ts';
import { isRunv } from '../harness/environment.ts';
import { LoopDevice } from '../harness/loop-device.ts';
import { skipped } from '../harness/skip.ts';
import { suite } from '../harness/suite.ts';

const s = suite();
const runvOnly = { skip: !isRunv && 'runv' };

afterEach(async () => {
  await s.containerd.configureRunv({});
});

/** An error a user can act on: at once, one line, about the right thing. */
function assertRefused(outcome: Outcome, about: RegExp, withinMs = 15_000): void {
  assert.notEqual(outcome.code, 0, describe(outcome));
  const lines = outcome.stderr
    // how containerd goes on after what a shim that did not start had to say
    .replace(/\n: exit status \d+: unknown$/m, '')
    .split('\n')
    .filter((line) => line !== '' && !/level=(warning|info)/.test(line));
  assert.equal(lines.length, 1, describe(outcome));
  assert.match(lines[0] ?? '', about, describe(outcome));
  assert.ok(outcome.elapsedMs < patient(withinMs), describe(outcome));
}

const badConfigs: [string, Record<string, string | number>, RegExp][] = [
  ['an unknown key', { colour: 'blue' }, /runv\.toml: unknown key "colour"/],
  ['a value of the wrong type', { debug: 'yes' }, /runv\.toml: debug must be true or false/],
  ['an accelerator there is none of', { accelerator: 'warp' }, /accelerator must be one of/],
  ['a kernel that is not there', { kernel: '/no/such/vmlinux' }, /\/no\/such\/vmlinux/],
  ['a guest image that is not there', { image: '/no/such/image' }, /\/no\/such\/image/],
  ['a QEMU that is not there', { qemu: '/no/such/qemu' }, /\/no\/such\/qemu/],
  ['less memory than a guest needs', { default_memory_mib: 16 }, /default_memory_mib must be/],
];
for (const [what, keys, about] of badConfigs) {
  test(`a configuration with ${what} is refused in one line that names it`, runvOnly, async () => {
    await s.containerd.configureRunv(keys);
    assertRefused(await s.ctr.run({ argv: ['true'] }), about);
  });
}

test('a configuration that is no TOML is refused with its line', runvOnly, async () => {
  await writeFile(s.containerd.runvConfigPath, 'debug = true\nthis is not\n');
  assertRefused(await s.ctr.run({ argv: ['true'] }), /runv\.toml: line 2/);
});

test('a kernel that is none is refused', runvOnly, async () => {
  const kernel = join(s.containerd.dir, 'no-kernel');
  await writeFile(kernel, 'this is text\n'.repeat(1000));
  await s.containerd.configureRunv({ kernel });
  assertRefused(await s.ctr.run({ argv: ['true'] }), /kernel|virtual machine|QEMU/i);
});

test(
  'a guest image that cannot be mounted is an error that says so, not a time-out',
  runvOnly,
  async () => {
    const image = join(s.containerd.dir, 'no-image');
    await writeFile(image, Buffer.alloc(1 << 20, 7));
    await s.containerd.configureRunv({ image });
    assertRefused(await s.ctr.run({ argv: ['true'] }), /guest|virtual machine|image/i, 30_000);
  },
);

test('KVM that cannot run a guest is refused when asked for', runvOnly, async (t) => {
  await s.containerd.configureRunv({ accelerator: 'kvm' });
  const outcome = await s.ctr.run({ argv: ['true'] });
  if (outcome.code === 0) skipped(t, 'a machine whose KVM does not work');
  else assertRefused(outcome, /KVM/);
});

test('host network is refused', runvOnly, async () => {
  const outcome = await s.ctr.run({ argv: ['true'], flags: ['--net-host'] });
  assertRefused(outcome, /host network/i);
});

const badSpecs: [string, (spec: Spec) => string | void, RegExp][] = [
  ['cut short', (spec) => JSON.stringify(spec).slice(0, 400), /config\.json|JSON|unexpected end/i],
  ['without a command', (spec) => void (spec.process.args = []), /args|command/i],
  [
    'with mounts of the wrong type',
    (spec) => JSON.stringify({ ...spec, mounts: 'none' }),
    /mounts/i,
  ],
  [
    'with a device that is not there',
    (spec) => {
      const device = { path: '/dev/sdq', type: 'b', major: 7, minor: 4_000, fileMode: 0o600 };
      spec.linux['devices'] = [device];
    },
    /\/dev\/sdq|7:4000/,
  ],
];
for (const [what, change, about] of badSpecs) {
  const onlyRunv = what.includes('device') ? runvOnly : {};
  test(`a bundle ${what} is refused`, onlyRunv, async () => {
    assertRefused(await runChanged(s.ctr, { argv: ['true'] }, change), about);
  });
}

test('a mount of a device that is not there is refused', async () => {
  const mount = 'type=ext4,src=/dev/no-such-device,dst=/data,options=rw';
  const outcome = await s.ctr.run({ argv: ['true'], flags: ['--mount', mount] });
  assertRefused(outcome, /\/dev\/no-such-device|no such file or directory/);
});

test('a bind of a path that is not there is refused', async () => {
  const mount = 'type=bind,src=/no/such/dir,dst=/data,options=rbind:rw';
  const outcome = await s.ctr.run({ argv: ['true'], flags: ['--mount', mount] });
  assertRefused(outcome, /\/no\/such\/dir/);
});

test('a corrupt file system on a passed device is refused', async () => {
  const file = join(s.containerd.dir, 'corrupt.img');
  await using disk = await LoopDevice.attach(file, { sizeBytes: 8 << 20 });
  const mount = `type=ext4,src=${disk.path},dst=/data,options=rw`;
  const outcome = await s.ctr.run({ argv: ['true'], flags: ['--mount', mount] });
  assertRefused(outcome, /ext4|\/data|invalid argument/i);
});

test('a layer that is gone is an error, and the container can be deleted', async () => {
  const id = await s.ctr.create({ argv: ['true'] });
  const [mount] = await s.ctr.snapshotMounts(id);
  const layers = mount?.options?.find((option) => option.startsWith('lowerdir=')) ?? '';
  const layer = layers.slice('lowerdir='.length).split(':')[0] ?? '';
  await rename(layer, `${layer}.away`);
  try {
    // a disk made of the layers before would hide that one is gone
    await s.containerd.configureRunv({ data_dir: join(s.containerd.dir, 'empty-data') });
    assertRefused(await s.ctr.call(s.ctr.taskStartArgs(id)), /no such file|not exist|snapshots/i);
  } finally {
    await rename(`${layer}.away`, layer);
    await s.ctr.remove(id);
  }
});

test('a memory limit that no process fits in is an error, not a time-out', async () => {
  const flags = ['--memory-limit', String(400 << 10)];
  const outcome = await s.ctr.run({ argv: ['true'], flags });
  assert.notEqual(outcome.code, 0, describe(outcome));
  assert.ok(outcome.elapsedMs < patient(20_000), describe(outcome));
});

test('a second create with the same id is refused and does not harm the first', async () => {
  const id = await s.ctr.create({ argv: idle });
  const api = new ContainerdApi(s.ctr);
  const mounts = await s.ctr.snapshotMounts(id);
  const results = await Promise.allSettled([
    api.createTask(id, mounts),
    api.createTask(id, mounts),
    delay(50).then(() => api.createTask(id, mounts)),
  ]);
  const refused = results.flatMap((r) => (r.status === 'rejected' ? [String(r.reason)] : []));
  assert.equal(refused.length, 2, refused.join('\n'));
  for (const reason of refused) assert.match(reason, /exists|locked/);
  await api.startTask(id);
  assert.equal((await s.ctr.exec(id, ['echo', 'well'])).stdout, 'well\n');
  const again = await s.ctr.run({ id, argv: ['true'] });
  assertRefused(again, /already exists/);
  await s.ctr.remove(id);
});

test('frames that are too long, cut short or nonsense do not harm the shim', async () => {
  const id = await s.ctr.runDetached({ argv: idle });
  const address = await readFile(join(s.containerd.bundleDir(id), 'address'), 'utf8');
  const path = address.trim().replace(/^unix:\/\//, '');
  // PROTOCOL.md of ttrpc: length (4 bytes), stream (4), type (1), flags (1), data
  const frame = (length: number, stream: number, type: number, data: string) => {
    const head = Buffer.alloc(10);
    head.writeUInt32BE(length, 0);
    head.writeUInt32BE(stream, 4);
    head[8] = type;
    return Buffer.concat([head, Buffer.from(data)]);
  };
  const attacks = [
    frame(0xffffffff, 1, 1, 'x'.repeat(100)),
    frame(5 << 20, 1, 1, 'x'.repeat(6 << 20)),
    frame(1000, 1, 1, 'cut short'),
    frame(3, 1, 1, '\xff\xff\xff'),
    frame(0, 2, 1, ''),
    frame(0, 1, 99, ''),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.alloc(3),
  ];
  for (const bytes of attacks) {
    const socket = connect(path);
    socket.on('error', () => {});
    socket.write(bytes);
    await delay(100);
    socket.destroy();
  }
  // and one that stays open, half sent, while others go on
  const open = connect(path);
  open.on('error', () => {});
  open.write(frame(1000, 1, 1, 'half'));
  assert.equal((await s.ctr.exec(id, ['echo', 'alive'])).stdout, 'alive\n');
  assert.equal(await s.ctr.status(id), 'RUNNING');
  open.destroy();
  await s.ctr.remove(id);
});

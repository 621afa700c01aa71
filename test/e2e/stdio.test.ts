import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { delay, describe, type Outcome, patient } from '../harness/command.ts';
import { idle } from '../harness/ctr.ts';
import { repeats } from '../harness/environment.ts';
import { isRunv } from '../harness/environment.ts';
import { residentBytes } from '../harness/proc.ts';
import { shimPid } from '../harness/runtime-processes.ts';
import { suite } from '../harness/suite.ts';

const s = suite();

/** Bytes that do not repeat in any block size of the way: a counter through a mixer. */
function* noise(totalBytes: number): Generator<Buffer> {
  let state = 0x9e3779b9;
  for (let at = 0; at < totalBytes; at += 1 << 20) {
    const chunk = Buffer.alloc(Math.min(1 << 20, totalBytes - at));
    for (let i = 0; i + 4 <= chunk.length; i += 4) {
      state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + i + at) | 0;
      chunk.writeInt32LE(state, i);
    }
    yield chunk;
  }
}

test(
  '200 MB through stdin and cat come back with the same SHA-256',
  { timeout: patient(400_000) },
  async () => {
    const totalBytes = 200_000_000;
    const sent = createHash('sha256');
    const received = createHash('sha256');
    let receivedBytes = 0;
    function* source() {
      for (const chunk of noise(totalBytes)) {
        sent.update(chunk);
        yield chunk;
      }
    }
    const outcome = await s.ctr.run({
      argv: ['cat'],
      stdin: Readable.from(source()),
      deadlineMs: 380_000,
      onStdout: (chunk) => {
        received.update(chunk);
        receivedBytes += chunk.length;
      },
    });
    assert.equal(outcome.code, 0, describe(outcome));
    assert.equal(receivedBytes, totalBytes);
    assert.equal(received.digest('hex'), sent.digest('hex'));
  },
);

test('stdout and stderr stay apart, and bytes that are no text survive', async () => {
  const script = "printf 'out\\000\\377\\r\\n'; printf 'err\\n' >&2";
  const outcome = await s.ctr.run({ argv: ['sh', '-c', script] });
  assert.deepEqual(outcome.stdoutBytes, Buffer.from('out\0\xff\r\n', 'latin1'));
  assert.equal(outcome.stderr, 'err\n');
});

test('the last line before the exit is never lost', { timeout: patient(400_000) }, async () => {
  for (let n = 0; n < repeats(8); n++) {
    const outcome = await s.ctr.run({ argv: ['sh', '-c', `echo first; echo last ${n}; exit 3`] });
    assert.equal(outcome.stdout, `first\nlast ${n}\n`, describe(outcome));
  }
  const id = await s.ctr.runDetached({ argv: idle });
  try {
    for (let n = 0; n < repeats(100); n++) {
      const outcome = await s.ctr.exec(id, ['sh', '-c', `seq 1 500; echo last ${n}`]);
      assert.ok(outcome.stdout.endsWith(`500\nlast ${n}\n`), describe(outcome));
    }
  } finally {
    await s.ctr.remove(id);
  }
});

test('output still under way at the exit arrives whole, however slow its reader', async () => {
  const argv = ['sh', '-c', 'seq 1 200000; echo last'];
  await using main = s.ctr.startRun({ argv, holdOutput: true });
  await delay(2000);
  main.readOutput();
  const { code, stdout } = await main.outcome;
  assert.equal(code, 0);
  assert.equal(stdout.length, 1_288_895 + 'last\n'.length);
  assert.ok(stdout.endsWith('\n200000\nlast\n'));
});

test('closing stdin ends cat', async () => {
  await using main = s.ctr.startRun({
    argv: ['sh', '-c', 'echo up; cat; echo end'],
    keepStdin: true,
  });
  await main.untilStdout(/up/);
  main.write('a line\n');
  await main.untilStdout(/a line/);
  main.endStdin();
  const outcome = await main.outcome;
  assert.equal(outcome.stdout, 'up\na line\nend\n', describe(outcome));
  assert.equal(outcome.code, 0);
});

test('closing stdin of an exec ends its cat', async () => {
  const id = await s.ctr.runDetached({ argv: idle });
  try {
    const outcome = await s.ctr.exec(id, ['sh', '-c', 'cat; echo end'], { stdin: 'in\n' });
    assert.equal(outcome.stdout, 'in\nend\n', describe(outcome));
  } finally {
    await s.ctr.remove(id);
  }
});

test('a process that never reads its stdin does not hold up its own end', async () => {
  const stdin = Readable.from(noise(20 << 20));
  const outcome = await s.ctr.run({ argv: ['sh', '-c', 'echo done; exit 4'], stdin });
  assert.equal(outcome.stdout, 'done\n', describe(outcome));
  assert.equal(outcome.code, 4);
});

test('output that nobody reads stops the process and grows no memory', async () => {
  const id = s.ctr.newId();
  const script = `
    n=0
    while head -c 65536 /dev/zero; do n=$((n + 1)); echo $n >/tmp/blocks; done`;
  await using main = s.ctr.startRun({ id, argv: ['sh', '-c', script], holdOutput: true });
  await s.ctr.untilStatus(id, 'RUNNING');
  const measure = async () => {
    const probe = 'cat /tmp/blocks; sed -n "s/MemAvailable: *//p" /proc/meminfo';
    const outcome: Outcome = await s.ctr.exec(id, ['sh', '-c', probe]);
    const [blocks = '', available = ''] = outcome.stdout.split('\n');
    return {
      blocks: Number(blocks),
      availableKb: parseInt(available),
      shimBytes: residentBytes(shimPid(s.containerd, id)),
    };
  };
  await delay(2000);
  const early = await measure();
  assert.ok(early.blocks > 0, 'it never ran');
  await delay(4000);
  const late = await measure();
  assert.equal(late.blocks, early.blocks, 'it wrote on although nobody reads');
  assert.ok(late.blocks < 512, `${late.blocks * 64} kB lie somewhere`);
  assert.ok(late.shimBytes < early.shimBytes + (16 << 20), 'the shim grew');
  if (isRunv) assert.ok(late.availableKb > early.availableKb - 32_768, 'the guest filled up');
  main.readOutput();
  await s.ctr.kill(id, 'SIGKILL');
  assert.equal((await main.outcome).code, 137);
});

test('a log file takes the output where ctr asks for one', async () => {
  const path = join(s.containerd.dir, 'output.log');
  const flags = ['--log-uri', `file://${path}`];
  const id = await s.ctr.runDetached({ argv: ['sh', '-c', 'echo out; echo err >&2'], flags });
  try {
    await s.ctr.untilStatus(id, 'STOPPED');
    const lines = (await readFile(path, 'utf8')).trim().split('\n').sort();
    assert.deepEqual(lines, ['err', 'out']);
  } finally {
    await s.ctr.remove(id);
  }
});

test('a container without any stdio runs', async () => {
  const outcome = await s.ctr.run({
    argv: ['sh', '-c', 'echo lost; exit 6'],
    flags: ['--null-io'],
  });
  assert.equal(outcome.code, 6, describe(outcome));
  assert.equal(outcome.stdout, '');
});

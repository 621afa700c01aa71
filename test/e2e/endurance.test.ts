import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { describe, must, patient } from '../harness/command.ts';
import { isRunv, repeats } from '../harness/environment.ts';
import { assertNothingLeft, hostState } from '../harness/leaks.ts';
import { suite } from '../harness/suite.ts';

const s = suite();

test('five starts at once of an image that was never run all succeed', async () => {
  const outcomes = await Promise.all(
    [1, 2, 3, 4, 5].map((n) => s.ctr.run({ argv: ['sh', '-c', `echo ${n}; exit ${n}`] })),
  );
  outcomes.forEach((outcome, index) => {
    assert.equal(outcome.stdout, `${index + 1}\n`, describe(outcome));
    assert.equal(outcome.code, index + 1);
  });
  if (isRunv) {
    const images = await must('find', [s.containerd.runvDataDir, '-name', '*.erofs']);
    assert.equal(images.trim().split('\n').length, 1, `one image, built once:\n${images}`);
  }
});

test(
  'many runs in a row leave the machine as it was',
  { timeout: patient(1_200_000) },
  async (t) => {
    const runs = repeats(100);
    // the first makes what stays: the image's disk, the answer about KVM
    await s.ctr.run({ argv: ['true'] });
    const before = hostState(s.containerd);
    const openFiles = () => readdirSync(`/proc/${s.containerd.pid}/fd`).length;
    const used = async () => parseInt(await must('du', ['-sk', s.containerd.runvDataDir]));
    await assertNothingLeft(s.containerd, before);
    const filesBefore = openFiles();
    const dataBefore = isRunv ? await used() : 0;
    const startedMs = performance.now();
    for (let n = 1; n <= runs; n++) {
      const outcome = await s.ctr.run({ argv: ['sh', '-c', `echo run ${n}`] });
      assert.equal(outcome.stdout, `run ${n}\n`, describe(outcome));
      if (n % 10 === 0) await assertNothingLeft(s.containerd, before);
    }
    const eachMs = (performance.now() - startedMs) / runs;
    t.diagnostic(`${runs} runs, ${Math.round(eachMs)} ms each`);
    await assertNothingLeft(s.containerd, before);
    assert.ok(
      openFiles() <= filesBefore + 5,
      `containerd: ${filesBefore} → ${openFiles()} open files`,
    );
    if (isRunv) assert.ok((await used()) <= dataBefore + 64, `data_dir grew from ${dataBefore} kB`);
    assert.deepEqual(await s.ctr.containers(), []);
  },
);

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { labArgs, type LabMachine, lacks, runLab } from './machine.ts';

const dir = mkdtempSync(join(tmpdir(), 'runv-lab-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const path = process.env['PATH'] ?? '';
const lab: LabMachine = {
  imageDir: '/image',
  payload: '/payload',
  workDir: dir,
  memoryMiB: 64,
  cpus: 1,
  interactive: false,
  countInstructions: false,
};
const never = new AbortController().signal;

/** Puts a script in QEMU's place. */
function fakeQemu(script: string): void {
  const file = join(dir, 'qemu-system-x86_64');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  process.env['PATH'] = `${dir}:${path}`;
  rmSync(join(dir, 'status'), { force: true });
}

describe('the lab', () => {
  it('ends with the status of its command', async () => {
    fakeQemu(`echo 'lab: up'; echo 7 >${dir}/status`);
    assert.deepEqual(await runLab(lab, 60_000, never), { kind: 'ended', status: 7 });
    assert.equal(readFileSync(join(dir, 'output.log'), 'utf8'), 'lab: up\n');
  });

  it('that QEMU refuses to run says why', async () => {
    fakeQemu('echo "qemu: no such processor" >&2; exit 1');
    const why = 'QEMU ended with status 1: qemu: no such processor';
    assert.deepEqual(await runLab(lab, 60_000, never), { kind: 'died', why });
  });

  it('that hangs is cut at its deadline, and gone', async () => {
    fakeQemu(`echo $$ >${dir}/pid; echo 'lab: up'; exec sleep 1000`);
    const end = await runLab(lab, 1000, never);
    assert.deepEqual(end, { kind: 'cut', why: 'did not end within 1 s' });
    const pid = Number(readFileSync(join(dir, 'pid'), 'utf8'));
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  });

  it('is cut when the one who waits for it is interrupted', async () => {
    fakeQemu(`exec sleep 1000`);
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 100);
    assert.deepEqual(await runLab(lab, 60_000, abort.signal), {
      kind: 'cut',
      why: 'was interrupted',
    });
  });

  it('says before it starts that there is too little memory', () => {
    assert.equal(lacks({ memoryMiB: 64, workDir: dir }), undefined);
    assert.match(lacks({ memoryMiB: 2 ** 30, workDir: dir }) ?? '', /^too little memory: /);
  });

  it('counts instructions on one thread only', () => {
    const counting = labArgs({ ...lab, countInstructions: true }).join(' ');
    assert.match(counting, /-accel tcg,thread=single -icount shift=1/);
    assert.doesNotMatch(labArgs(lab).join(' '), /icount/);
  });
});

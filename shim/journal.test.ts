import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import type { Config } from './config.ts';
import { cleanUp, Journal, markerVariable, readJournal, sandboxPaths } from './journal.ts';
import { vmmUid } from './vmm-uid.ts';

const dir = mkdtempSync(join(tmpdir(), 'runv-journal-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const config = { runDir: join(dir, 'run'), dataDir: join(dir, 'data') } as Config;
let n = 0;
let paths = sandboxPaths(config, 'ns', 'x');
beforeEach(() => (paths = sandboxPaths(config, 'ns', `sandbox-${n++}`)));
const nobody = new Set<number>();

describe('journal', () => {
  it('keeps socket paths short whatever the ids', () => {
    const long = sandboxPaths({ ...config, runDir: '/run/runv' }, 'n'.repeat(76), 'i'.repeat(76));
    assert.ok(`${long.socketDir}/shim.new`.length < 107);
  });

  it('removes what was recorded, and the directories it made', async () => {
    const journal = Journal.create(paths);
    const file = join(dir, 'extra');
    journal.record({ kind: 'path', path: file });
    writeFileSync(file, '');
    writeFileSync(join(paths.diskDir, 'disk'), '');
    await cleanUp(paths.stateDir, nobody);
    for (const path of [file, paths.stateDir, paths.socketDir, paths.diskDir])
      assert.ok(!existsSync(path), path);
  });

  it('is content with what was recorded but never made', async () => {
    Journal.create(paths).record({ kind: 'path', path: join(dir, 'never-made') });
    await cleanUp(paths.stateDir, nobody);
  });

  it('makes nothing that is not recorded yet', () => {
    const runDir = join(dir, 'another');
    mkdirSync(runDir);
    // what would be recorded cannot be
    writeFileSync(join(runDir, 'ns'), '');
    const unlucky = sandboxPaths({ ...config, runDir }, 'ns', 'x');
    assert.throws(() => Journal.create(unlucky), { code: 'ENOTDIR' });
    assert.deepEqual(readdirSync(runDir), ['ns']);
  });

  it('ends every process that carries the marker, and no other', async () => {
    Journal.create(paths);
    const start = (marker: string) =>
      spawn('sleep', ['60'], { env: { PATH: process.env['PATH'], [markerVariable]: marker } });
    const ours = start(paths.stateDir);
    const kept = start(paths.stateDir);
    const other = start(`${paths.stateDir}-more`);
    await Promise.all([ours, kept, other].map((child) => once(child, 'spawn')));
    const exit = once(ours, 'exit');
    await cleanUp(paths.stateDir, new Set([kept.pid ?? 0]));
    assert.deepEqual(await exit, [null, 'SIGKILL']);
    for (const child of [kept, other]) {
      assert.equal(child.exitCode ?? child.signalCode, null);
      child.kill('SIGKILL');
    }
  });

  it("ends a VMM that hides its marker, by the sandbox's own user", async () => {
    Journal.create(paths);
    const uid = vmmUid(paths.stateDir);
    const hidden = spawn('sleep', ['60'], { uid, env: { PATH: process.env['PATH'] } });
    await once(hidden, 'spawn');
    const exit = once(hidden, 'exit');
    await cleanUp(paths.stateDir, nobody);
    assert.deepEqual(await exit, [null, 'SIGKILL']);
  });

  it('leaves out a last line that a crash cut short', () => {
    Journal.create(paths);
    const whole = readJournal(paths.stateDir);
    appendFileSync(join(paths.stateDir, 'journal'), '{"kind":"path","pa');
    assert.deepEqual(readJournal(paths.stateDir), whole);
  });

  it('cleans up twice without complaint', async () => {
    Journal.create(paths);
    await cleanUp(paths.stateDir, nobody);
    await cleanUp(paths.stateDir, nobody);
  });
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { task } from '../proto/messages.ts';

const top = join(import.meta.dirname, '..');
const config = 'etc/runv/config.toml';

describe(
  'make install',
  { skip: existsSync(join(top, 'dist/rootfs.erofs')) ? false : 'skipped: make build first' },
  () => {
    let destdir: string;
    const make = (target: string) =>
      execFileSync('make', ['-C', top, target, `DESTDIR=${destdir}`, 'PREFIX=/opt/runv'], {
        encoding: 'utf8',
      });
    const filesLeft = () =>
      readdirSync(destdir, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name));

    before(() => (destdir = mkdtempSync(join(tmpdir(), 'runv-install-'))));
    after(() => rmSync(destdir, { recursive: true }));

    it('gives a command that runs, directly and through a symbolic link', () => {
      make('install');
      const runv = join(destdir, 'opt/runv/bin/runv');
      const link = join(destdir, 'link');
      symlinkSync(runv, link);
      for (const program of [runv, link]) {
        assert.match(
          execFileSync(program, ['--version'], { cwd: '/', encoding: 'utf8' }),
          /^runv \d/,
        );
      }
      rmSync(link);
      assert.ok(existsSync(join(destdir, config)));
    });

    it('answers for a container whose bundle names no sandbox, without a trace', () => {
      const shim = join(destdir, 'opt/runv/bin/containerd-shim-runv-v2');
      const bundle = mkdtempSync(join(tmpdir(), 'runv-bundle-'));
      const before = Math.floor(Date.now() / 1000);
      const answer = execFileSync(shim, ['-namespace', 'n', '-id', 'c', 'delete'], { cwd: bundle });
      const { exitStatus, exitedAt } = task.DeleteResponse.decode(answer);
      assert.equal(exitStatus, 137);
      const seconds = Number(exitedAt?.seconds);
      assert.ok(seconds >= before && seconds <= Date.now() / 1000, `exited at ${seconds}`);
      assert.deepEqual(readdirSync(bundle), []);
      rmSync(bundle, { recursive: true });
    });

    it('replaces an unchanged configuration without a trace', () => {
      make('install');
      assert.deepEqual(readdirSync(join(destdir, 'etc/runv')), ['config.toml']);
    });

    it('keeps a changed configuration and puts the new default beside it', () => {
      appendFileSync(join(destdir, config), '# mine\n');
      assert.match(make('install'), /kept your/);
      assert.match(readFileSync(join(destdir, config), 'utf8'), /# mine/);
      assert.ok(existsSync(join(destdir, `${config}.new`)));
    });

    it('uninstalls everything but the changed configuration', () => {
      make('uninstall');
      assert.deepEqual(filesLeft(), [join(destdir, config)]);
    });

    it('uninstalls everything', () => {
      rmSync(join(destdir, config));
      make('install');
      make('uninstall');
      assert.deepEqual(filesLeft(), []);
    });
  },
);

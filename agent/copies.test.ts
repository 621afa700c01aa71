import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Copies } from './copies.ts';

const base = mkdtempSync(join(tmpdir(), 'runv-copies-'));
after(() => rmSync(base, { recursive: true }));

let count = 0;
/** Writes files as kubelet's atomic writer does. */
function publish(dir: string, files: Record<string, string>): void {
  const version = `..2026_${(count += 1)}`;
  mkdirSync(join(dir, version), { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(dir, version, name, '..'), { recursive: true });
    writeFileSync(join(dir, version, name), text);
    chmodSync(join(dir, version, name), 0o640);
  }
  const old = readdirSync(dir).includes('..data') ? readlinkSync(join(dir, '..data')) : undefined;
  symlinkSync(version, join(dir, '..data_tmp'));
  renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
  const tops = new Set(Object.keys(files).map((name) => name.split('/')[0] ?? ''));
  const visible = readdirSync(dir).filter((name) => !name.startsWith('..'));
  for (const name of tops) {
    if (!visible.includes(name)) symlinkSync(join('..data', name), join(dir, name));
  }
  for (const name of visible) if (!tops.has(name)) rmSync(join(dir, name));
  if (old !== undefined) rmSync(join(dir, old), { recursive: true });
}

describe('copies of kubelet volumes', () => {
  const source = join(base, 'source');
  const copies = new Copies(join(base, 'copies'));

  it('have the files, their modes, and the links through ..data', async () => {
    publish(source, { one: '1', 'sub/two': '2' });
    const copy = await copies.make('share/0', source);
    assert.equal(readFileSync(join(copy, 'one'), 'utf8'), '1');
    assert.equal(readFileSync(join(copy, 'sub/two'), 'utf8'), '2');
    assert.equal(lstatSync(join(copy, '..data/one')).mode & 0o7777, 0o640);
    assert.equal(readlinkSync(join(copy, 'one')), '..data/one');
  });

  it('are one for each share path', async () => {
    assert.equal(await copies.make('share/0', source), await copies.make('share/0', source));
  });

  it('change by a rename of ..data, which a watcher sees', async () => {
    const copy = await copies.make('share/0', source);
    const renamed: string[] = [];
    const watcher = watch(copy, (event, name) => event === 'rename' && renamed.push(name ?? ''));
    try {
      publish(source, { one: 'new', three: '3' });
      await copies.sync('share/0');
      assert.equal(readFileSync(join(copy, 'one'), 'utf8'), 'new');
      assert.deepEqual(
        readdirSync(copy).filter((name) => !name.startsWith('..')),
        ['one', 'three'],
      );
      assert.equal(readdirSync(copy).length, 4, 'nothing of the old version is left');
      while (!renamed.includes('..data')) await sleep(5);
    } finally {
      watcher.close();
    }
  });

  it('change nothing when nothing has changed', async () => {
    const copy = await copies.make('share/0', source);
    const { mtimeMs } = lstatSync(copy);
    await copies.sync('share/0');
    assert.equal(lstatSync(copy).mtimeMs, mtimeMs);
  });

  it('are not updated where there is none', async () => {
    await assert.rejects(copies.sync('share/9'), /there is no copy of share\/9/);
  });
});

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { readKubeletFiles } from './kubelet-files.ts';

const dir = mkdtempSync(join(tmpdir(), 'runv-kubelet-'));
after(() => rmSync(dir, { recursive: true }));

describe('files of kubelet', () => {
  mkdirSync(join(dir, '..1/sub'), { recursive: true });
  writeFileSync(join(dir, '..1/one'), '1', { mode: 0o600 });
  writeFileSync(join(dir, '..1/sub/two'), '2');
  symlinkSync('..1', join(dir, '..data'));
  symlinkSync('..data/one', join(dir, 'one'));
  symlinkSync('..data/sub', join(dir, 'sub'));

  it('are read with directories first, modes, and the visible links', async () => {
    const { version, files = [], links } = (await readKubeletFiles(dir)) ?? {};
    assert.equal(version, '..1');
    assert.deepEqual(links, { one: '..data/one', sub: '..data/sub' });
    const paths = files.map(({ path }) => path ?? '');
    assert.deepEqual(paths.toSorted(), ['', 'one', 'sub', 'sub/two']);
    assert.ok(paths.indexOf('sub') < paths.indexOf('sub/two'));
    const one = files.find(({ path }) => path === 'one');
    assert.equal(Buffer.from(one?.data ?? []).toString(), '1');
    assert.equal((one?.mode ?? 0) & 0o7777, 0o600);
  });

  it('are not read when they are too large for one message', async () => {
    writeFileSync(join(dir, '..1/large'), Buffer.alloc(4 << 20));
    assert.equal(await readKubeletFiles(dir), undefined);
    rmSync(join(dir, '..1/large'));
  });
});

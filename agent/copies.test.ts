import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  watch,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { agent } from '../proto/messages.ts';
import { Copies } from './copies.ts';

const base = mkdtempSync(join(tmpdir(), 'runv-copies-'));
after(() => rmSync(base, { recursive: true }));

const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
const directory = { mode: 0o040755, uid, gid };
const file = (path: string, text: string) => ({
  path,
  mode: 0o100640,
  uid,
  gid,
  data: Buffer.from(text),
});
const request = (message: agent.ISyncCopyRequest) =>
  agent.SyncCopyRequest.decode(agent.SyncCopyRequest.encode({ name: 'c', ...message }));

describe('copies of kubelet volumes', () => {
  const copies = new Copies(base);
  const copy = join(base, 'c');

  it('have the files, their modes, and the links through ..data', () => {
    copies.sync(
      request({
        version: '..1',
        root: { ...directory, mode: 0o041777 },
        files: [
          { path: '', ...directory },
          file('one', '1'),
          { path: 'sub', ...directory },
          file('sub/two', '2'),
        ],
        links: { one: '..data/one', sub: '..data/sub' },
      }),
    );
    assert.equal(copies.path('c'), copy);
    assert.equal(readFileSync(join(copy, 'one'), 'utf8'), '1');
    assert.equal(readFileSync(join(copy, 'sub/two'), 'utf8'), '2');
    assert.equal(lstatSync(join(copy, '..data/one')).mode & 0o7777, 0o640);
    assert.equal(lstatSync(copy).mode & 0o7777, 0o1777);
    assert.equal(readlinkSync(join(copy, 'one')), '..data/one');
  });

  it('change by a rename of ..data, which a watcher sees', async () => {
    const renamed: string[] = [];
    const watcher = watch(copy, (event, name) => event === 'rename' && renamed.push(name ?? ''));
    try {
      const files = [{ path: '', ...directory }, file('one', 'new'), file('three', '3')];
      const links = { one: '..data/one', three: '..data/three' };
      copies.sync(request({ version: '..2', files, links }));
      assert.equal(readFileSync(join(copy, 'one'), 'utf8'), 'new');
      assert.deepEqual(readdirSync(copy).sort(), ['..2', '..data', 'one', 'three']);
      while (!renamed.includes('..data')) await sleep(5);
    } finally {
      watcher.close();
    }
  });

  it('change nothing when nothing has changed', () => {
    const { mtimeMs } = lstatSync(copy);
    copies.sync(request({ version: '..2' }));
    assert.equal(lstatSync(copy).mtimeMs, mtimeMs);
  });

  const leading: [what: string, message: agent.ISyncCopyRequest][] = [
    ['name', { name: '../x', version: '..3' }],
    ['version', { version: '../x' }],
    ['version', { version: '..' }],
    ['file', { version: '..3', files: [file('../../x', '')] }],
    ['file', { version: '..3', files: [file('/x', '')] }],
    ['link', { version: '..3', links: { '../x': 'y' } }],
  ];
  for (const [what, message] of leading) {
    it(`refuse a ${what} that leads out of them`, () => {
      assert.throws(() => copies.sync(request(message)), /is no (plain )?name of a (copy|file)/);
    });
  }

  it('are not found where there is none', () => {
    assert.throws(() => copies.path('other'), /there is no copy "other"/);
  });
});

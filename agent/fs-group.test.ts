import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { giveToGroup } from './fs-group.ts';

const top = mkdtempSync(join(tmpdir(), 'runv-group-'));
after(() => rmSync(top, { recursive: true }));
const root = join(top, 'volume');
const skip = process.getuid?.() !== 0 && 'root';

beforeEach(() => {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(join(root, 'dir'), { recursive: true });
  writeFileSync(join(root, 'dir/program'), '');
  chmodSync(join(root, 'dir/program'), 0o4755);
  writeFileSync(join(top, 'outside'), '');
  symlinkSync('../outside', join(root, 'link'));
  for (const dir of [root, join(root, 'dir')]) chmodSync(dir, 0o755);
});

const of = (path: string) => {
  const { mode, gid } = lstatSync(join(root, path));
  return `${gid} ${(mode & 0o7777).toString(8)}`;
};

describe('fsGroup', { skip }, () => {
  it('gives directories and files to the group, and follows no link', async () => {
    await giveToGroup(root, { gid: 3000, onRootMismatch: true });
    assert.deepEqual(['.', 'dir', 'dir/program'].map(of), ['3000 2775', '3000 2775', '3000 4775']);
    assert.equal(lstatSync(join(root, 'link')).gid, 3000);
    assert.equal(lstatSync(join(top, 'outside')).gid, 0);
  });

  it('leaves a volume alone whose root is as it should be, where that is wanted', async () => {
    await giveToGroup(root, { gid: 3000 });
    chmodSync(join(root, 'dir'), 0o700);
    await giveToGroup(root, { gid: 3000, onRootMismatch: true });
    assert.equal(of('dir'), '3000 700');
    await giveToGroup(root, { gid: 3000 });
    assert.equal(of('dir'), '3000 2770');
  });
});

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { must } from './command.ts';
import { oddLayer } from './layers.ts';
import { tar } from './tar.ts';

test('GNU tar lists what was written: kinds, modes, owners, links, long names', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'tar-test-'));
  try {
    const archive = join(dir, 'layer.tar');
    await writeFile(archive, tar(oddLayer()));
    const listed = await must('tar', ['--list', '--verbose', '--numeric-owner', '-f', archive]);
    assert.match(listed, /^-rwsr-xr-x 0\/0 .* odd\/setuid$/m);
    assert.match(listed, /^-rw-r----- 1000\/2000 .* odd\/foreign$/m);
    assert.match(listed, /^hrw-r--r-- .* odd\/hardlink-b link to odd\/hardlink-a$/m);
    assert.match(listed, /^lrwxrwxrwx .* odd\/symlink-dangling -> nowhere$/m);
    assert.match(listed, /^crw-rw-rw- 0\/0 +1,3 .* odd\/null$/m);
    assert.match(listed, /^prw-r--r-- .* odd\/fifo$/m);
    assert.match(listed, new RegExp(`^-.* odd/${'long-name-'.repeat(20)}$`, 'm'));
    assert.match(listed, /^-rw-r--r-- 65534\/100000 .* odd\/large-ids$/m);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('the archive is the same every time', () => {
  assert.ok(tar(oddLayer()).equals(tar(oddLayer())));
});

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const build = join(import.meta.dirname, 'build.sh');
const lacking = ['mkfs.erofs', 'strip', 'dpkg-deb'].filter(
  (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
);

test(
  'two builds of the guest image have the same bytes',
  {
    skip: lacking.length > 0 ? `skipped: ${lacking.join(', ')} missing` : false,
  },
  () => {
    const dir = mkdtempSync(join(tmpdir(), 'runv-rootfs-'));
    try {
      const agent = join(dir, 'agent.cjs');
      writeFileSync(agent, 'function standsInForTheAgent() {}\n');
      writeFileSync(join(dir, 'start.cjs'), '');
      const [first, second] = ['first', 'second'].map((name) => {
        const image = join(dir, name);
        // Another umask and time zone, since a build on another machine has them too.
        const umask = name === 'first' ? '022' : '077';
        execFileSync('bash', ['-c', `umask ${umask}; exec "$0" --out "$1"`, build, image], {
          env: { ...process.env, RUNV_AGENT: agent, TZ: name === 'first' ? 'UTC' : 'Asia/Tokyo' },
          stdio: ['ignore', 'ignore', 'inherit'],
        });
        return createHash('sha256').update(readFileSync(image)).digest('hex');
      });
      assert.equal(second, first);
    } finally {
      rmSync(dir, { recursive: true });
    }
  },
);

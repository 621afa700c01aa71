import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pauseProgram } from './pause-program.ts';

it('runs for ever and leaves no zombie: it ignores SIGCHLD', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'runv-pause-'));
  const file = join(dir, 'pause');
  writeFileSync(file, pauseProgram());
  chmodSync(file, 0o755);
  const child = spawn(file, { stdio: 'ignore' });
  try {
    const ignored = () => {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      return BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
    };
    // bit 16: signal 17
    while ((ignored() & (1n << 16n)) === 0n) await sleep(5);
    assert.match(readFileSync(`/proc/${child.pid}/syscall`, 'utf8'), /^(34 |running)/);
    assert.equal(child.exitCode, null);
  } finally {
    child.kill('SIGKILL');
    rmSync(dir, { recursive: true });
  }
});

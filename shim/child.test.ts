import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, type RunvError } from '../proto/error.ts';
import { Child, eachLine, run } from './child.ts';

describe('lines of a child', () => {
  const lines = async (chunks: string[], maxBytes?: number) => {
    const stream = new PassThrough();
    const seen: string[] = [];
    eachLine(stream, (line) => seen.push(line), maxBytes);
    for (const chunk of chunks) stream.write(chunk);
    stream.end();
    await new Promise((resolve) => stream.once('close', resolve));
    return seen;
  };

  it('come whole however they are cut, the last one without an end too', async () => {
    assert.deepEqual(await lines(['a\nb', 'c\r\n', '\nd']), ['a', 'bc', '', 'd']);
  });

  it('are cut at the limit, and what follows begins anew', async () => {
    assert.deepEqual(await lines(['12345', '6789\nabc\n'], 4), ['1234', 'abc']);
  });
});

/** Whether it is there and not only waits for its parent to take notice. */
function runs(pid: string): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

describe('commands', () => {
  it('return what they print', async () => assert.equal(await run('echo', ['hello']), 'hello\n'));

  it('fail with the last line of what they complain of', async () => {
    await assert.rejects(
      run('sh', ['-c', 'echo one >&2; echo two >&2; exit 3']),
      /^RunvError: sh exited with status 3: two$/,
    );
  });

  it('fail by name when they are not there', async () => {
    await assert.rejects(
      run('/no/such/command', []),
      (e: RunvError) =>
        e.code === Code.FailedPrecondition && e.message.includes('/no/such/command'),
    );
  });

  it('end with all they have started when they are given up', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'runv-child-'));
    const file = join(dir, 'pid');
    try {
      const stop = new AbortController();
      const script = `sh -c 'echo $$ > ${file}; exec sleep 60' & wait`;
      const running = run('sh', ['-c', script], stop.signal);
      running.catch(() => undefined);
      while (!existsSync(file) || readFileSync(file, 'utf8') === '') await sleep(5);
      const pid = readFileSync(file, 'utf8').trim();
      stop.abort();
      await assert.rejects(running, { name: 'AbortError' });
      while (runs(pid)) await sleep(5);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('are killed when SIGTERM does not end them', async () => {
    const child = await Child.start('sh', ['-c', 'trap "" TERM; echo up; while :; do :; done'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: process.env,
    });
    await new Promise((resolve) => child.process.stdout?.once('data', resolve));
    assert.deepEqual(await child.stop(50), { code: null, signal: 'SIGKILL' });
  });
});

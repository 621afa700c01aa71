import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Code } from '../proto/error.ts';
import { memoryLog } from './fixtures/log.ts';
import { Reaper } from './reaper.ts';
import { type Launch, parseLastError, Runc } from './runc.ts';

const directory = mkdtempSync(join(tmpdir(), 'runv-runc-'));
after(() => rmSync(directory, { recursive: true }));
const tempDir = join(directory, 'temp');
mkdirSync(tempDir);
const nothing = { peekExitedChild: () => undefined, reapChild: () => undefined };
let programs = 0;

/** A runc that is this shell script; $log is the file it logs to. */
function scripted(body: string): Runc {
  const path = join(directory, `runc-${++programs}`);
  writeFileSync(path, `#!/bin/sh\nlog=$4\n${body}\n`);
  chmodSync(path, 0o755);
  return new Runc({ path, root: '/state', tempDir }, new Reaper(nothing, memoryLog().log));
}
const noStdio: Launch = { stdio: ['ignore', 'ignore', 'ignore'], consoleSocket: undefined };
const never = new AbortController().signal;
const forever = new Promise<void>(() => undefined);

describe('runc', () => {
  it('is called with its state, its log and the arguments', async () => {
    const out = join(directory, 'args');
    await scripted(`echo "$@" | sed "s#$log#LOG#" > ${out}`).delete('c1', { force: true });
    assert.equal(
      readFileSync(out, 'utf8'),
      '--root /state --log LOG --log-format json delete --force c1\n',
    );
  });

  it("passes runc's last error on, in the words that containerd's shim uses", async () => {
    const runc = scripted(
      `echo '{"level":"warning","msg":"w"}' > $log; echo '{"level":"error","msg":"no such container"}' >> $log; exit 1`,
    );
    await assert.rejects(runc.start('c1', forever), {
      code: Code.Unknown,
      message: 'OCI runtime start failed: no such container',
    });
  });

  it('says how runc ended when it said nothing', async () => {
    await assert.rejects(scripted('exit 3').pause('c1'), /^.*pause failed: exit code 3$/);
    await assert.rejects(scripted('kill -9 $$').pause('c1'), /pause failed: killed by SIGKILL$/);
  });

  it('returns the pid that runc wrote, and leaves no files', async () => {
    const write = `while [ "$1" != --pid-file ]; do shift; done; echo 4711 > $2`;
    assert.equal(await scripted(write).create('c1', '/bundle', noStdio, never), 4711);
    assert.deepEqual(readdirSync(tempDir), []);
  });

  it('is killed when the call is given up', async () => {
    const call = new AbortController();
    const running = scripted('exec sleep 1000').exec('c1', '/p.json', noStdio, call.signal);
    setTimeout(() => call.abort(new Error('given up')), 50);
    await assert.rejects(running, /given up/);
  });

  it('is missed clearly', async () => {
    const options = { path: '/nonexistent/runc', root: '/state', tempDir };
    const runc = new Runc(options, new Reaper(nothing, memoryLog().log));
    await assert.rejects(runc.start('c1', forever), /cannot run \/nonexistent\/runc/);
  });
});

describe('a created container', () => {
  /** Its first process, which waits as runc's does. */
  function created(program: string) {
    const root = mkdtempSync(join(directory, 'state-'));
    mkdirSync(join(root, 'c1'));
    const fifo = join(root, 'c1', 'exec.fifo');
    execFileSync('mkfifo', [fifo]);
    const process = spawn('sh', ['-c', program], { env: { fifo }, stdio: 'ignore' });
    const ended = once(process, 'exit');
    const options = { path: '/nonexistent/runc', root, tempDir };
    const runc = new Runc(options, new Reaper(nothing, memoryLog().log));
    return { runc, fifo, process, ended };
  }

  it('has started when its program runs', async () => {
    const ran = join(directory, 'ran');
    const { runc, fifo, ended } = created(`exec 3>$fifo; printf 0 >&3; sleep 0.2; : >${ran}`);
    await runc.start('c1', ended);
    assert.ok(existsSync(ran), 'the FIFO was closed last');
    assert.ok(!existsSync(fifo), 'which is how runc knows');
  });

  it('cannot start when its process has been killed', async () => {
    const { runc, process, ended } = created('exec sleep 1000');
    const starting = runc.start('c1', ended);
    process.kill('SIGKILL');
    await assert.rejects(starting, {
      code: Code.Unknown,
      message: 'OCI runtime start failed: container process is already dead',
    });
  });
});

describe("runc's log", () => {
  const rows: [name: string, text: string, error: string | undefined][] = [
    ['empty', '', undefined],
    ['without errors', '{"level":"info","msg":"x"}\n', undefined],
    ['of two errors', '{"level":"error","msg":"a"}\n{"level":"error","msg":"b"}\n', 'b'],
    ['cut short', '{"level":"error","msg":"a"}\n{"level":"err', 'a'],
    ['with lines', '{"level":"error","msg":"one\\n two\\n"}', 'one; two'],
  ];
  for (const [name, text, error] of rows) {
    it(name, () => assert.equal(parseLastError(text), error));
  }
});

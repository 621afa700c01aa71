import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code } from '../proto/error.ts';
import { readFrames, streamHello, writeFrames } from '../proto/stdio-stream.ts';
import { acceptDescriptor, listenForDescriptor } from '../proto/sys.ts';
import { memoryLog } from './fixtures/log.ts';
import { Collector, socketPairs } from './fixtures/sockets.ts';
import { ProcessIo } from './stdio.ts';
import { Streams } from './streams.ts';

const pair = socketPairs();
const never = new AbortController().signal;
const directory = mkdtempSync(join(tmpdir(), 'runv-tty-'));
after(() => rmSync(directory, { recursive: true }));

/** The host's ends of a process's streams, and the process's side. */
async function open(which: { stdin?: boolean; stderr?: boolean; terminal?: boolean } = {}) {
  const { log, lines } = memoryLog();
  const streams = new Streams(log);
  const connect = async (id: number): Promise<Duplex> => {
    const [here, there] = await pair();
    here.write(streamHello(id));
    await streams.accept(there);
    return here;
  };
  const stdout = await connect(1);
  const stdin = which.stdin ? await connect(2) : undefined;
  const stderr = which.stderr ? await connect(3) : undefined;
  const { terminal = false } = which;
  const ids = { stdin: stdin ? 2 : 0, stdout: 1, stderr: stderr ? 3 : 0, terminal };
  const io = await ProcessIo.open(ids, streams, never, log);
  return { io, stdin, stdout, stderr, lines };
}

/** Runs a shell script as the process; its exit is all that is waited for. */
function run(io: ProcessIo, script: string): ChildProcess {
  const child = spawn('sh', ['-c', script], { stdio: io.child });
  io.begin();
  return child;
}

describe('stdio on pipes', () => {
  it('delivers all output before an exit is settled', async () => {
    const { io, stdout, stderr } = await open({ stderr: true });
    const [out, err] = [new Collector(), new Collector()];
    void readFrames(stdout, out);
    void readFrames(stderr as Duplex, err);
    await once(
      run(io, 'i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; echo e >&2'),
      'exit',
    );
    await io.settle();
    assert.equal(out.text.split('\n').length, 501);
    assert.equal(err.text, 'e\n');
    io.close();
  });

  it('lets a process open its own stdout as a file', async () => {
    const { io, stdout } = await open();
    const out = new Collector();
    void readFrames(stdout, out);
    await once(run(io, 'echo a > /dev/stdout; echo b > /proc/self/fd/1'), 'exit');
    await io.settle();
    assert.equal(out.text, 'a\nb\n');
    io.close();
  });

  it('settles though a grandchild keeps stdout open, whose output still comes', async () => {
    const { io, stdout } = await open();
    const out = new Collector();
    const ended = readFrames(stdout, out);
    await once(run(io, 'echo first; (sleep 0.3; echo late) &'), 'exit');
    const before = performance.now();
    await io.settle();
    assert.ok(performance.now() - before < 200);
    assert.equal(out.text, 'first\n');
    assert.equal(await ended, 'eof');
    assert.equal(out.text, 'first\nlate\n');
    io.close();
  });

  it('settles in bounded time though nobody reads, and delivers afterwards', async () => {
    const { io, stdout } = await open();
    const child = run(io, 'head -c 10000000 /dev/zero | head -c 3000000; sleep 0');
    await sleep(100);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const before = performance.now();
    await io.settle(100);
    assert.ok(performance.now() - before < 300);
    const out = new Collector();
    assert.equal(await readFrames(stdout, out), 'eof');
    assert.ok(out.text.length > 100_000);
    io.close();
  });

  it('holds a process up while nobody reads its output', async () => {
    const { io } = await open();
    const child = run(io, 'head -c 50000000 /dev/zero');
    await sleep(300);
    assert.equal(child.exitCode, null);
    io.close();
    await once(child, 'exit');
  });

  it('hands stdin over to its end', async () => {
    const { io, stdin, stdout } = await open({ stdin: true });
    const out = new Collector();
    void readFrames(stdout, out);
    const exit = once(run(io, 'cat; echo end'), 'exit');
    await writeFrames(Readable.from([Buffer.from('one '), Buffer.from('two ')]), stdin as Duplex);
    await exit;
    await io.settle();
    assert.equal(out.text, 'one two end\n');
    io.close();
  });

  it('ends the stdin stream of a process that is gone', async () => {
    const { io, stdin } = await open({ stdin: true });
    const source = new PassThrough();
    const writing = assert.rejects(writeFrames(source, stdin as Duplex), { code: Code.DataLoss });
    await once(run(io, 'exit 0'), 'exit');
    io.closeInput();
    await writing;
    io.close();
  });

  it('breaks the pipe of a process whose output nobody can get any more', async () => {
    const { io, stdout, lines } = await open();
    const exit = once(run(io, 'while echo x; do sleep 0.01; done; exit 9'), 'exit');
    stdout.destroy();
    const [code, signal] = (await exit) as [number | null, string | null];
    assert.ok(signal === 'SIGPIPE' || code === 9, `${code} ${signal}`);
    assert.equal(lines[0]?.['msg'], 'output ended early');
    io.close();
  });

  it('closes the other streams when one is not opened', async () => {
    const streams = new Streams(memoryLog().log);
    const [here, there] = await pair();
    here.write(streamHello(1));
    await streams.accept(there);
    const closed = once(here.resume(), 'close');
    const ids = { stdin: 0, stdout: 1, stderr: 2, terminal: false };
    const opening = ProcessIo.open(ids, streams, AbortSignal.timeout(20), memoryLog().log);
    await assert.rejects(opening, { name: 'TimeoutError' });
    await closed;
  });

  it('has no terminal to resize', async () => {
    const { io } = await open();
    assert.throws(() => io.resize(80, 24), { code: Code.FailedPrecondition });
    io.close();
  });
});

describe('stdio on a terminal', () => {
  /** Makes a terminal, runs a script on it, and hands its master over as runc does. */
  async function runOnTerminal(io: ProcessIo, name: string, script: string): Promise<ChildProcess> {
    const path = join(directory, name);
    const listener = listenForDescriptor(path);
    const python = `import os,pty,socket,sys
s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
pid,master=pty.fork()
if pid==0: os.execvp('sh',['sh','-c',sys.argv[2]])
socket.send_fds(s,[b'x'],[master]); os.close(master); s.close()
print('sent',flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid,0)[1]))`;
    const child = spawn('python3', ['-c', python, path, script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    io.beginOnTerminal(acceptDescriptor(listener));
    closeSync(listener);
    return child;
  }

  it('delivers all output, though a terminal ends with an error', async () => {
    const { io, stdout } = await open({ terminal: true });
    const out = new Collector();
    const ended = readFrames(stdout, out);
    const child = await runOnTerminal(
      io,
      'out',
      'i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo end',
    );
    await once(child, 'exit');
    await io.settle();
    assert.equal(await ended, 'eof');
    assert.equal(out.text.split('\r\n').length, 2002);
    assert.ok(out.text.endsWith('line 1999\r\nend\r\n'));
    io.close();
  });

  it('takes input and size, and outlives the end of stdin', async () => {
    const { io, stdin, stdout } = await open({ terminal: true, stdin: true });
    const out = new Collector();
    void readFrames(stdout, out);
    const child = await runOnTerminal(io, 'in', 'read a; sleep 0.1; stty size; echo got $a');
    io.resize(123, 45);
    await writeFrames(Readable.from([Buffer.from('word\n')]), stdin as Duplex);
    const [code] = (await once(child, 'exit')) as [number];
    await io.settle();
    assert.equal(code, 0);
    assert.equal(out.text, 'word\r\n45 123\r\ngot word\r\n');
    assert.throws(() => io.resize(80, 24), { code: Code.FailedPrecondition });
    io.close();
  });
});

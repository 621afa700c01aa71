import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code } from './error.ts';
import { maxFrameBytes, readFrames, readHello, streamHello, writeFrames } from './stdio-stream.ts';

const directory = mkdtempSync(join(tmpdir(), 'runv-stdio-'));
const path = join(directory, 's');
const accepted: ((socket: Socket) => void)[] = [];
const server = createServer((socket) => accepted.shift()?.(socket)).listen(path);
after(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

/** Two connected sockets. */
async function pair(): Promise<[Socket, Socket]> {
  const accepting = new Promise<Socket>((resolve) => accepted.push(resolve));
  const client = connect(path);
  return [client, await accepting];
}

/** Collects, `delayMs` a chunk. */
function collector(delayMs = 0): Writable & { bytes: Buffer[] } {
  const bytes: Buffer[] = [];
  const write = (chunk: Buffer, _: unknown, done: () => void) => {
    bytes.push(chunk);
    if (delayMs === 0) done();
    else setTimeout(done, delayMs);
  };
  return Object.assign(new Writable({ write }), { bytes });
}

test('carries a stream to its end, and the sender knows that all was taken', async () => {
  const [a, b] = await pair();
  const sink = collector(20);
  let taken = false;
  const reading = readFrames(b, sink).then((end) => ((taken = true), end));
  await writeFrames(Readable.from([Buffer.from('one '), Buffer.from('two')]), a);
  assert.equal(taken, true);
  assert.equal(await reading, 'eof');
  assert.equal(Buffer.concat(sink.bytes).toString(), 'one two');
  assert.equal(a.destroyed && b.destroyed, true);
  assert.equal(sink.writable, true);
});

test('an empty stream is an end, not a loss', async () => {
  const [a, b] = await pair();
  const [end] = await Promise.all([readFrames(b, collector()), writeFrames(Readable.from([]), a)]);
  assert.equal(end, 'eof');
});

test('a source that has ended before is an end', async () => {
  const [a, b] = await pair();
  const source = new PassThrough();
  source.end();
  source.resume();
  await new Promise((resolve) => source.once('end', resolve));
  const [end] = await Promise.all([readFrames(b, collector()), writeFrames(source, a)]);
  assert.equal(end, 'eof');
});

test('carries much, in frames larger and smaller than the limit, unchanged', async () => {
  const [a, b] = await pair();
  const sent = createHash('sha256');
  const got = createHash('sha256');
  const sizes = [1, 3, maxFrameBytes, maxFrameBytes + 1, 3 * maxFrameBytes, 65536, 7];
  const source = Readable.from(
    (function* () {
      for (let i = 0; i < 200; i++) {
        const chunk = Buffer.alloc(sizes[i % sizes.length] as number, i);
        sent.update(chunk);
        yield chunk;
      }
    })(),
  );
  const write = (chunk: Buffer, _: unknown, done: () => void) => {
    got.update(chunk);
    done();
  };
  await Promise.all([readFrames(b, new Writable({ write })), writeFrames(source, a)]);
  assert.equal(got.digest('hex'), sent.digest('hex'));
});

test('frames may arrive in any pieces', async () => {
  const [a, b] = await pair();
  const sink = collector();
  const reading = readFrames(b, sink);
  a.setNoDelay();
  for (const byte of Buffer.from('\0\0\0\x02hi\0\0\0\x01!\0\0\0\0', 'latin1')) {
    a.write(Buffer.of(byte));
    await sleep(1);
  }
  assert.equal(await reading, 'eof');
  assert.equal(Buffer.concat(sink.bytes).toString(), 'hi!');
});

test('output that nobody takes stops the source, and memory stays bounded', async () => {
  const [a, b] = await pair();
  let produced = 0;
  const source = new Readable({
    highWaterMark: 65536,
    read() {
      produced += 65536;
      this.push(produced > 64 * 1024 * 1024 ? null : Buffer.alloc(65536));
    },
  });
  let taken = 0;
  let open = false;
  const waiting: (() => void)[] = [];
  const write = (chunk: Buffer, _: unknown, done: () => void) => {
    taken += chunk.length;
    if (open) done();
    else waiting.push(done);
  };
  const done = Promise.all([readFrames(b, new Writable({ write })), writeFrames(source, a)]);
  await sleep(100);
  const before = produced;
  assert.ok(before < 4 * 1024 * 1024, `${before} bytes produced`);
  await sleep(50);
  assert.equal(produced, before);
  open = true;
  for (const go of waiting) go();
  await done;
  assert.equal(taken, 64 * 1024 * 1024);
});

test('a close before the end is DataLoss on both sides', async () => {
  const [a, b] = await pair();
  const source = new PassThrough();
  source.write('some');
  const sink = collector();
  const writing = assert.rejects(writeFrames(source, a), { code: Code.DataLoss });
  const reading = assert.rejects(readFrames(b, sink), { code: Code.DataLoss });
  await sleep(20);
  assert.equal(Buffer.concat(sink.bytes).toString(), 'some');
  a.destroy();
  await Promise.all([writing, reading]);
});

test('an idle sender notices that the receiver has gone', async () => {
  const [a, b] = await pair();
  const writing = assert.rejects(writeFrames(new PassThrough(), a), { code: Code.DataLoss });
  b.destroy();
  await writing;
});

test('a source that fails is DataLoss for the receiver', async () => {
  const [a, b] = await pair();
  const source = new PassThrough();
  const writing = assert.rejects(writeFrames(source, a), /broken/);
  const reading = assert.rejects(readFrames(b, collector()), { code: Code.DataLoss });
  source.destroy(new Error('broken'));
  await Promise.all([writing, reading]);
});

test('a sink that fails ends the connection', async () => {
  const [a, b] = await pair();
  const sink = new Writable({ write: (_chunk, _encoding, done) => done(new Error('full')) });
  const source = new PassThrough();
  source.write('x');
  const writing = assert.rejects(writeFrames(source, a), { code: Code.DataLoss });
  await assert.rejects(readFrames(b, sink), /full/);
  await writing;
});

test('a frame larger than the limit is refused', async () => {
  const [a, b] = await pair();
  const header = Buffer.alloc(4);
  header.writeUInt32BE(maxFrameBytes + 1);
  a.write(header);
  await assert.rejects(readFrames(b, collector()), { code: Code.ResourceExhausted });
});

test('a hello names the stream and takes nothing that follows', async () => {
  const [a, b] = await pair();
  const writing = (async () => {
    a.write(streamHello(0xfffffffe).subarray(0, 5));
    await sleep(5);
    a.write(streamHello(0xfffffffe).subarray(5));
    await writeFrames(Readable.from([Buffer.from('data')]), a);
  })();
  assert.equal(await readHello(b), 0xfffffffe);
  await sleep(20);
  const sink = collector();
  await Promise.all([readFrames(b, sink), writing]);
  assert.equal(Buffer.concat(sink.bytes).toString(), 'data');
});

const notHello: [string, Buffer][] = [
  ['another magic', Buffer.from('RVS2\0\0\0\x01', 'latin1')],
  ['stream 0', Buffer.from('RVS1\0\0\0\0', 'latin1')],
];
for (const [name, bytes] of notHello) {
  test(`refuses a hello with ${name}`, async () => {
    const [a, b] = await pair();
    a.write(bytes);
    await assert.rejects(readHello(b), { code: Code.InvalidArgument });
    assert.equal(b.destroyed, true);
  });
}

test('a connection that ends before its hello is refused', async () => {
  const [a, b] = await pair();
  a.end('RVS1');
  await assert.rejects(readHello(b), { code: Code.Unavailable });
});

/** Client and server together, and what the worst of peers can do to them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { suite, test, type TestContext } from 'node:test';
import { Code, RunvError } from '../error.ts';
import { Echo, pair, RawPeer, settled, Text } from '../fixtures/echo.ts';
import { random } from '../fixtures/random.ts';
import { Request } from '../gen/wire.ts';
import { Client, Server, type CallContext, type ClientOf, type Handlers } from './index.ts';

type EchoHandlers = Handlers<typeof Echo>;

const plain: EchoHandlers = {
  Once: ({ text }) => ({ text }),
  Void: () => undefined,
  async *Down({ text }) {
    for (const letter of text) yield await Promise.resolve({ text: letter });
  },
  async Up(requests) {
    let text = '';
    for await (const request of requests) text += request.text;
    return { text };
  },
  async *Both(requests) {
    for await (const request of requests) yield request;
  },
};

function start(handlers: Partial<EchoHandlers> = {}): Server {
  const server = new Server();
  server.add(Echo, { ...plain, ...handlers });
  return server;
}

/** Over a Unix socket, as in use: buffers, chunks and all. */
async function overSocket(t: TestContext, server: Server): Promise<Duplex> {
  const directory = mkdtempSync(join(tmpdir(), 'runv-ttrpc-'));
  const path = join(directory, 's');
  const listener = createServer((socket) => void server.serve(socket));
  await new Promise<void>((resolve) => listener.listen(path, resolve));
  const socket = connect(path);
  t.after(() => {
    socket.destroy();
    listener.close();
    server.close();
    rmSync(directory, { recursive: true });
  });
  return socket;
}

async function echoOver(t: TestContext, server: Server): Promise<ClientOf<typeof Echo>> {
  return new Client(await overSocket(t, server)).bind(Echo);
}

async function* texts(all: readonly string[]): AsyncGenerator<{ text: string }> {
  for (const text of all) yield await Promise.resolve({ text });
}

async function collect(stream: AsyncIterable<Text>): Promise<string[]> {
  const all: string[] = [];
  for await (const { text } of stream) all.push(text);
  return all;
}

suite('client and server', () => {
  test('make calls of every kind', async (t) => {
    const echo = await echoOver(t, start());
    assert.deepEqual(await echo.Once({ text: 'größe' }), { text: 'größe' });
    assert.deepEqual(await echo.Void({}), {});
    assert.deepEqual(await collect(echo.Down({ text: 'abc' })), ['a', 'b', 'c']);
    assert.deepEqual(await echo.Up(texts(['a', '', 'b'])), { text: 'ab' });
    assert.deepEqual(await echo.Up(texts([])), { text: '' });
    assert.deepEqual(await collect(echo.Both(texts(['a', '', 'b']))), ['a', '', 'b']);
  });

  test('carry metadata', async (t) => {
    let context: CallContext | undefined;
    const server = start({
      Void: (_, given) => {
        context = given;
      },
    });
    const echo = await echoOver(t, server);
    await echo.Void({}, { metadata: { 'Containerd-Namespace': 'k8s.io', many: ['1', '2'] } });
    const expected = { 'containerd-namespace': ['k8s.io'], many: ['1', '2'] };
    assert.deepEqual(Object.fromEntries(context?.metadata ?? []), expected);
  });

  for (const [name, code] of Object.entries(Code).filter(([, value]) => value !== Code.OK)) {
    test(`carry ${name} and its message`, async (t) => {
      const thrown = new RunvError(code, `cannot ${name}: größe`);
      const echo = await echoOver(
        t,
        start({
          Once: () => Promise.reject(thrown),
          async *Both(requests) {
            for await (const request of requests) yield request;
            throw thrown;
          },
        }),
      );
      const same = { name: 'RunvError', code, message: thrown.message };
      await assert.rejects(echo.Once({}), same);
      const seen: string[] = [];
      const read = async (): Promise<void> => {
        for await (const { text } of echo.Both(texts(['a']))) seen.push(text);
      };
      await assert.rejects(read, same);
      assert.deepEqual(seen, ['a']);
    });
  }

  test('end together when the time is up', async (t) => {
    const reason = Promise.withResolvers<unknown>();
    const server = start({
      Once: (_, { signal }) =>
        new Promise(() => signal.addEventListener('abort', () => reason.resolve(signal.reason))),
    });
    const echo = await echoOver(t, server);
    await assert.rejects(echo.Once({}, { timeoutMs: 5 }), { code: Code.DeadlineExceeded });
    assert.equal(((await reason.promise) as RunvError).code, Code.DeadlineExceeded);
  });

  test('make 1000 calls at once', async (t) => {
    const next = random(3);
    const server = start({
      Once: async ({ text }) => {
        for (let i = next(5); i > 0; i--) await new Promise((resolve) => setImmediate(resolve));
        return { text: `${text}!` };
      },
    });
    const echo = await echoOver(t, server);
    const calls = Array.from({ length: 1000 }, (_, i) =>
      i % 10 === 0 ? collect(echo.Down({ text: 'abc' })) : echo.Once({ text: `${i}` }),
    );
    const answers = await Promise.all(calls);
    for (const [i, answer] of answers.entries())
      assert.deepEqual(answer, i % 10 === 0 ? ['a', 'b', 'c'] : { text: `${i}!` });
  });

  test('carry messages just below 4 MiB', async (t) => {
    const echo = await echoOver(t, start());
    const text = 'x'.repeat((4 << 20) - 100);
    assert.equal((await echo.Once({ text })).text.length, text.length);
  });

  test('call handlers as methods of their object', async (t) => {
    class Impl {
      private readonly suffix = '?';
      Once({ text }: Text) {
        return { text: text + this.suffix };
      }
      Void = plain.Void;
      Down = plain.Down;
      Up = plain.Up;
      Both = plain.Both;
    }
    const server = new Server();
    server.add(Echo, new Impl());
    const echo = await echoOver(t, server);
    assert.deepEqual(await echo.Once({ text: 'a' }), { text: 'a?' });
  });
});

suite('back-pressure', () => {
  const chunk = 'x'.repeat(64 << 10);

  test('a stream that is not read stops its sender; reading lets it go on', async (t) => {
    let sent = 0;
    const server = start({
      async *Down() {
        for (; sent < 1000; sent++) yield await Promise.resolve({ text: chunk });
      },
    });
    const echo = await echoOver(t, server);
    const stream = echo.Down({});
    const stalledAt = await stalls(() => sent);
    // 1 MiB here, and what sockets and streams hold
    assert.ok(stalledAt < 100, `${stalledAt} of 64 KiB were sent`);
    assert.equal((await collect(stream)).length, 1000);
  });

  test('a stream of requests that is not read stops its sender', async (t) => {
    const gate = Promise.withResolvers<void>();
    const echo = await echoOver(
      t,
      start({
        async Up(requests, context) {
          await gate.promise;
          return plain.Up(requests, context);
        },
      }),
    );
    let sent = 0;
    const call = echo.Up(
      (async function* () {
        for (; sent < 40; sent++) yield await Promise.resolve({ text: chunk });
      })(),
    );
    const stalledAt = await stalls(() => sent);
    assert.ok(stalledAt < 40, 'all were sent');
    gate.resolve();
    assert.equal((await call).text.length, 40 * chunk.length);
  });

  test('a short unread stream does not hold up other calls', async (t) => {
    const echo = await echoOver(t, start());
    const unread = echo.Down({ text: 'x'.repeat(1000) });
    assert.deepEqual(await echo.Once({ text: 'a' }), { text: 'a' });
    assert.equal((await collect(unread)).length, 1000);
  });

  test('leaving a long unread stream lets other calls go on', async (t) => {
    let sent = 0;
    const server = start({
      async *Down() {
        for (; sent < 1000; sent++) yield await Promise.resolve({ text: chunk });
      },
    });
    const echo = await echoOver(t, server);
    const unread = echo.Down({})[Symbol.asyncIterator]();
    await stalls(() => sent);
    let answered = false;
    const call = echo.Once({}).then(() => (answered = true));
    await settled();
    assert.equal(answered, false, 'held up: otherwise this test shows nothing');
    await unread.return?.();
    await call;
  });

  test('a client that does not read answers is not read any more', async () => {
    let handled = 0;
    const server = start({
      Once: () => {
        handled++;
        return { text: chunk };
      },
    });
    const [ours, theirs] = pair();
    void server.serve(ours);
    const data = Request.encode({ service: Echo.name, method: 'Once' });
    const peer = { written: 0 };
    // nobody reads `theirs`
    for (let i = 0; i < 200; i++) {
      theirs.write(frameOf(1 + 2 * i, data));
      peer.written++;
      await settled();
    }
    assert.ok(handled < 20, `${handled} of ${peer.written} requests were taken`);
    theirs.destroy();
    server.close();
  });

  /** The value at which a counter comes to rest. */
  async function stalls(counter: () => number): Promise<number> {
    let before = -1;
    for (let same = 0; same < 5;) {
      same = counter() === before ? same + 1 : 0;
      before = counter();
      await settled();
    }
    return before;
  }
});

function frameOf(streamId: number, data: Uint8Array): Buffer {
  const header = Buffer.alloc(10);
  header.writeUInt32BE(data.length, 0);
  header.writeUInt32BE(streamId, 4);
  header[8] = 1;
  return Buffer.concat([header, data]);
}

suite('garbage', () => {
  const rounds = 300;

  /** Bytes that are frames more often than chance would have it. */
  function garbage(next: (below: number) => number): Buffer {
    const frames = Array.from({ length: 1 + next(20) }, () => {
      const payload = Text.encode({ text: 'x'.repeat(next(50)) });
      const method = ['Once', 'Down', 'Up', 'Both', 'Void', 'x'][next(6)];
      const sane = Request.encode({ service: 'test.Echo', method, payload });
      const data = [sane, payload, Buffer.alloc(0), Buffer.from([next(256), next(256)])][next(4)];
      const frame = frameOf(next(12), data ?? Buffer.alloc(0));
      frame[8] = next(5);
      frame[9] = next(8);
      if (next(20) === 0) frame[next(frame.length)] = next(256);
      return frame;
    });
    const all = Buffer.concat(frames);
    return next(3) === 0 ? all.subarray(0, next(all.length)) : all;
  }

  test('does not break a server', async () => {
    const next = random(42);
    for (let round = 0; round < rounds; round++) {
      const server = start();
      const [ours, theirs] = pair();
      const ended = server.serve(ours);
      const peer = new RawPeer(theirs);
      const bytes = garbage(next);
      for (let at = 0; at < bytes.length;) {
        const size = 1 + next(64);
        peer.stream.write(bytes.subarray(at, at + size));
        at += size;
      }
      await settled();
      peer.stream.end();
      await ended;
      // the server itself goes on
      const [again, other] = pair();
      void server.serve(again);
      const echo = new Client(other).bind(Echo);
      assert.deepEqual(await echo.Once({ text: 'a' }), { text: 'a' });
      server.close();
    }
  });

  test('does not break a client: every call ends', async () => {
    const next = random(43);
    for (let round = 0; round < rounds; round++) {
      const [ours, theirs] = pair();
      const client = new Client(ours);
      const echo = client.bind(Echo);
      const calls: Promise<unknown>[] = [
        echo.Once({}),
        collect(echo.Down({})),
        echo.Up(texts(['a'])),
        collect(echo.Both(texts(['a']))),
        echo.Void({}),
      ];
      const results = Promise.allSettled(calls);
      const peer = new RawPeer(theirs);
      const bytes = garbage(next);
      for (let at = 0; at < bytes.length;) {
        const size = 1 + next(64);
        peer.stream.write(bytes.subarray(at, at + size));
        at += size;
      }
      peer.stream.end();
      for (const result of await results)
        if (result.status === 'rejected') assert.ok(result.reason instanceof RunvError);
      await client.closed;
    }
  });
});

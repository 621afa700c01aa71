import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Code, RunvError } from '../error.ts';
import { Echo, pair, RawPeer, settled, Text, type IText } from '../fixtures/echo.ts';
import { request, serve, status } from '../fixtures/serve-echo.ts';
import { Request } from '../gen/wire.ts';
import type { Frame } from './frame.ts';
import { Server, type Handlers } from './index.ts';

const none = new Uint8Array();

suite('server', () => {
  const refusals: readonly (readonly [string, readonly Frame[], number, number])[] = [
    ['an even stream id', [request(2, 'Once')], 2, Code.InvalidArgument],
    ['stream id 0', [request(0, 'Once')], 0, Code.InvalidArgument],
    [
      'data on an even stream',
      [{ streamId: 4, type: 3, flags: 0, data: none }],
      4,
      Code.InvalidArgument,
    ],
    [
      'data on an unknown stream',
      [{ streamId: 9, type: 3, flags: 0, data: none }],
      9,
      Code.InvalidArgument,
    ],
    ['an unknown method', [request(1, 'Nope')], 1, Code.Unimplemented],
    ['a method of Object', [request(1, 'toString')], 1, Code.Unimplemented],
    [
      'an unknown service',
      [request(1, '', { data: Request.encode({ service: 'x.Y', method: 'Once' }) })],
      1,
      Code.Unimplemented,
    ],
    [
      'a request that is no protobuf',
      [request(1, '', { data: Buffer.from([0x0a, 0xff]) })],
      1,
      Code.InvalidArgument,
    ],
    [
      'a payload that is no protobuf',
      [
        request(1, '', {
          data: Request.encode({
            service: 'test.Echo',
            method: 'Once',
            payload: Buffer.from([0x0a, 9]),
          }),
        }),
      ],
      1,
      Code.Internal,
    ],
    [
      'a message of a stream that is no protobuf',
      [
        request(1, 'Up', { flags: 2 }),
        { streamId: 1, type: 3, flags: 0, data: Buffer.from([0x0a, 9]) },
      ],
      1,
      Code.Internal,
    ],
  ];
  for (const [what, frames, streamId, code] of refusals) {
    test(`refuses ${what} and serves on`, async () => {
      const { peer } = serve();
      for (const frame of frames) peer.send(frame);
      assert.deepEqual(await status(peer), { streamId, code });
      peer.send(request(101, 'Once', { text: 'a' }));
      assert.deepEqual(await status(peer), { streamId: 101, code: 0 });
    });
  }

  test('refuses a stream id that was used, or is below one that was', async () => {
    const { peer } = serve();
    peer.send(request(5, 'Once'));
    await status(peer);
    for (const streamId of [5, 3]) {
      peer.send(request(streamId, 'Once'));
      assert.deepEqual(await status(peer), { streamId, code: Code.InvalidArgument });
    }
  });

  test('ends a call that gets data after its end, or on a unary stream', async () => {
    const stuck = Promise.withResolvers<IText>();
    let signal: AbortSignal | undefined;
    const { peer } = serve({
      Once: (_, context) => {
        signal = context.signal;
        return stuck.promise;
      },
    });
    peer.send(request(1, 'Once'));
    peer.send({ streamId: 1, type: 3, flags: 0, data: none });
    assert.deepEqual(await status(peer), { streamId: 1, code: Code.InvalidArgument });
    assert.equal(signal?.aborted, true);
    // its own answer comes too late
    stuck.resolve({});
    await settled();

    const { peer: other } = serve({
      Up: () => stuck.promise.then(() => new Promise(() => undefined)),
    });
    other.send(request(1, 'Up', { flags: 2 }));
    for (let i = 0; i < 2; i++) other.send({ streamId: 1, type: 3, flags: 5, data: none });
    assert.deepEqual(await status(other), { streamId: 1, code: Code.InvalidArgument });
    peer.send(request(3, 'Void'));
    assert.deepEqual(await status(peer), { streamId: 3, code: 0 });
  });

  test('answers an oversize frame with ResourceExhausted and serves on', async () => {
    const { peer } = serve();
    peer.sendHex('00400001 00000001 01 00');
    assert.deepEqual(await status(peer), { streamId: 1, code: Code.ResourceExhausted });
    peer.stream.write(Buffer.alloc((4 << 20) + 1));
    peer.send(request(3, 'Once'));
    assert.deepEqual(await status(peer), { streamId: 3, code: 0 });
  });

  test('ignores frame types of a later protocol', async () => {
    const { peer } = serve();
    peer.send({ streamId: 1, type: 77, flags: 255, data: none });
    peer.send({ streamId: 1, type: 2, flags: 0, data: none });
    peer.send(request(1, 'Once'));
    assert.deepEqual(await status(peer), { streamId: 1, code: 0 });
  });

  test('turns a response of more than 4 MiB into ResourceExhausted, and an error text of it short', async () => {
    const long = 'x'.repeat(5 << 20);
    const { peer } = serve({
      Once: () => ({ text: long }),
      Void: () => {
        throw new Error(long);
      },
      async *Down() {
        yield await Promise.resolve({ text: long });
      },
    });
    peer.send(request(1, 'Once'));
    peer.send(request(3, 'Down', { flags: 1 }));
    peer.send(request(5, 'Void'));
    const seen = [await status(peer), await status(peer), await status(peer)];
    assert.deepEqual(
      seen.sort((a, b) => a.streamId - b.streamId),
      [
        { streamId: 1, code: Code.ResourceExhausted },
        { streamId: 3, code: Code.ResourceExhausted },
        { streamId: 5, code: Code.Unknown },
      ],
    );
  });

  test('tells of calls whose handler threw, with what it threw', async () => {
    const error = new RunvError(Code.Aborted, 'x');
    const { peer, failures } = serve({
      Void: () => {
        throw error;
      },
    });
    peer.send(request(1, 'Void'));
    await status(peer);
    assert.deepEqual(failures, [['Void', error]]);
  });

  test("aborts the handler's signal when the client's timeout passes", async () => {
    const { peer } = serve({
      Once: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new DOMException('stopped', 'AbortError')));
        }),
    });
    for (const [index, timeoutNano] of [1n, 2_000_000n, -5n].entries()) {
      const streamId = 1 + index * 2;
      const data = Request.encode({ service: 'test.Echo', method: 'Once', timeoutNano });
      peer.send({ streamId, type: 1, flags: 0, data });
      assert.deepEqual(await status(peer), { streamId, code: Code.DeadlineExceeded });
    }
  });

  test('aborts the signals and fails the inputs when the client goes, even inside a frame', async () => {
    const reasons: unknown[] = [];
    const { peer, ended, contexts } = serve({
      Once: (_, context) => {
        contexts.push(context);
        return new Promise(() => undefined);
      },
      Up: async (requests) => {
        try {
          for await (const request of requests) reasons.push(request.text);
          reasons.push('complete');
        } catch (e) {
          reasons.push(e instanceof RunvError && e.code);
        }
        return {};
      },
    });
    peer.send(request(1, 'Once'));
    peer.send(request(3, 'Up', { flags: 2 }));
    peer.send({ streamId: 3, type: 3, flags: 0, data: Text.encode({ text: 'first' }) });
    peer.sendHex('0000');
    await settled();
    assert.equal(contexts[0]?.signal.aborted, false);
    peer.stream.end();
    await ended;
    await settled();
    const signal = contexts[0]?.signal;
    assert.ok(signal?.aborted);
    assert.equal((signal.reason as RunvError).code, Code.Canceled);
    assert.deepEqual(reasons, ['first', Code.Canceled]);
  });

  test('survives a connection that fails or is dead already', async () => {
    const { peer, ended } = serve();
    peer.stream.destroy(new Error('reset'));
    await ended;
    const [ours] = pair();
    ours.destroy();
    await new Server().serve(ours);
  });

  test('stops a streaming handler when the client goes', async () => {
    const stopped = Promise.withResolvers<void>();
    const { peer } = serve({
      async *Down(_, { signal }) {
        try {
          for (;;) {
            yield { text: 'x' };
            await new Promise((resolve) => setImmediate(resolve));
            signal.throwIfAborted();
          }
        } finally {
          stopped.resolve();
        }
      },
    });
    peer.send(request(1, 'Down', { flags: 1 }));
    await peer.next();
    peer.stream.destroy();
    await stopped.promise;
  });

  test('refuses calls beyond its limit', async () => {
    const server = new Server({ maxConcurrentCalls: 2 });
    const gate = Promise.withResolvers<IText>();
    const missing = (): never => assert.fail();
    server.add(Echo, {
      Once: () => gate.promise,
      Void: missing,
      Down: missing,
      Up: missing,
      Both: missing,
    });
    const [ours, theirs] = pair();
    void server.serve(ours);
    const peer = new RawPeer(theirs);
    for (const streamId of [1, 3, 5]) peer.send(request(streamId, 'Once'));
    assert.deepEqual(await status(peer), { streamId: 5, code: Code.ResourceExhausted });
    gate.resolve({});
    assert.deepEqual(await status(peer), { streamId: 1, code: 0 });
    assert.deepEqual(await status(peer), { streamId: 3, code: 0 });
    peer.send(request(7, 'Once'));
    assert.deepEqual(await status(peer), { streamId: 7, code: 0 });
  });

  test('close ends connections at once', async () => {
    const { server, peer, ended } = serve({ Once: () => new Promise(() => undefined) });
    peer.send(request(1, 'Once'));
    server.close();
    await ended;
    assert.equal(await peer.next(), undefined);
  });

  test('refuses to add a service twice', () => {
    const { server } = serve();
    assert.throws(() => server.add(Echo, {} as Handlers<typeof Echo>), /added before/);
  });
});

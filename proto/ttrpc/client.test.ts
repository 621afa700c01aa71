import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Code, RunvError } from '../error.ts';
import { Echo, pair, RawPeer, settled, type Text } from '../fixtures/echo.ts';
import { Request, Response } from '../gen/wire.ts';
import { Client, type ClientOf } from './index.ts';

interface Connected {
  readonly client: Client;
  readonly echo: ClientOf<typeof Echo>;
  readonly peer: RawPeer;
}

function connect(): Connected {
  const [ours, theirs] = pair();
  const client = new Client(ours);
  return { client, echo: client.bind(Echo), peer: new RawPeer(theirs) };
}

const hasCode =
  (code: Code, message = /(?:)/) =>
  (e: unknown): boolean =>
    e instanceof RunvError && e.code === code && message.test(e.message);

async function* texts(...all: string[]): AsyncGenerator<{ text: string }> {
  for (const text of all) yield await Promise.resolve({ text });
}

async function collect(stream: AsyncIterable<Text>): Promise<string[]> {
  const all: string[] = [];
  for await (const { text } of stream) all.push(text);
  return all;
}

suite('client, recorded bytes', () => {
  const service = '0a09746573742e4563686f';

  test('sends a unary request with flags 0 and takes the response', async () => {
    const { echo, peer } = connect();
    const answer = echo.Once({ text: 'abc' });
    assert.equal(
      await peer.nextHex(),
      '00000018000000010100' + service + '12044f6e63651a050a03616263',
    );
    peer.sendHex('00000007 00000001 02 00 12050a03414243');
    assert.deepEqual(await answer, { text: 'ABC' });
  });

  test('numbers its streams 1, 3, 5', async () => {
    const { echo, peer } = connect();
    const answers = [echo.Void({}), echo.Void({}), echo.Void({})];
    for (const streamId of ['01', '03', '05']) {
      assert.equal(await peer.nextHex(), `00000011000000${streamId}0100${service}1204566f6964`);
      peer.sendHex(`00000000 000000${streamId} 02 00`);
    }
    assert.deepEqual(await Promise.all(answers), [{}, {}, {}]);
  });

  test('sends timeout and metadata', async () => {
    const { echo, peer } = connect();
    const answer = echo.Once({}, { timeoutMs: 3_600_000, metadata: { K: ['1', '2'], x: '3' } });
    const more = '2080c0e285e368' + '2a060a016b120131' + '2a060a016b120132' + '2a060a0178120133';
    const hex = await peer.nextHex();
    assert.equal(hex.slice(20), service + '12044f6e6365' + more);
    peer.sendHex('00000000 00000001 02 00');
    await answer;
  });

  test('asks for a stream down with remote closed and reads until remote closed', async () => {
    const { echo, peer } = connect();
    const answer = collect(echo.Down({ text: 'hi' }));
    assert.equal(
      await peer.nextHex(),
      '00000017000000010101' + service + '1204446f776e1a040a026869',
    );
    peer.sendHex(
      '00000003 00000001 03 00 0a0168',
      '00000000 00000001 03 00',
      '00000003 00000001 03 00 0a0169',
      '00000000 00000001 03 05',
    );
    assert.deepEqual(await answer, ['h', '', 'i']);
  });

  test('reads the last message of a stream from its closing frame or from a response', async () => {
    const { echo, peer } = connect();
    const streams = [collect(echo.Down({})), collect(echo.Down({})), collect(echo.Down({}))];
    peer.sendHex('00000003 00000001 03 01 0a0168', '00000005 00000003 02 00 12030a0169');
    peer.sendHex('00000000 00000005 02 00');
    assert.deepEqual(await Promise.all(streams), [['h'], ['i'], []]);
  });

  test('streams up: remote open, data, remote closed without data', async () => {
    const { echo, peer } = connect();
    const answer = echo.Up(texts('a', '', 'b'));
    assert.equal(await peer.nextHex(), '0000000f000000010102' + service + '12025570');
    assert.equal(await peer.nextHex(), '00000003000000010300' + '0a0161');
    assert.equal(await peer.nextHex(), '00000000000000010300');
    assert.equal(await peer.nextHex(), '00000003000000010300' + '0a0162');
    assert.equal(await peer.nextHex(), '00000000000000010305');
    peer.sendHex('00000006 00000001 02 00 12040a026162');
    assert.deepEqual(await answer, { text: 'ab' });
  });

  test('streams both ways', async () => {
    const { echo, peer } = connect();
    const answer = collect(echo.Both(texts('a')));
    assert.equal(await peer.nextHex(), '00000011000000010102' + service + '1204426f7468');
    assert.equal(await peer.nextHex(), '00000003000000010300' + '0a0161');
    peer.sendHex('00000003 00000001 03 00 0a0162', '00000000 00000001 03 05');
    assert.deepEqual(await answer, ['b']);
  });

  test('rejects with the status it gets', async () => {
    const { echo, peer } = connect();
    const calls = [echo.Once({}), collect(echo.Down({})), echo.Up(texts())];
    for (const streamId of ['01', '03', '05'])
      peer.sendHex(`00000008 000000${streamId} 02 00 0a060805 12026e6f`);
    for (const call of calls) await assert.rejects(call, hasCode(Code.NotFound, /^no$/));
  });
});

suite('client', () => {
  test('rejects what is pending, and later calls, when the connection ends', async () => {
    const { client, echo, peer } = connect();
    const calls = [
      echo.Once({}),
      collect(echo.Down({})),
      echo.Up(texts()),
      collect(echo.Both(texts())),
    ];
    peer.stream.end();
    for (const call of calls)
      await assert.rejects(call, hasCode(Code.Unavailable, /connection ended$/));
    assert.equal((await client.closed).code, Code.Unavailable);
    await assert.rejects(echo.Once({}), hasCode(Code.Unavailable));
    await assert.rejects(collect(echo.Down({})), hasCode(Code.Unavailable));
  });

  test('says so when the connection ends inside a frame', async () => {
    const { client, echo, peer } = connect();
    const call = echo.Once({});
    peer.sendHex('0000');
    peer.stream.end();
    await assert.rejects(call, hasCode(Code.Unavailable, /inside a frame/));
    assert.match((await client.closed).message, /inside a frame/);
  });

  test('survives a connection that fails or is dead already', async () => {
    const [ours, theirs] = pair();
    const client = new Client(ours);
    const call = client.bind(Echo).Once({});
    ours.destroy(new Error('reset by peer'));
    await assert.rejects(call, hasCode(Code.Unavailable, /reset by peer/));
    theirs.destroy();
    const dead = new Client(ours);
    const late = dead.bind(Echo).Once({});
    await assert.rejects(late, hasCode(Code.Unavailable));
    assert.equal((await dead.closed).code, Code.Unavailable);
  });

  test('close rejects what is pending', async () => {
    const { client, echo } = connect();
    const call = echo.Once({});
    client.close();
    client.close();
    await assert.rejects(call, hasCode(Code.Unavailable, /closed by this side/));
    assert.match((await client.closed).message, /closed by this side/);
  });

  test('delivers what came before the end of the connection', async () => {
    const { echo, peer } = connect();
    const stream = echo.Down({})[Symbol.asyncIterator]();
    peer.sendHex('00000003 00000001 03 00 0a0168');
    peer.stream.end();
    await settled();
    assert.deepEqual(await stream.next(), { done: false, value: { text: 'h' } });
    await assert.rejects(stream.next(), hasCode(Code.Unavailable));
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
  });

  test('ends a call whose time is up, and ignores its late answer', async () => {
    const { echo, peer } = connect();
    const expired = hasCode(Code.DeadlineExceeded, /test\.Echo\.\w+ did not answer within 2 ms/);
    await assert.rejects(echo.Once({}, { timeoutMs: 2 }), expired);
    await assert.rejects(collect(echo.Down({}, { timeoutMs: 2 })), expired);
    peer.sendHex('00000000 00000001 02 00', '00000000 00000003 03 00');
    const next = echo.Once({});
    peer.sendHex('00000000 00000005 02 00');
    assert.deepEqual(await next, { text: '' });
  });

  test('sends nothing when the time is up already', async () => {
    const { echo, peer } = connect();
    for (const timeoutMs of [0, -1, NaN])
      await assert.rejects(echo.Once({}, { timeoutMs }), hasCode(Code.DeadlineExceeded));
    const next = echo.Once({}, { timeoutMs: Infinity });
    assert.equal((await peer.next())?.streamId, 1);
    peer.sendHex('00000000 00000001 02 00');
    await next;
  });

  test('sends at least a nanosecond, since 0 means no timeout', async () => {
    const { echo, peer } = connect();
    const call = echo.Once({}, { timeoutMs: 1e-9 });
    call.catch(() => undefined);
    assert.equal(Request.decode((await peer.next())?.data ?? new Uint8Array()).timeoutNano, 1n);
    await assert.rejects(call);
  });

  test('ends a call when its signal aborts, with the code of the reason if it has one', async () => {
    const { echo, peer } = connect();
    const deadline = new RunvError(Code.DeadlineExceeded, 'outer');
    const reasons: readonly (readonly [unknown, Code])[] = [
      [undefined, Code.Canceled],
      ['text', Code.Canceled],
      [new Error('any'), Code.Canceled],
      [new DOMException('late', 'TimeoutError'), Code.DeadlineExceeded],
      [deadline, Code.DeadlineExceeded],
    ];
    for (const [reason, code] of reasons) {
      const controller = new AbortController();
      const call = echo.Once({}, { signal: controller.signal });
      const stream = collect(echo.Down({}, { signal: controller.signal }));
      await settled();
      controller.abort(reason);
      await assert.rejects(call, hasCode(code));
      await assert.rejects(stream, hasCode(code));
      await assert.rejects(echo.Once({}, { signal: controller.signal }), hasCode(code));
      // two requests were sent, the third was not
      await peer.next();
      await peer.next();
    }
    assert.equal((await Promise.race([peer.next(), settled()])) ?? 'nothing', 'nothing');
  });

  test('fails a request of more than 4 MiB without using the connection', async () => {
    const { echo, peer } = connect();
    const tooLong = { text: 'x'.repeat(4 << 20) };
    await assert.rejects(echo.Once(tooLong), hasCode(Code.ResourceExhausted));
    await assert.rejects(collect(echo.Down(tooLong)), hasCode(Code.ResourceExhausted));
    const call = echo.Once({});
    peer.sendHex('00000000 00000001 02 00');
    assert.deepEqual(await call, { text: '' });
  });

  test('fails a stream of requests at the first that is too long, or cannot be encoded', async () => {
    const { echo } = connect();
    await assert.rejects(echo.Up(texts('a', 'x'.repeat(4 << 20))), hasCode(Code.ResourceExhausted));
    const wrong = (async function* () {
      yield await Promise.resolve({ text: 5 as unknown as string });
    })();
    await assert.rejects(echo.Up(wrong), hasCode(Code.InvalidArgument, /test\.Echo\.Up/));
  });

  test('fails with what the stream of requests throws, and does not complete the stream', async () => {
    const { echo, peer } = connect();
    const broken = (async function* () {
      yield await Promise.resolve({ text: 'a' });
      throw new RunvError(Code.Aborted, 'broken');
    })();
    await assert.rejects(echo.Up(broken), hasCode(Code.Aborted, /broken/));
    await settled();
    assert.deepEqual([(await peer.next())?.flags, (await peer.next())?.flags], [2, 0]);
    assert.equal((await Promise.race([peer.next(), settled()])) ?? 'nothing', 'nothing');
  });

  test('stops taking requests when the server answers early', async () => {
    const { echo, peer } = connect();
    const stopped = Promise.withResolvers<void>();
    const endless = (async function* () {
      try {
        for (;;) {
          yield { text: 'x' };
          await new Promise((resolve) => setImmediate(resolve));
        }
      } finally {
        stopped.resolve();
      }
    })();
    const call = echo.Up(endless);
    await peer.next();
    peer.sendHex('00000004 00000001 02 00 0a02 0809');
    await assert.rejects(call, hasCode(Code.FailedPrecondition));
    await stopped.promise;
  });

  test('an oversize answer fails its call only', async () => {
    const { echo, peer } = connect();
    const calls = [echo.Once({}), echo.Once({})];
    peer.sendHex('00400001 00000001 02 00');
    peer.stream.write(Buffer.alloc((4 << 20) + 1));
    peer.sendHex('00000000 00000003 02 00');
    await assert.rejects(calls[0] as Promise<Text>, hasCode(Code.ResourceExhausted));
    assert.deepEqual(await calls[1], { text: '' });
  });

  const answers: readonly (readonly [string, string])[] = [
    ['a response that is no protobuf', '00000002 00000001 02 00 0aff'],
    ['a payload that is no protobuf', '00000004 00000001 02 00 1202 0a09'],
    ['data', '00000000 00000001 03 00'],
    ['the end of a stream', '00000000 00000001 03 05'],
  ];
  for (const [what, frame] of answers) {
    test(`rejects a unary call answered with ${what} as Internal`, async () => {
      const { echo, peer } = connect();
      const call = echo.Once({});
      peer.sendHex(frame);
      await assert.rejects(call, hasCode(Code.Internal));
    });
  }

  test('rejects a stream with a message that is no protobuf', async () => {
    const { echo, peer } = connect();
    const stream = collect(echo.Down({}));
    peer.sendHex('00000002 00000001 03 00 0a09');
    await assert.rejects(stream, hasCode(Code.Internal));
  });

  test('ignores frames of streams that it does not know', async () => {
    const { echo, peer } = connect();
    const call = echo.Once({});
    peer.sendHex('00000000 00000000 02 00', '00000000 00000002 01 00', '00000000 00000063 03 07');
    peer.sendHex('00000000 00000001 63 00', '00000000 00000001 02 00');
    assert.deepEqual(await call, { text: '' });
  });

  test('takes a status code that it does not know as Unknown', async () => {
    const { echo, peer } = connect();
    const call = echo.Once({});
    peer.send({
      streamId: 1,
      type: 2,
      flags: 0,
      data: Response.encode({ status: { code: 99, message: 'm' } }),
    });
    await assert.rejects(call, hasCode(Code.Unknown, /^m$/));
  });

  test('leaving a stream early forgets it', async () => {
    const { echo, peer } = connect();
    peer.sendHex('00000003 00000001 03 00 0a0168', '00000003 00000001 03 00 0a0169');
    for await (const { text } of echo.Down({})) {
      assert.equal(text, 'h');
      break;
    }
    peer.sendHex('00000003 00000001 03 00 0a016a');
    const next = echo.Once({});
    peer.sendHex('00000000 00000003 02 00');
    await next;
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { streamHello } from '../proto/stdio-stream.ts';
import { memoryLog } from './fixtures/log.ts';
import { socketPairs } from './fixtures/sockets.ts';
import { Streams } from './streams.ts';

const pair = socketPairs();
const never = new AbortController().signal;

describe('streams', () => {
  it('wait for the request that names them', async () => {
    const streams = new Streams(memoryLog().log);
    const [here, there] = await pair();
    here.write(streamHello(5));
    await streams.accept(there);
    assert.equal(await streams.take(5, never), there);
    here.destroy();
  });

  it('are waited for when the request comes first', async () => {
    const streams = new Streams(memoryLog().log);
    const taking = streams.take(5, never);
    const [here, there] = await pair();
    here.write(streamHello(5));
    await streams.accept(there);
    assert.equal(await taking, there);
    here.destroy();
  });

  it('are given up with the request', async () => {
    const streams = new Streams(memoryLog().log);
    const call = new AbortController();
    const taking = assert.rejects(streams.take(5, call.signal), /gone/);
    call.abort(new Error('gone'));
    await taking;
  });

  it('keep their id to themselves', async () => {
    const { log, lines } = memoryLog();
    const streams = new Streams(log);
    const [a, first] = await pair();
    const [b, second] = await pair();
    a.write(streamHello(5));
    b.write(streamHello(5));
    await streams.accept(first);
    await streams.accept(second);
    assert.equal(second.destroyed, true);
    assert.equal(await streams.take(5, never), first);
    assert.equal(lines.length, 1);
    a.destroy();
  });

  it('are forgotten when they close', async () => {
    const streams = new Streams(memoryLog().log);
    const [here, there] = await pair();
    here.write(streamHello(5));
    await streams.accept(there);
    there.destroy();
    await sleep(5);
    await assert.rejects(streams.take(5, AbortSignal.timeout(10)), { name: 'TimeoutError' });
  });

  it('are refused without a hello', async () => {
    const { log, lines } = memoryLog();
    const [here, there] = await pair();
    here.write('GET / HTTP/1.1\r\n');
    await new Streams(log).accept(there);
    assert.equal(there.destroyed, true);
    assert.equal(lines.length, 1);
    here.destroy();
  });
});

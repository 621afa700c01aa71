import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';
import { Events } from './events.ts';
import { memoryLog } from './fixtures/log.ts';

const oom = (containerId: string): agent.IEvent => ({ oom: { containerId } });
const never = new AbortController().signal;

describe('events', () => {
  it('come in order, those from before the subscription first', async () => {
    const events = new Events(memoryLog().log);
    events.push(oom('1'));
    events.push(oom('2'));
    const stream = events.subscribe(never);
    assert.deepEqual((await stream.next()).value, oom('1'));
    assert.deepEqual((await stream.next()).value, oom('2'));
    const third = stream.next();
    await sleep(1);
    events.push(oom('3'));
    assert.deepEqual((await third).value, oom('3'));
  });

  it('stay for the next subscriber when one leaves without having taken them', async () => {
    const events = new Events(memoryLog().log);
    events.push(oom('1'));
    events.push(oom('2'));
    const lost = events.subscribe(never);
    await lost.next();
    await lost.return(undefined);
    const stream = events.subscribe(never);
    assert.deepEqual((await stream.next()).value, oom('1'));
    assert.deepEqual((await stream.next()).value, oom('2'));
  });

  it('go to the newest subscriber', async () => {
    const events = new Events(memoryLog().log);
    const old = events.subscribe(never);
    const waiting = assert.rejects(old.next(), { code: Code.Aborted });
    const stream = events.subscribe(never);
    const first = stream.next();
    events.push(oom('1'));
    assert.deepEqual((await first).value, oom('1'));
    await waiting;
  });

  it('end with the call, and wait for another', async () => {
    const events = new Events(memoryLog().log);
    const call = new AbortController();
    const ended = assert.rejects(events.subscribe(call.signal).next(), /gone/);
    call.abort(new Error('gone'));
    await ended;
    events.push(oom('1'));
    assert.deepEqual((await events.subscribe(never).next()).value, oom('1'));
  });

  it('are bounded, and the log tells what was lost', () => {
    const { log, lines } = memoryLog();
    const events = new Events(log);
    for (let i = 0; i < 65_537; i++) events.push(oom('x'));
    assert.equal(lines.length, 1);
  });
});

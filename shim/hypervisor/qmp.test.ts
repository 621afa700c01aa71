import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { describe, it } from 'node:test';
import { Code, type RunvError } from '../../proto/error.ts';
import { Qmp, type QmpEvent } from './qmp.ts';

/** A QEMU that answers each command with what `answer` says. */
function fakeQemu(answer: (command: { execute: string; id: number }) => string | undefined) {
  const [ours, theirs] = duplexPair();
  theirs.write('{"QMP": {"version": {}, "capabilities": []}}\r\n');
  theirs.on('data', (data: Buffer) => {
    for (const line of data.toString().split('\n').filter(Boolean)) {
      const text = answer(JSON.parse(line) as { execute: string; id: number });
      if (text !== undefined) theirs.write(text + '\r\n');
    }
  });
  return { qmp: new Qmp(ours), theirs: theirs };
}

describe('QMP', () => {
  it('negotiates, runs a command and returns its value', async () => {
    const { qmp } = fakeQemu(({ execute, id }) =>
      JSON.stringify({ return: execute === 'query-status' ? { status: 'running' } : {}, id }),
    );
    await qmp.negotiate();
    assert.deepEqual(await qmp.execute('query-status'), { status: 'running' });
  });

  it('matches answers by id whatever their order', async () => {
    const held: number[] = [];
    const { qmp, theirs } = fakeQemu(({ id }) => void held.push(id));
    const both = Promise.all([qmp.execute('a'), qmp.execute('b')]);
    while (held.length < 2) await new Promise(setImmediate);
    for (const id of held.reverse()) theirs.write(JSON.stringify({ return: id, id }) + '\n');
    assert.deepEqual(await both, held.reverse());
  });

  it("rejects with QEMU's own words when it refuses", async () => {
    const { qmp } = fakeQemu(({ id }) =>
      JSON.stringify({ error: { class: 'GenericError', desc: 'no such node' }, id }),
    );
    await assert.rejects(qmp.execute('blockdev-del'), /QEMU refused blockdev-del: no such node/);
  });

  it('delivers events, split and joined as they come', async () => {
    const { qmp, theirs } = fakeQemu(() => undefined);
    const seen: QmpEvent[] = [];
    const two = new Promise<void>((resolve) => {
      qmp.onEvent((e) => seen.push(e) === 2 && resolve());
    });
    theirs.write('{"event": "ST');
    theirs.write('OP", "data": {}}\n{"event": "DEVICE_DELETED", "data": {"device": "d"}}\n');
    await two;
    assert.deepEqual(seen, [
      { event: 'STOP', data: {} },
      { event: 'DEVICE_DELETED', data: { device: 'd' } },
    ]);
  });

  it('rejects all that waits, and what comes later, when QEMU is gone', async () => {
    const { qmp, theirs } = fakeQemu(() => undefined);
    const waiting = qmp.execute('stop');
    theirs.end();
    const unavailable = (e: RunvError) => e.code === Code.Unavailable;
    await assert.rejects(waiting, unavailable);
    await assert.rejects(qmp.execute('cont'), unavailable);
  });

  it('gives up on a line without an end', async () => {
    const { qmp, theirs } = fakeQemu(() => undefined);
    const waiting = qmp.execute('stop');
    waiting.catch(() => undefined);
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    for (let i = 0; i < 6; i++) theirs.write(chunk);
    await assert.rejects(waiting, /QMP line longer/);
  });

  it('gives up on what is not JSON', async () => {
    const { qmp, theirs } = fakeQemu(() => undefined);
    const waiting = qmp.execute('stop');
    theirs.write('hello\n');
    await assert.rejects(waiting, /not JSON: hello/);
  });
});

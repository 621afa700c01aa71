import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { StartGate } from './start-gate.ts';

const top = mkdtempSync(join(tmpdir(), 'runv-gate-'));
after(() => rmSync(top, { recursive: true }));
const log = pino({ enabled: false });
const never = new AbortController().signal;
let dir = '';
beforeEach(() => (dir = mkdtempSync(join(top, 'run-'))));

describe('the gate of starts', () => {
  it('lets as many in as it has places, and the next when one has left', async () => {
    const [one, two] = [new StartGate(dir, log, 2), new StartGate(dir, log, 2)];
    const leave = await one.enter('boot', never);
    await two.enter('boot', never);
    let isIn = false;
    const third = two.enter('boot', never).then(() => (isIn = true));
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(isIn, false);
    leave();
    leave();
    await third;
  });

  it('lets nobody wait who is to end', async () => {
    const gate = new StartGate(dir, log, 1);
    await gate.enter('boot', never);
    const abort = new AbortController();
    const waiting = gate.enter('create', abort.signal);
    abort.abort(new Error('stopped'));
    await assert.rejects(waiting, /stopped/);
  });

  it('keeps nobody out when it has no places to give', async () => {
    const leave = await new StartGate(join(dir, 'none'), log, 1).enter('boot', never);
    leave();
  });
});

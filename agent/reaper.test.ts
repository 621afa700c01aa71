import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { memoryLog } from './fixtures/log.ts';
import { Reaper } from './reaper.ts';

/** Children that have exited, in the order in which the kernel shows them. */
class FakeKernel {
  readonly exited: [pid: number, waitStatus: number][] = [];
  readonly reaped: number[] = [];

  peekExitedChild(): number | undefined {
    return this.exited[0]?.[0];
  }

  reapChild(pid: number): number | undefined {
    const at = this.exited.findIndex(([exited]) => exited === pid);
    if (at < 0) return undefined;
    this.reaped.push(pid);
    return this.exited.splice(at, 1)[0]?.[1];
  }
}

const setup = () => {
  const kernel = new FakeKernel();
  const { log, lines } = memoryLog();
  return { kernel, lines, reaper: new Reaper(kernel, log) };
};
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe('reaper', () => {
  it('gives an exit to who claimed the process before', async () => {
    const { kernel, reaper } = setup();
    const exit = await reaper.expect(async () => {
      const claimed = reaper.claim(7);
      kernel.exited.push([7, 3 << 8]);
      reaper.collect();
      return claimed;
    });
    assert.equal(exit.status, 3);
    assert.ok(Math.abs(exit.unixMs - Date.now()) < 1000);
  });

  it('keeps an exit for who claims the process afterwards', async () => {
    const { kernel, reaper } = setup();
    const exit = await reaper.expect(async () => {
      kernel.exited.push([7, 9]);
      reaper.collect();
      return reaper.claim(7);
    });
    assert.equal(exit.status, 137);
  });

  it('keeps no exit from before, which would be that of another process', async () => {
    const { kernel, reaper } = setup();
    await reaper.expect(async () => {
      kernel.exited.push([7, 0]);
      reaper.collect();
    });
    let exited = false;
    await reaper.expect(async () => void reaper.claim(7).then(() => (exited = true)));
    await nextTurn();
    assert.equal(exited, false);
  });

  it('keeps exits while any launch runs', async () => {
    const { kernel, reaper } = setup();
    const first = Promise.withResolvers<void>();
    const outer = reaper.expect(async () => {
      await first.promise;
      return reaper.claim(7);
    });
    kernel.exited.push([7, 0]);
    reaper.collect();
    await reaper.expect(async () => undefined);
    first.resolve();
    assert.equal((await outer).status, 0);
  });

  it('reaps orphans that nobody knows', () => {
    const { kernel, reaper } = setup();
    kernel.exited.push([7, 0], [8, 0]);
    reaper.collect();
    assert.deepEqual(kernel.reaped, [7, 8]);
  });

  it("leaves libuv's children to libuv, and looks behind them afterwards", async () => {
    const { kernel, reaper } = setup();
    reaper.spawned(5);
    kernel.exited.push([5, 0], [7, 0]);
    reaper.collect();
    await nextTurn();
    assert.deepEqual(kernel.reaped, []);
    kernel.exited.shift(); // libuv has reaped it
    reaper.spawnedExited(5);
    assert.deepEqual(kernel.reaped, [7]);
    await nextTurn();
    // the pid may now be an orphan's
    kernel.exited.push([5, 0]);
    reaper.collect();
    assert.deepEqual(kernel.reaped, [7, 5]);
  });
});

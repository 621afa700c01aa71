import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Undo } from './undo.ts';

suite('Undo', () => {
  const silent = (): void => undefined;

  test('runs the steps in reverse, one after the other', async () => {
    const done: string[] = [];
    const undo = new Undo(silent);
    undo.add('first', () => done.push('first'));
    undo.add('second', async () => {
      await Promise.resolve();
      done.push('second');
    });
    await undo.run();
    assert.deepEqual(done, ['second', 'first']);
  });

  test('logs a failure and goes on, thrown or rejected', async () => {
    const done: string[] = [];
    const failures: unknown[] = [];
    const undo = new Undo((error, what) => failures.push([what, error]));
    const thrown = new Error('thrown');
    const rejected = new Error('rejected');
    undo.add('a', () => done.push('a'));
    undo.add('b', () => {
      throw thrown;
    });
    undo.add('c', () => Promise.reject(rejected));
    await undo.run();
    assert.deepEqual(done, ['a']);
    assert.deepEqual(failures, [
      ['c', rejected],
      ['b', thrown],
    ]);
  });

  test('undoes what was acquired when its scope is left by an exception', async () => {
    const done: string[] = [];
    const boot = async (): Promise<void> => {
      await using undo = new Undo(silent);
      undo.add('step', () => done.push('undone'));
      throw new Error('boot failed');
    };
    await assert.rejects(boot, /boot failed/);
    assert.deepEqual(done, ['undone']);
  });

  test('leaves everything to the Undo it was moved to', async () => {
    const done: string[] = [];
    let teardown: Undo | undefined;
    {
      await using undo = new Undo(silent);
      undo.add('step', () => done.push('undone'));
      teardown = undo.move();
    }
    assert.deepEqual(done, []);
    await teardown.run();
    assert.deepEqual(done, ['undone']);
  });

  test('runs each step once, and a second call waits for the first', async () => {
    const gate = Promise.withResolvers<void>();
    let runs = 0;
    const undo = new Undo(silent);
    undo.add('step', async () => {
      await gate.promise;
      runs++;
    });
    const first = undo.run();
    const second = undo.run().then(() => runs);
    gate.resolve();
    await first;
    assert.equal(await second, 1);
    await undo.run();
    assert.equal(runs, 1);
  });

  test('runs a step that was added while it ran', async () => {
    const done: string[] = [];
    const undo = new Undo(silent);
    undo.add('outer', () => {
      done.push('outer');
      undo.add('inner', () => done.push('inner'));
    });
    await undo.run();
    assert.deepEqual(done, ['outer', 'inner']);
  });
});

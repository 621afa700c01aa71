import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Shared } from './shared.ts';
import { Undo } from './undo.ts';

const newUndo = () => new Undo((e) => assert.fail(String(e)));
let done: string[] = [];
let shared = new Shared<number>(newUndo);
let returning = Promise.resolve();

beforeEach(() => {
  done = [];
  shared = new Shared<number>(newUndo);
  returning = Promise.resolve();
});

const use = (key: string, undo: Undo, error?: Error): Promise<number> =>
  shared.use(
    key,
    async (own) => {
      own.add('give back', async () => {
        await returning;
        done.push(`gave back ${key}`);
      });
      if (error) throw error;
      done.push(`made ${key}`);
      return done.length;
    },
    undo,
  );

describe('shared', () => {
  it('makes a thing once for all its users, and gives it back with the last', async () => {
    const [one, two] = [newUndo(), newUndo()];
    assert.deepEqual(await Promise.all([use('a', one), use('a', two)]), [1, 1]);
    await use('b', two);
    await one.run();
    assert.deepEqual(done, ['made a', 'made b']);
    await two.run();
    assert.deepEqual(done, ['made a', 'made b', 'gave back b', 'gave back a']);
  });

  it('makes anew what is being given back, after that', async () => {
    const [one, two] = [newUndo(), newUndo()];
    await use('a', one);
    const { promise, resolve } = Promise.withResolvers<void>();
    returning = promise;
    const left = one.run();
    const again = use('a', two);
    resolve();
    await Promise.all([left, again]);
    assert.deepEqual(done, ['made a', 'gave back a', 'made a']);
    await two.run();
    assert.equal(done.length, 4);
  });

  it('tells a failure to all who wait, gives back the half, and tries again', async () => {
    const undo = newUndo();
    const failure = new Error('no disk');
    const results = await Promise.allSettled([use('a', undo, failure), use('a', undo)]);
    assert.deepEqual(
      results.map((r) => r.status === 'rejected' && (r.reason as unknown)),
      [failure, failure],
    );
    await undo.run();
    assert.deepEqual(done, ['gave back a']);
    await use('a', undo);
    assert.deepEqual(done, ['gave back a', 'made a']);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Code, type RunvError } from '../proto/error.ts';
import { ContainerProcess } from './process.ts';

const stdio = { stdin: '', stdout: '', stderr: '', terminal: false };
const exitedAt = { seconds: 1n, nanos: 0 };
const make = () => new ContainerProcess('', stdio);
const nothing = () => undefined;
const start = (process: ContainerProcess) => process.start(() => Promise.resolve(7), nothing);

describe('container process', () => {
  it('answers NotFound to a signal after the end, as runc does', async () => {
    const process = make();
    await start(process);
    await process.end({ status: 0, exitedAt });
    assert.throws(
      () => process.assertMay('kill'),
      (e: RunvError) => e.code === Code.NotFound,
    );
  });

  it('publishes an exit that overtakes the start after it', async () => {
    const process = make();
    const order: string[] = [];
    void process.exited.then(() => order.push('exit'));
    const gate = Promise.withResolvers<number>();
    const starting = process.start(
      () => gate.promise,
      () => order.push('start'),
    );
    const ending = process.end({ status: 3, exitedAt });
    gate.resolve(7);
    await Promise.all([starting, ending, process.exited]);
    assert.deepEqual(order, ['start', 'exit']);
  });

  it('lets who would signal it wait for a start under way', async () => {
    const process = make();
    const gate = Promise.withResolvers<number>();
    const order: string[] = [];
    const starting = process.start(
      () => gate.promise,
      () => order.push('started'),
    );
    const settled = process.startSettled().then(() => order.push('settled'));
    gate.resolve(7);
    await Promise.all([starting, settled]);
    assert.deepEqual(order, ['started', 'settled']);
  });

  it('keeps the first exit', async () => {
    const process = make();
    await start(process);
    await process.end({ status: 3, exitedAt });
    await process.end({ status: 137, exitedAt });
    assert.equal((await process.exited).status, 3);
  });

  it('stays created when the start fails', async () => {
    const process = make();
    await assert.rejects(
      process.start(() => Promise.reject(new Error('no')), nothing),
      /no/,
    );
    assert.equal(process.state.kind, 'created');
  });
});

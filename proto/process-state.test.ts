import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Code, RunvError, type Code as CodeValue } from './error.ts';
import { Status } from './gen/tasktypes.ts';
import {
  assertAllowed,
  isAllowed,
  pidOf,
  statusOf,
  type ProcessOp,
  type ProcessState,
} from './process-state.ts';

const exit = { pid: 7, status: 137, exitedAt: { seconds: 1n, nanos: 0 } };
const states: readonly ProcessState[] = [
  { kind: 'created', pid: undefined },
  { kind: 'running', pid: 7 },
  { kind: 'paused', pid: 7 },
  { kind: 'stopped', exit },
  { kind: 'deleted', exit },
];

const { OK, FailedPrecondition: Fails, NotFound: Gone } = Code;
/** One column per state, in the order above. */
const expected: Readonly<Record<ProcessOp, readonly CodeValue[]>> = {
  start: [OK, Fails, Fails, Fails, Gone],
  exec: [Fails, OK, Fails, Fails, Gone],
  pause: [Fails, OK, Fails, Fails, Gone],
  resume: [Fails, Fails, OK, Fails, Gone],
  kill: [OK, OK, OK, Gone, Gone],
  delete: [OK, Fails, Fails, OK, Gone],
};

suite('ProcessState', () => {
  for (const [op, codes] of Object.entries(expected) as [ProcessOp, CodeValue[]][]) {
    for (const [index, state] of states.entries()) {
      const code = codes[index];
      test(`${op} of a ${state.kind} process gives code ${code}`, () => {
        assert.equal(isAllowed(state, op), code === OK);
        if (code === OK) {
          assertAllowed(state, op, 'container c');
        } else {
          assert.throws(
            () => assertAllowed(state, op, 'container c'),
            (e) =>
              e instanceof RunvError &&
              e.code === code &&
              e.message === `cannot ${op} container c: it is ${state.kind}`,
          );
        }
      });
    }
  }

  test('tells pid and status in every state', () => {
    assert.deepEqual(states.map(pidOf), [0, 7, 7, 7, 7]);
    assert.equal(pidOf({ kind: 'created', pid: 3 }), 3);
    assert.deepEqual(states.map(statusOf), [
      Status.CREATED,
      Status.RUNNING,
      Status.PAUSED,
      Status.STOPPED,
      Status.UNKNOWN,
    ]);
  });
});

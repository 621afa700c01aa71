import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipDifferences } from './skip.ts';

test('the same skips in any order are no difference', () => {
  assert.deepEqual(skipDifferences(['b: x', 'a: y'], ['a: y', 'b: x']), []);
});

test('a skip too many and one too few are told apart', () => {
  assert.deepEqual(skipDifferences(['new: x'], ['old: y']), [
    'skipped, but not in the list: new: x',
    'in the list, but not skipped: old: y',
  ]);
});

test('what only some machines lack may be skipped, or not', () => {
  assert.deepEqual(skipDifferences(['a: x'], ['? a: x', '? b: y']), []);
});

import assert from 'node:assert/strict';
import test from 'node:test';
import { letters } from '../src/logic.js';

test('letters go on after z', () => {
  assert.deepEqual([1, 2, 26, 27, 52, 703].map((number) => letters(number, false)), ['a', 'b', 'z', 'aa', 'az', 'aaa']);
  assert.equal(letters(28, true), 'AB');
});

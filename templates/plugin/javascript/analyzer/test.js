import assert from 'node:assert/strict';
import test from 'node:test';
import { phrases } from '../src/logic.js';

test('phrases stand between marks', () => {
  assert.deepEqual(phrases('What is “net debt” and "EBITDA" and “net debt”?'), ['net debt', 'EBITDA']);
  assert.deepEqual(phrases('What is it?'), []);
  assert.deepEqual(phrases('""'), []);
});

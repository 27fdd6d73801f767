import assert from 'node:assert/strict';
import test from 'node:test';
import { expansions, rewritten } from '../src/logic.js';

const meanings = { ARR: 'annual recurring revenue', IT: 'information technology', GmbH: 'limited company', RR: 'recurring revenue' };
const replaced = (question) => rewritten(question, expansions(question, meanings));

test('abbreviations are spelt out, and what is spelt out is abbreviated', () => {
  assert.equal(replaced('How did ARR grow?'), 'How did annual recurring revenue grow?');
  assert.equal(replaced('How did Annual  Recurring Revenue grow in IT?'), 'How did ARR grow in information technology?');
  assert.equal(replaced('Which gmbh is it?'), 'Which limited company is it?');
});

test('only whole words count, and upper case where it is said', () => {
  assert.deepEqual(expansions('Is it in the ARRAY, Zürich-ARRé?', meanings), []);
});

test('who says both has said all', () => {
  assert.deepEqual(expansions('Is ARR annual recurring revenue?', { ARR: meanings.ARR }), []);
});

test('what is special in patterns is not special in abbreviations', () => {
  assert.equal(rewritten('C++?', expansions('C++?', { 'C++': '$& (x' })), '$& (x?');
  assert.deepEqual(expansions('a', { '': 'x', ' ': 'a' }), []);
});

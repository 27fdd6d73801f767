import assert from 'node:assert/strict';
import test from 'node:test';
import { columns, rows } from '../src/logic.js';

test('rows may hold line breaks in quotation marks', () => {
  const text = 'name,note\r\nAnn,"two\nlines"\n\nJürgen,日本';
  const found = rows(text).map(({ start, end }) => text.slice(start, end));
  assert.deepEqual(found, ['name,note', 'Ann,"two\nlines"', 'Jürgen,日本']);
});

test('separators in quotation marks separate nothing', () => {
  assert.equal(columns('a,"b,c",d', ','), 3);
  assert.equal(columns('a;b', ';'), 2);
});

import assert from 'node:assert/strict';
import test from 'node:test';
import { join, paragraphs } from '../src/logic.js';
import { ByteOffsets } from '../src/spans.js';

test('paragraphs end at blank lines', () => {
  const text = '  Eins\nzwei\n\n\nDrei 日本\n';
  const found = paragraphs(text).map(({ start, end }) => text.slice(start, end));
  assert.deepEqual(found, ['Eins\nzwei', 'Drei 日本']);
});

test('neighbours are joined while there is room', () => {
  const spans = [0, 5, 10].map((start) => ({ start, end: start + 3 }));
  assert.deepEqual(join(spans, [6, 4, 1], 10), [{ start: 0, end: 8 }, { start: 10, end: 13 }]);
});

test('offsets are bytes', () => {
  const offsets = new ByteOffsets('aé日👩b', 10);
  assert.deepEqual([0, 1, 2, 3, 5, 6].map((index) => offsets.at(index)), [10, 11, 13, 16, 20, 21]);
  assert.equal(offsets.at(1), 11);
});

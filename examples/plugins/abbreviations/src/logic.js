// Finds abbreviations and what they stand for.

/** A question with more of them is no question. */
const MOST = 10;

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

// The engine in a component has no tables of Unicode properties, so no `\p{L}`: what has two cases is a letter.
const isWord = (character) => /[0-9_]/.test(character) || character.toLowerCase() !== character.toUpperCase();

/** Where `words` stand in `text` with no letter or digit touching them: `{ start, end }`, or `undefined`. */
function find(words, text, flags) {
  const spaced = words.trim().split(/\s+/).map(escaped).join('\\s+');
  for (const { 0: match, index: start } of text.matchAll(new RegExp(spaced, `g${flags}`))) {
    const end = start + match.length;
    const touches = (outside, inside) => isWord(text.charAt(outside)) && isWord(text.charAt(inside));
    if (!touches(start - 1, start) && !touches(end, end - 1)) return { start, end };
  }
  return undefined;
}

/**
 * What a question abbreviates or spells out, in the order in which it stands there: `{ start, end, short, long, other }`, where
 * `other` is what may stand in its place. Where two overlap the first and longest counts.
 */
export function expansions(question, meanings) {
  const found = [];
  for (const [short, long] of Object.entries(meanings)) {
    if (short.trim() === '' || long.trim() === '') continue;
    const inShort = find(short, question, short === short.toUpperCase() ? '' : 'i');
    const inLong = find(long, question, 'i');
    // Whoever says both has said all.
    if (inShort !== undefined && inLong === undefined) found.push({ ...inShort, short, long, other: long });
    if (inShort === undefined && inLong !== undefined) found.push({ ...inLong, short, long, other: short });
  }
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  const apart = found.filter((one, index) => found.slice(0, index).every((earlier) => earlier.end <= one.start));
  return apart.slice(0, MOST);
}

/** The question with each of them replaced. */
export function rewritten(question, found) {
  let text = '';
  let from = 0;
  for (const { start, end, other } of found) {
    text += question.slice(from, start) + other;
    from = end;
  }
  return text + question.slice(from);
}

// Joins paragraphs into chunks of so many tokens. Indices of strings; `spans.js` makes bytes of them.

/** Where the paragraphs of a text stand, without white space at their ends. A paragraph ends at a blank line. */
export function paragraphs(text) {
  const found = [];
  let goesOn = false;
  for (const { 0: line, index } of text.matchAll(/.*\n|.+$/gu)) {
    const content = line.trim();
    if (content === '') {
      goesOn = false;
      continue;
    }
    const start = index + line.indexOf(content);
    const end = start + content.length;
    if (goesOn) found.at(-1).end = end;
    else found.push({ start, end });
    goesOn = true;
  }
  return found;
}

/** Joins neighbours while they have no more than `maxTokens` together; `tokens` has a number for each paragraph. */
export function join(spans, tokens, maxTokens) {
  const chunks = [];
  let held = 0;
  spans.forEach((span, index) => {
    const own = tokens[index];
    if (chunks.length > 0 && held + own <= maxTokens) {
      chunks.at(-1).end = span.end;
      held += own;
    } else {
      chunks.push({ ...span });
      held = own;
    }
  });
  return chunks;
}

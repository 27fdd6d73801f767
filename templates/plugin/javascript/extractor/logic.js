// Reads tables of comma-separated values. Indices of strings; `spans.js` makes bytes of them.

/** Where the rows of a table stand, without the line break. A line break between quotation marks ends no row. */
export function rows(text) {
  const found = [];
  let start = 0;
  let quoted = false;
  const add = (end) => {
    const content = text.slice(start, end).replace(/[\r\n]+$/u, '');
    if (content.trim() !== '') found.push({ start, end: start + content.length });
    start = end;
  };
  for (let index = 0; index < text.length; index += 1) {
    if (text[index] === '"') quoted = !quoted;
    else if (text[index] === '\n' && !quoted) add(index + 1);
  }
  add(text.length);
  return found;
}

/** How many values a row has. */
export function columns(row, separator) {
  let quoted = false;
  let count = 1;
  for (const character of row) {
    if (character === '"') quoted = !quoted;
    else if (character === separator && !quoted) count += 1;
  }
  return count;
}

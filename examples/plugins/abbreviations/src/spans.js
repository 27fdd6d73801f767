// Offsets. Ibid counts a document in UTF-8 bytes, JavaScript counts a string in UTF-16 code units.

/** Bytes of a code point in UTF-8. */
function width(codePoint) {
  return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
}

/**
 * The byte offsets of indices of a text, of which `start` is the offset of its beginning. Ask for rising indices: the whole
 * text is then walked once.
 */
export class ByteOffsets {
  constructor(text, start = 0) {
    this.text = text;
    this.start = start;
    this.index = 0;
    this.offset = start;
  }

  /** The byte offset of an index, which must not stand inside a surrogate pair. */
  at(index) {
    if (index < this.index) {
      this.index = 0;
      this.offset = this.start;
    }
    while (this.index < index) {
      const codePoint = this.text.codePointAt(this.index);
      this.offset += width(codePoint);
      this.index += codePoint > 0xffff ? 2 : 1;
    }
    return this.offset;
  }

  /** The span of `text.slice(start, end)`. */
  span({ start, end }) {
    return { start: this.at(start), end: this.at(end) };
  }
}

// The glue: the exports of the world `chunker-plugin`.
import { countSpans } from 'ibid:plugin/tokens@1.0.0';
import { guarded } from './failures.js';
import { join, paragraphs } from './logic.js';
import { ByteOffsets } from './spans.js';

class Chunker {
  constructor(config) {
    this.maxTokens = config.max_tokens ?? 200;
  }

  static open(config) {
    return guarded(() => new Chunker(JSON.parse(config)));
  }

  chunk(document, within) {
    return guarded(() => {
      // The whole part at once; a document of many megabytes is better read in windows of 64 KiB or more.
      const text = document.text(within);
      const offsets = new ByteOffsets(text, within.start);
      const spans = paragraphs(text).map((paragraph) => offsets.span(paragraph));
      // One call for all of them: each call into the host costs.
      const tokens = countSpans(document, spans);
      return join(spans, tokens, this.maxTokens).map((at) => ({ at, context: [], attrs: [] }));
    });
  }
}

export const chunking = { Chunker };

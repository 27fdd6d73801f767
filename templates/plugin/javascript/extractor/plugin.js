// The glue: the exports of the world `extractor-plugin`.
import { Failure, guarded } from './failures.js';
import { columns, rows } from './logic.js';
import { ByteOffsets } from './spans.js';

class Extractor {
  constructor(config) {
    this.separator = config.separator ?? ',';
  }

  static open(config) {
    return guarded(() => new Extractor(JSON.parse(config)));
  }

  extract(source, target) {
    return guarded(() => {
      const text = decode(source, target);
      const found = rows(text);
      target.write(text);
      const offsets = new ByteOffsets(text);
      const spans = found.map((row) => offsets.span(row));
      // Each row is told which header it stands under: chunkers and answers keep the two together.
      target.addUnits(spans.map((at) => ({ at, kind: 'table-row', level: 0, title: spans[0] })));
      const width = found.length > 0 ? columns(text.slice(found[0].start, found[0].end), this.separator) : 0;
      target.addAttrs([
        { key: 'rows', value: `${Math.max(found.length - 1, 0)}` },
        { key: 'columns', value: `${width}` },
      ]);
    });
  }
}

function decode(source, target) {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const length = source.len();
  let text = '';
  let offset = 0n;
  try {
    for (;;) {
      const part = source.read(offset, 4 << 20);
      if (part.length === 0) return text + decoder.decode();
      text += decoder.decode(part, { stream: true });
      offset += BigInt(part.length);
      target.progress(Number(offset) / Number(length) / 2);
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Failure('MALFORMED', 'The file is not UTF-8: save it as UTF-8 and upload it again.');
  }
}

export const extraction = { Extractor };

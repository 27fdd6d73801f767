// The glue: the exports of the world `analyzer-plugin`.
import { guarded } from './failures.js';
import { expansions, rewritten } from './logic.js';

class Analyzer {
  constructor(config) {
    this.meanings = config.meanings ?? {};
    this.weight = config.weight ?? 0.7;
  }

  static open(config) {
    return guarded(() => new Analyzer(JSON.parse(config)));
  }

  analyze(query, _known) {
    return guarded(() => {
      const search = (text, weight) => ({ text, weight, filter: undefined, limit: undefined });
      const found = expansions(query, this.meanings);
      const searches = [search(query, 1)];
      if (found.length > 0) searches.push(search(rewritten(query, found), this.weight));
      return { searches, attrs: found.map(({ short, long }) => ({ key: 'entity.abbreviation', value: `${short}: ${long}` })) };
    });
  }
}

export const analysis = { Analyzer };

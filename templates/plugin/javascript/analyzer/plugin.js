// The glue: the exports of the world `analyzer-plugin`.
import { guarded } from './failures.js';
import { phrases } from './logic.js';

class Analyzer {
  constructor(config) {
    this.phraseWeight = config.phrase_weight ?? 0.5;
  }

  static open(config) {
    return guarded(() => new Analyzer(JSON.parse(config)));
  }

  analyze(query, _known) {
    return guarded(() => {
      const search = (text, weight) => ({ text, weight, filter: undefined, limit: undefined });
      const found = phrases(query);
      return {
        // The first search is the one that `balanced` runs; `comprehensive` runs them all.
        searches: [search(query, 1), ...found.map((phrase) => search(phrase, this.phraseWeight))],
        // Entities are shown to the person who asked.
        attrs: found.map((value) => ({ key: 'entity.phrase', value })),
      };
    });
  }
}

export const analysis = { Analyzer };

// The glue: the exports of the world `citation-plugin`.
import { guarded } from './failures.js';
import { letters } from './logic.js';

class Formatter {
  constructor(config) {
    this.capital = config.capital ?? false;
  }

  static open(config) {
    return guarded(() => new Formatter(JSON.parse(config)));
  }

  /** Follows each statement, with the passages that support it. */
  mark(cited) {
    return guarded(() => ` [${cited.map((source) => letters(source.citationId, this.capital)).join(', ')}]`);
  }

  /** The reference for a list of sources, as clients show it. */
  entry(cited) {
    return guarded(() => {
      const page = cited.page === undefined ? '' : `, p. ${cited.page}`;
      return `[${letters(cited.citationId, this.capital)}] ${cited.name}${page}`;
    });
  }

  /** Ends the answer. Empty: the clients have the references. */
  finish(_cited) {
    return '';
  }
}

export const citing = { Formatter };

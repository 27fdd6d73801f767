// How a plugin fails: in its own words, or by mistake.
import { write } from 'ibid:plugin/log@1.0.0';

/** What to throw for the person who asked: an upper-case code, and one sentence that says what is wrong and what to do. */
export class Failure {
  constructor(code, message, at = undefined) {
    this.code = code;
    this.message = message;
    this.at = at;
  }
}

/** Runs `work`. What it throws by mistake is a crash; the log has its words, from where they reach the error. */
export function guarded(work) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Failure)) write('error', `${error}`);
    throw error;
  }
}

// An answer as it is made: an async iterable of its text, with the citations and the summary beside it.

import { IbidError } from "./error.js";

export class Answer {
  /** Citations so far, in order. Each is here no later than the text that carries its marker. */
  citations = [];
  /** The text so far. */
  text = "";
  /** The newest status: `{stage, progress, message}`. */
  status = null;
  /** The summary, once it is whole. */
  complete = null;

  #events = [];
  #wake = null;
  #over = null;
  #onEvent;
  #control;

  constructor(requestId, control, onEvent) {
    this.requestId = requestId;
    this.#control = control;
    this.#onEvent = onEvent;
  }

  /** Stops the work on the server, generation included. The iteration then ends, with `complete.status` `"cancelled"`. */
  cancel() {
    this.#control("cancel");
  }

  /** Holds the generator. */
  pause() {
    this.#control("pause");
  }

  /** Lets it go on. */
  resume() {
    this.#control("resume");
  }

  /** Reads to the end, and returns the whole text. */
  async whole() {
    for await (const _ of this);
    return this.text;
  }

  /** The pieces of the text as they come. Leaving the loop early cancels the query. */
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        while (this.#events.length > 0) yield this.#events.shift();
        if (this.#over) break;
        await new Promise((wake) => (this.#wake = wake));
      }
      if (this.#over.error) throw this.#over.error;
    } finally {
      if (!this.#over) this.cancel();
    }
  }

  /** Hears a message of the server. Returns whether it was the last one. */
  hear(message) {
    const { type, data } = message;
    if (type === "status") this.status = data;
    else if (type === "citation") this.citations.push(data);
    else if (type === "token") this.#push(data.content);
    else if (type === "complete") {
      this.complete = data;
      if (data.response) this.#push(data.response);
      this.#end(null);
    } else if (type === "error") this.#end(new IbidError(data.code, data.message, data.details, data.recoverable));
    else if (type === "lost") this.#end(message.error);
    if (type !== "lost") this.#onEvent?.(type, data);
    return this.#over !== null;
  }

  #push(content) {
    this.text += content;
    this.#events.push(content);
    this.#wake?.();
  }

  #end(error) {
    this.#over ??= { error };
    this.#wake?.();
  }
}

// One WebSocket to `/ws/query` that comes back: exponential back-off with jitter. Requests that were in flight when it broke fail;
// what is asked meanwhile waits for the next connection.

import { IbidError } from "./error.js";

const FIRST_DELAY = 250;
const LONGEST_DELAY = 30_000;
/** Attempts in a row, about a minute, before who waits is told. */
const ATTEMPTS = 9;

export class Connection {
  #open;
  #socket = null;
  #opening = null;
  #attempt = 0;
  #streams = new Map();
  #closed = false;

  /** `open()` makes a `WebSocket`. */
  constructor(open) {
    this.#open = open;
  }

  /** Sends `message`, whose `request_id` names the stream that hears the answers, and registers that stream. */
  async request(message, stream, signal) {
    const socket = await this.#connected(signal);
    this.#streams.set(message.request_id, stream);
    socket.send(JSON.stringify(message));
  }

  /** Sends a message if there is a connection; without one there is nothing to control. */
  tell(message) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  forget(requestId) {
    this.#streams.delete(requestId);
  }

  close() {
    this.#closed = true;
    this.#socket?.close(1000);
    this.#lose(new IbidError("CONNECTION_CLOSED", "The client was closed."));
  }

  async #connected(signal) {
    if (this.#closed) throw new IbidError("CONNECTION_CLOSED", "The client was closed.");
    while (this.#socket?.readyState !== 1) {
      this.#opening ??= this.#dial().finally(() => (this.#opening = null));
      await abortable(this.#opening, signal);
    }
    return this.#socket;
  }

  async #dial() {
    if (this.#attempt >= ATTEMPTS) {
      this.#attempt = 0;
      throw new IbidError("CONNECTION_FAILED", "The server cannot be reached.", {}, true);
    }
    if (this.#attempt > 0) {
      const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (this.#attempt - 1));
      await new Promise((resolve) => setTimeout(resolve, longest / 2 + (Math.random() * longest) / 2));
    }
    if (this.#closed) throw new IbidError("CONNECTION_CLOSED", "The client was closed.");
    await new Promise((resolve) => {
      const socket = this.#open();
      socket.onopen = () => {
        this.#socket = socket;
        this.#attempt = 0;
        resolve();
      };
      socket.onmessage = ({ data }) => this.#hear(JSON.parse(data), socket);
      socket.onerror = () => {};
      socket.onclose = () => {
        this.#attempt += 1;
        if (this.#socket === socket) {
          this.#socket = null;
          this.#lose(new IbidError("CONNECTION_LOST", "The connection was lost before the answer was whole.", {}, true));
        }
        resolve();
      };
    });
  }

  #hear(message, socket) {
    if (message.type === "auth_error") {
      const { code, message: text, ...details } = message.data;
      this.#closed = true;
      this.#lose(new IbidError(code, text, details));
      socket.close();
      return;
    }
    this.#streams.get(message.request_id)?.(message);
  }

  #lose(error) {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream({ type: "lost", error });
  }
}

/** The outcome of `promise`, unless `signal` aborts first. */
function abortable(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

// Client of Ibid, for browsers and Node.js.

import { Answer } from "./answer.js";
import { Connection } from "./connection.js";
import { IbidError } from "./error.js";
import { send } from "./upload.js";

export { Answer, IbidError };

export class Client {
  #base;
  #token;
  #WebSocket;
  #connection;
  #next = 1;

  /** `url` such as `http://127.0.0.1:8000`; in a browser that of the page where it is left out. */
  constructor(url = globalThis.location?.origin ?? "http://127.0.0.1:8000", { token = null, WebSocket = globalThis.WebSocket } = {}) {
    this.#base = new URL(url);
    this.#token = token;
    this.#WebSocket = WebSocket;
    this.#connection = new Connection(() => this.#socket("/ws/query"));
  }

  /** Asks. Await it for the connection; the answer then comes as it is made. */
  async ask(query, { collection, signal, onEvent, ...options } = {}) {
    signal?.throwIfAborted();
    const requestId = `req_${Date.now().toString(36)}_${this.#next++}`;
    const control = (action) => this.#connection.tell({ type: "control", request_id: requestId, data: { action } });
    const answer = new Answer(requestId, control, onEvent);
    const abort = () => answer.cancel();
    const hear = (message) => {
      if (!answer.hear(message)) return;
      this.#connection.forget(requestId);
      signal?.removeEventListener("abort", abort);
    };
    const data = { query, ...(collection && { collection_name: collection }), ...options };
    await this.#connection.request({ type: "query", request_id: requestId, data }, hear, signal);
    signal?.addEventListener("abort", abort, { once: true });
    return answer;
  }

  /** Uploads a `Blob` or `File`, and waits until it can be asked about. Survives lost connections. */
  async upload(blob, { filename = blob.name, collection, metadata, signal, onProgress, onEvent, location } = {}) {
    if (!filename) throw new TypeError("A Blob has no name: give `filename`.");
    const events = this.#socket(`/ws/upload${collection ? `?collection=${encodeURIComponent(collection)}` : ""}`);
    const heard = [];
    let match = () => false;
    const done = new Promise((resolve, reject) => {
      events.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "auth_error") return reject(new IbidError(message.data.code, message.data.message));
        heard.push(message);
        match();
      };
      // Told from the catalog where the socket cannot tell.
      events.onclose = () => reject(new IbidError("CONNECTION_LOST", "The connection was lost; the server goes on with the upload.", {}, true));
      events.onerror = () => {};
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      match = (id = match.id) => {
        match.id = id;
        if (!id) return;
        while (heard.length > 0) {
          const message = heard.shift();
          if (message.data?.upload_id !== id) continue;
          onEvent?.(message.type, message.data);
          if (message.type === "upload_complete") resolve(message.data);
        }
      };
    });
    // Nobody may wait for it yet when it fails.
    done.catch(() => {});
    try {
      await new Promise((resolve, reject) => {
        events.onopen = resolve;
        done.catch(reject);
      });
      match(await send((path, options) => this.#fetch(path, options), blob, { filename, collection, metadata, signal, onProgress, location }));
      const { status, error, ...result } = await done;
      if (status === "failed" || status === "cancelled") {
        throw new IbidError(error?.code ?? status.toUpperCase(), error?.message ?? `The upload was ${status}.`);
      }
      return { status, ...result };
    } finally {
      events.onclose = null;
      events.close();
    }
  }

  /** `POST /search`: passages, without an answer. */
  async search(query, { collection, signal, ...options } = {}) {
    return this.request("/search", { json: { query, ...(collection && { collection_name: collection }), ...options }, signal });
  }

  /** Any path of the REST surface: the JSON of its answer. */
  async request(path, { json, ...options } = {}) {
    if (json !== undefined) {
      options = { method: "POST", ...options, body: JSON.stringify(json), headers: { "content-type": "application/json", ...options.headers } };
    }
    return (await this.#fetch(path, options)).json();
  }

  /** Ends the connection; queries in flight are cancelled by the server. */
  close() {
    this.#connection.close();
  }

  #socket(path) {
    const url = new URL(path, this.#base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    // No header fields in browsers: the token travels as a subprotocol.
    return new this.#WebSocket(url, this.#token ? ["bearer", this.#token] : []);
  }

  async #fetch(path, options = {}) {
    const authorization = this.#token && { authorization: `Bearer ${this.#token}` };
    const response = await fetch(new URL(path, this.#base), { ...options, headers: { ...authorization, ...options.headers } });
    if (response.ok) return response;
    const error = (await response.json().catch(() => null))?.error ?? {};
    const recoverable = response.status === 409 || response.status === 429 || response.status >= 500;
    throw new IbidError(error.code ?? `HTTP_${response.status}`, error.message ?? `The server answered ${response.status}.`, error.details, recoverable);
  }
}

// The class and callbacks of the WebSocket guide, on top of the client.

import { Client } from "./index.js";

export class RAGWebSocketClient {
  #answers = new Map();

  constructor(url, authToken = null, { WebSocket } = {}) {
    const base = new URL(url);
    base.protocol = base.protocol === "wss:" ? "https:" : "http:";
    this.client = new Client(base.origin, { token: authToken, ...(WebSocket && { WebSocket }) });
  }

  /** The connection is made by the first query; callers of the guide's `connect` need not know. */
  connect() {
    queueMicrotask(() => this.onConnected?.());
  }

  query(queryText, options = {}, callback = null) {
    const requestId = `req_${Date.now()}_${Math.random().toString(36).slice(2, 11)}`;
    const { collection_name: collection, ...rest } = options;
    const tell = (type, data) => {
      callback?.(type, data);
      this[{ status: "onStatus", token: "onToken", citation: "onCitation", complete: "onComplete", error: "onError" }[type]]?.(requestId, data);
    };
    const begun = this.client.ask(queryText, { collection, ...rest, onEvent: tell });
    this.#answers.set(requestId, begun);
    begun
      .then((answer) => answer.whole())
      .catch((error) => {
        // Errors that the server sent were told as they came.
        if (error.code === "CONNECTION_LOST" || error.code === "CONNECTION_CLOSED" || error.code === "CONNECTION_FAILED") this.onDisconnected?.(error);
      })
      .finally(() => this.#answers.delete(requestId));
    return requestId;
  }

  cancelQuery(requestId) {
    this.#answers.get(requestId)?.then((answer) => answer.cancel()).catch(() => {});
  }

  close() {
    this.client.close();
  }
}

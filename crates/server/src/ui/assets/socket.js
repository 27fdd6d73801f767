// A WebSocket that comes back: exponential back-off with jitter, as the protocol's guide has it.

import { login, token } from "./api.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;

/**
 * `open` and `closed` say how the connection is, `message` what came. `path` is asked anew before each attempt, so that a
 * subscription can go on where it was.
 */
export class LiveSocket extends EventTarget {
  #path;
  #socket = null;
  #attempt = 0;
  #timer = 0;
  #ended = false;

  constructor(path) {
    super();
    this.#path = typeof path === "function" ? path : () => path;
    this.#connect();
    this.again = () => this.reconnect();
    addEventListener("online", this.again);
    addEventListener("ibid:identity", this.again);
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Sends a message; `false` if there is no connection now. */
  send(message) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Connects now, without waiting for the next attempt. */
  reconnect() {
    if (this.#ended) return;
    clearTimeout(this.#timer);
    this.#attempt = 0;
    const old = this.#socket;
    this.#socket = null;
    old?.close();
    this.#connect();
  }

  end() {
    this.#ended = true;
    clearTimeout(this.#timer);
    removeEventListener("online", this.again);
    removeEventListener("ibid:identity", this.again);
    this.#socket?.close();
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    // Browsers cannot set header fields on a socket: the token travels as a subprotocol.
    const protocols = token() ? ["bearer", token()] : [];
    let socket;
    try {
      socket = new WebSocket(`${scheme}://${location.host}${this.#path()}`, protocols);
    } catch {
      // A token with characters that no subprotocol may have cannot be one.
      login("This is not a token.");
      return;
    }
    this.#socket = socket;
    let refused = false;
    const current = () => this.#socket === socket;
    socket.onopen = () => {
      if (!current()) return;
      this.#attempt = 0;
      this.#say("open");
    };
    socket.onmessage = ({ data }) => {
      if (!current()) return;
      const message = JSON.parse(data);
      if (message.type === "auth_error") {
        refused = true;
        this.#say("refused", message.data);
        if (message.data.code !== "INSUFFICIENT_SCOPE") {
          login(message.data.message ?? "This server asks for a token or an API key.");
        }
        return;
      }
      this.#say("message", message);
    };
    socket.onclose = () => {
      if (!current()) return;
      this.#socket = null;
      if (this.#ended) return;
      // Asked again at once, the same token would be refused again: a new one wakes it.
      if (refused) return this.#say("closed", { retry: null });
      const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempt++);
      const delay = longest / 2 + Math.random() * (longest / 2);
      this.#timer = setTimeout(() => this.#connect(), delay);
      this.#say("closed", { retry: delay });
    };
  }

  #say(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

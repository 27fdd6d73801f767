// One file on its way to the server: tus 1.0.0, so that a lost connection costs at most the piece that was under way.

import { ApiFailure, send } from "./api.js";

/** Bytes of one request. */
const PIECE = 4 << 20;
const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
const TUS = { "tus-resumable": "1.0.0" };

const encode = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

async function failure(response) {
  const body = await response.json().catch(() => null);
  return new ApiFailure(response.status, body?.error);
}

/** Whether trying again may help: the network, or a server that is busy or restarting. */
const passes = (error) => !(error instanceof ApiFailure) || error.status === 409 || error.status === 423 || error.status === 429 || error.status >= 500;

function pause(attempt, signal) {
  const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** attempt);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, longest / 2 + Math.random() * (longest / 2));
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}

/** Tries `work` until it succeeds, is refused for good, or `signal` says stop. `waiting` hears of each failed attempt. */
async function persist(work, signal, waiting) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (!passes(error)) throw error;
      waiting(error);
      await pause(attempt, signal);
    }
  }
}

/**
 * Sends `file` to `collection`. `started(id)` is told the upload's identifier before the first byte, so that its events can be
 * followed; `progress(bytes)` what the server has. Aborting `signal` ends the upload there as well.
 */
export async function upload(file, collection, { signal, started, progress, waiting }) {
  const location = await persist(async () => {
    const metadata = { filename: file.name, filetype: file.type || "application/octet-stream", collection_name: collection };
    const response = await send("/uploads", {
      method: "POST",
      signal,
      headers: {
        ...TUS,
        "upload-length": String(file.size),
        "upload-metadata": Object.entries(metadata).map(([key, value]) => `${key} ${encode(value)}`).join(","),
      },
    });
    if (!response.ok) throw await failure(response);
    return response.headers.get("location");
  }, signal, waiting);
  started(decodeURIComponent(new URL(location, document.baseURI).pathname.split("/").pop()));
  try {
    let offset = 0;
    let sure = true;
    while (offset < file.size || !sure) {
      offset = await persist(async () => {
        if (!sure) {
          const head = await send(location, { method: "HEAD", signal, headers: TUS });
          if (!head.ok) throw await failure(head);
          offset = Number(head.headers.get("upload-offset"));
          sure = true;
          progress(offset);
          if (offset >= file.size) return offset;
        }
        sure = false;
        const response = await send(location, {
          method: "PATCH",
          signal,
          headers: { ...TUS, "upload-offset": String(offset), "content-type": "application/offset+octet-stream" },
          body: file.slice(offset, offset + PIECE),
        });
        if (!response.ok) throw await failure(response);
        sure = true;
        return Number(response.headers.get("upload-offset"));
      }, signal, waiting);
      progress(offset);
    }
  } catch (error) {
    if (signal.aborted) fetchAndForget(location);
    throw error;
  }
}

function fetchAndForget(location) {
  send(location, { method: "DELETE", headers: TUS }).catch(() => {});
}

// Resumable uploads: tus 1.0.0, https://tus.io/protocols/resumable-upload.

import { IbidError } from "./error.js";

const PIECE = 4 << 20;
const ATTEMPTS = 8;
const TUS = { "tus-resumable": "1.0.0" };

const encode = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** Runs `work`, again where trying again may help, with growing pauses. */
async function persist(work, signal) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      const passes = !(error instanceof IbidError) || error.recoverable;
      if (!passes || attempt + 1 >= ATTEMPTS) throw error;
      const longest = Math.min(30_000, 250 * 2 ** attempt);
      await new Promise((resolve) => setTimeout(resolve, longest / 2 + (Math.random() * longest) / 2));
    }
  }
}

/** Sends `blob`; returns the upload's identifier. `location` goes on with an upload that was begun before. */
export async function send(fetch, blob, { filename, collection, metadata = {}, signal, onProgress, location }) {
  let at = location;
  let offset = null;
  if (!at) {
    at = await persist(async () => {
      const fields = { filename, filetype: blob.type || "application/octet-stream", ...(collection && { collection_name: collection }), ...metadata };
      const response = await fetch("/uploads", {
        method: "POST",
        signal,
        headers: {
          ...TUS,
          "upload-length": String(blob.size),
          "upload-metadata": Object.entries(fields).map(([key, value]) => `${key} ${encode(String(value))}`).join(","),
        },
      });
      return response.headers.get("location");
    }, signal);
    offset = 0;
  }
  onProgress?.({ location: at, bytes: offset ?? 0, total: blob.size });
  while (offset === null || offset < blob.size) {
    offset = await persist(async () => {
      // After a failure only the server knows how much it has.
      if (offset === null) {
        const head = await fetch(at, { method: "HEAD", signal, headers: TUS });
        offset = Number(head.headers.get("upload-offset"));
        if (offset >= blob.size) return offset;
      }
      const from = offset;
      offset = null;
      const response = await fetch(at, {
        method: "PATCH",
        signal,
        headers: { ...TUS, "upload-offset": String(from), "content-type": "application/offset+octet-stream" },
        body: blob.slice(from, from + PIECE),
      });
      return Number(response.headers.get("upload-offset"));
    }, signal);
    onProgress?.({ location: at, bytes: offset, total: blob.size });
  }
  return decodeURIComponent(at.split("?")[0].split("/").pop());
}

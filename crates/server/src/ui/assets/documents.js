// Documents: adding them with their progress, finding them in the list, deleting them with a receipt.

import { api } from "./api.js";
import { app } from "./app.js";
import { confirm, count, h, moment, plural, size, toast } from "./dom.js";
import { LiveSocket } from "./socket.js";
import { upload } from "./upload.js";

export const title = "Documents";

const PAGE = 50;
/** Files that are sent at a time; others wait their turn. */
const AT_A_TIME = 3;

/** Uploads of this session, newest first. */
const uploads = [];
let board = null;
let events = null;

/** One file and all that happens to it. */
class Upload {
  constructor(file, collection) {
    Object.assign(this, { file, collection, id: null, state: "waiting", early: [] });
    this.bar = h("progress", { max: "1", value: 0, "aria-label": `Progress of ${file.name}` });
    this.text = h("span", { class: "hint", role: "status" }, "Waiting …");
    this.button = h("button", { type: "button", class: "quiet", onclick: () => this.press() }, "Cancel");
    this.element = h("li", { class: "upload" },
      h("span", { class: "name" }, file.name), h("span", { class: "hint" }, size(file.size)),
      this.bar, this.text, this.button);
  }

  get done() {
    return this.state === "done" || this.state === "failed";
  }

  async start() {
    this.abort = new AbortController();
    this.id = null;
    this.show("sending", 0, "Sending …");
    try {
      await upload(this.file, this.collection, {
        signal: this.abort.signal,
        started: (id) => (this.id = id),
        progress: (bytes) => this.state === "sending" && this.show("sending", share(0, 0.2, this.file.size ? bytes / this.file.size : 1), `Sending: ${size(bytes)} of ${size(this.file.size)}`),
        waiting: () => (this.text.textContent = "The connection is lost. It goes on as soon as the server is back."),
      });
      if (this.state === "sending") this.show("processing", 0.2, "Received. Waiting to be processed …");
    } catch (error) {
      if (this.abort.signal.aborted) this.fail("Cancelled.");
      else this.fail(error.message);
    }
  }

  /** What `/ws/upload` tells of it. Each stage has its share of the bar. */
  take(type, data) {
    if (this.done) return;
    if (type === "processing_progress") this.show("processing", share(0.2, 0.45, data.progress), data.message);
    else if (type === "chunking_progress") this.show("processing", share(0.45, 0.55, data.progress), `Chunks: ${count(data.chunks_processed)} of ${count(data.total_chunks)}`);
    else if (type === "embedding_progress") this.show("processing", share(0.55, 1, data.progress), `Embeddings: ${count(data.embeddings_generated)} of ${count(data.total_embeddings)}`);
    else if (type === "upload_complete") this.complete(data);
  }

  complete({ status, chunks_created: chunks, total_time: time, error }) {
    if (status === "success") this.end(`Added: ${plural(chunks, "chunk")}, ${time.toFixed(1)} s`);
    else if (status === "duplicate") this.end("In the collection already.");
    else if (status === "cancelled") this.fail("Cancelled.");
    else this.fail(error?.message ?? "It could not be processed.");
  }

  show(state, value, text) {
    this.state = state;
    this.bar.value = Math.max(this.bar.value, value);
    this.text.textContent = text;
    this.button.textContent = "Cancel";
  }

  end(text) {
    this.state = "done";
    this.bar.value = 1;
    this.text.textContent = text;
    this.element.classList.add("done");
    this.button.textContent = "Clear";
    next();
  }

  fail(text) {
    this.state = "failed";
    this.text.textContent = text;
    this.element.classList.add("failed");
    this.button.textContent = "Try again";
    next();
  }

  press() {
    if (this.state === "done") {
      uploads.splice(uploads.indexOf(this), 1);
      this.element.remove();
    } else if (this.state === "failed") {
      this.element.classList.remove("failed");
      this.bar.value = 0;
      this.state = "waiting";
      this.text.textContent = "Waiting …";
      this.button.textContent = "Cancel";
      next();
    } else if (this.state === "waiting") {
      this.fail("Cancelled.");
    } else if (this.state === "sending") {
      this.abort.abort();
    } else {
      events.send({ type: "control", data: { upload_id: this.id, action: "cancel" } });
      this.text.textContent = "Cancelling …";
    }
  }
}

const share = (from, to, progress) => from + (to - from) * progress;

/** Starts what waits, as far as there are places. */
function next() {
  const sending = uploads.filter(({ state }) => state === "sending").length;
  // Newest first in the list, but first come, first served.
  uploads.filter(({ state }) => state === "waiting").reverse().slice(0, Math.max(0, AT_A_TIME - sending)).forEach((one) => one.start());
}

function listen() {
  if (events) return;
  events = new LiveSocket("/ws/upload");
  events.addEventListener("message", ({ detail: { type, data } }) => {
    uploads.find(({ id }) => id !== null && id === data?.upload_id)?.take(type, data);
  });
  // What ended while nobody heard is asked for.
  events.addEventListener("open", () => uploads.filter(({ state }) => state === "processing").forEach(settle));
}

/** Looks in the catalog whether an upload ended while the connection was away. */
async function settle(one) {
  const query = new URLSearchParams({ collection_name: one.collection, limit: "1000", sort_by: "upload_date", sort_order: "desc" });
  const { documents } = await api(`/documents?${query}`).catch(() => ({ documents: [] }));
  const found = documents.find(({ filename }) => filename === one.file.name);
  if (one.done) return;
  if (found?.status === "ready") one.end(`Added: ${plural(found.chunks, "chunk")}`);
  if (found?.status === "failed") one.fail("It could not be processed.");
}

function add(files) {
  listen();
  for (const file of files) {
    const one = new Upload(file, app.collection);
    uploads.unshift(one);
    board?.prepend(one.element);
  }
  next();
}

/** The files of what was dropped, those in folders as well. */
async function dropped(items) {
  const files = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      files.push(await new Promise((found, lost) => entry.file(found, lost)));
    } else {
      const reader = entry.createReader();
      for (;;) {
        // A directory is read in parts; an empty one is the end.
        const part = await new Promise((found, lost) => reader.readEntries(found, lost));
        if (part.length === 0) break;
        for (const child of part) await walk(child);
      }
    }
  };
  // All entries are taken before the first wait: the list is empty afterwards.
  for (const entry of [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean)) await walk(entry);
  return files.filter(({ name }) => !name.startsWith("."));
}

export function show(view) {
  listen();
  let offset = 0;
  let stale = null;
  const picker = (label, attributes) => {
    const input = h("input", { type: "file", multiple: true, class: "visually-hidden", ...attributes, onchange: () => {
      add(input.files);
      input.value = "";
    } });
    return h("label", { class: "button" }, input, label);
  };
  const zone = h("div", { class: "dropzone" },
    h("p", {}, "Drop files or folders here, or"),
    h("div", { class: "actions" }, picker("Choose files", {}), picker("Choose a folder", { webkitdirectory: true })),
    h("p", { class: "hint" }, "PDF, Word, HTML, Markdown and text, or whatever the installed plugins read."));
  const over = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    add(await dropped(event.dataTransfer.items));
  });
  board = h("ul", { class: "uploads", "aria-label": "Uploads" }, uploads.map(({ element }) => element));
  const filter = h("input", { type: "search", placeholder: "Find by name …", "aria-label": "Find by name", oninput: () => draw() });
  const order = h("select", { "aria-label": "Order", onchange: () => load(0) },
    [["upload_date desc", "Newest first"], ["upload_date asc", "Oldest first"], ["filename asc", "By name"], ["size desc", "Largest first"]]
      .map(([value, name]) => h("option", { value }, name)));
  const rows = h("tbody");
  const pages = h("div", { class: "actions" });
  const summary = h("p", { class: "hint", role: "status" });
  const nothing = { documents: [], pagination: { total: 0, has_next: false, has_previous: false } };
  let list = nothing;

  async function load(from = offset) {
    offset = from;
    // One that does not exist yet has no documents: the first upload makes it.
    if (!app.list.some(({ name }) => name === app.collection)) {
      list = nothing;
      return draw();
    }
    const [sort_by, sort_order] = order.value.split(" ");
    // A name is looked for in all documents, not only in those shown.
    const limit = filter.value ? 1000 : PAGE;
    const query = new URLSearchParams({ collection_name: app.collection, limit, offset: filter.value ? 0 : offset, sort_by, sort_order });
    try {
      list = await api(`/documents?${query}`);
    } catch (error) {
      if (error.code !== "COLLECTION_NOT_FOUND") return toast(error.message, "error");
      list = nothing;
    }
    draw();
  }

  function draw() {
    const wanted = filter.value.trim().toLowerCase();
    if (wanted && list.documents.length < list.pagination.total && list.pagination.limit < 1000) return load(0);
    const documents = list.documents.filter(({ filename }) => filename.toLowerCase().includes(wanted));
    rows.replaceChildren(...documents.map(row));
    const { total, has_next, has_previous } = list.pagination;
    summary.textContent = wanted ? `${plural(documents.length, "document")} of ${count(total)}` : plural(total, "document");
    pages.replaceChildren(...[
      has_previous && h("button", { type: "button", onclick: () => load(Math.max(0, offset - PAGE)) }, "Previous"),
      has_next && !wanted && h("button", { type: "button", onclick: () => load(offset + PAGE) }, "Next"),
    ].filter(Boolean));
  }

  const row = (document) => h("tr", {},
    h("td", {}, document.filename),
    h("td", {}, h("span", { class: `state ${document.status}` }, document.status)),
    h("td", { class: "number" }, document.pages ?? "–"),
    h("td", { class: "number" }, count(document.chunks)),
    h("td", { class: "number" }, size(document.file_size)),
    h("td", {}, moment(document.upload_date)),
    h("td", {}, h("button", { type: "button", class: "quiet", "aria-label": `Delete ${document.filename}`, onclick: () => remove(document) }, "Delete")));

  async function remove({ document_id: id, filename }) {
    if (!(await confirm({ title: `Delete ${filename}?`, text: "The file, its text, its chunks and its vectors are removed.", action: "Delete" }))) return;
    try {
      const receipt = await api(`/documents/${encodeURIComponent(id)}`, { method: "DELETE" });
      toast(`Deleted ${receipt.filename}: ${plural(receipt.chunks_deleted, "chunk")}, ${plural(receipt.vectors_deleted, "vector")}, ${plural(receipt.files_deleted, "file")}.`);
    } catch (error) {
      toast(error.message, "error");
    }
    load();
  }

  view.append(
    h("h1", {}, "Documents"), zone, board,
    h("div", { class: "tools" }, filter, order, summary),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Name", "State", "Pages", "Chunks", "Size", "Added", ""].map((name) => h("th", { scope: "col" }, name)))),
      rows)),
    pages);
  const changed = ({ detail }) => {
    if (detail.collection !== app.collection) return;
    // A burst of changes is one reload.
    stale ??= setTimeout(() => {
      stale = null;
      load();
    }, 300);
  };
  const chosen = () => load(0);
  app.addEventListener("event", changed);
  app.addEventListener("choice", chosen);
  const listed = () => load();
  app.addEventListener("collections", listed);
  load(0);
  return () => {
    clearTimeout(stale);
    app.removeEventListener("event", changed);
    app.removeEventListener("choice", chosen);
    app.removeEventListener("collections", listed);
    board = null;
  };
}

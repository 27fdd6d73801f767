// Questions and answers: streamed, cited, stopped and paused.

import { app } from "./app.js";
import { h, seconds, toast } from "./dom.js";
import { closeSource, openSource } from "./source.js";
import { LiveSocket } from "./socket.js";

export const title = "Ask";

/** The session's questions, kept while other sections are shown. Newest last. */
const history = [];
const MAX_HISTORY = 50;
let mode = "balanced";
let socket = null;
let nextRequest = 1;

const MODES = { speed: "Speed", balanced: "Balanced", comprehensive: "Comprehensive" };

function connection() {
  if (socket) return socket;
  socket = new LiveSocket("/ws/query");
  socket.addEventListener("open", () => history.filter((turn) => turn.state === "waiting").forEach((turn) => turn.start()));
  socket.addEventListener("message", ({ detail }) => {
    history.find((turn) => turn.requestId === detail.request_id)?.take(detail.type, detail.data);
  });
  // The server cancels what its peer can no longer hear.
  socket.addEventListener("closed", () => history.filter((turn) => turn.runs).forEach((turn) => turn.breakOff()));
  return socket;
}

/** One question and its answer. */
class Turn {
  constructor(question, collection, chosenMode, view) {
    Object.assign(this, { question, collection, mode: chosenMode, view });
    this.requestId = `page-${Date.now().toString(36)}-${nextRequest++}`;
    this.state = "waiting";
    this.answer = "";
    this.citations = new Map();
    this.text = h("div", { class: "answer", "aria-live": "off" });
    this.status = h("p", { class: "status", role: "status" }, "Connecting …");
    this.progress = h("progress", { max: "1", value: 0, "aria-label": "Progress" });
    this.pause = h("button", { type: "button", onclick: () => this.control(this.state === "paused" ? "resume" : "pause") }, "Pause");
    this.stop = h("button", { type: "button", onclick: () => this.control("cancel") }, "Stop");
    this.controls = h("div", { class: "actions" }, this.pause, this.stop);
    this.sources = h("ol", { class: "sources" });
    this.foot = h("footer");
    this.element = h("article", { class: "turn", "aria-label": question },
      h("h2", {}, question),
      h("div", { class: "running" }, this.status, this.progress, this.controls),
      this.text, this.sources, this.foot);
  }

  get runs() {
    return this.state === "running" || this.state === "paused";
  }

  start() {
    const sent = connection().send({
      type: "query",
      request_id: this.requestId,
      data: { query: this.question, collection_name: this.collection, mode: this.mode },
    });
    if (sent) this.state = "running";
  }

  control(action) {
    if (this.state === "waiting") return this.end("Stopped before it was sent.");
    connection().send({ type: "control", request_id: this.requestId, data: { action } });
  }

  take(type, data) {
    if (type === "status") this.stage(data);
    else if (type === "token") this.token(data);
    else if (type === "citation") this.citation(data);
    else if (type === "complete") this.complete(data);
    else if (type === "error") this.fail(data);
  }

  stage({ stage, progress, message }) {
    if (stage === "paused" || stage === "resumed") {
      this.state = stage === "paused" ? "paused" : "running";
      this.pause.textContent = stage === "paused" ? "Go on" : "Pause";
    }
    this.status.textContent = message;
    this.progress.value = progress;
  }

  token({ content }) {
    this.answer += content;
    this.render();
  }

  citation(data) {
    this.citations.set(data.citation_id, data);
    this.sources.append(h("li", { value: data.citation_id },
      h("button", { type: "button", class: "link", onclick: (event) => this.open(data, event.currentTarget) },
        data.source, data.page ? `, page ${data.page}` : ""),
      data.section.length > 0 && h("span", { class: "hint" }, ` ${data.section.join(" › ")}`),
      h("blockquote", {}, data.content)));
    this.render();
  }

  /** The answer, its markers (`[1]`) made buttons. What is written in other styles is listed below it in any case. */
  render() {
    const parts = this.answer.split(/(\[\^?\d{1,3}\])/);
    this.text.replaceChildren(...parts.map((part) => {
      const id = Number(part.match(/^\[\^?(\d{1,3})\]$/)?.[1]);
      const cited = this.citations.get(id);
      if (!cited) return part;
      const where = `${cited.source}${cited.page ? `, page ${cited.page}` : ""}`;
      return h("span", { class: "cite" },
        h("button", { type: "button", "aria-label": `Source ${id}: ${where}`, onclick: (event) => this.open(cited, event.currentTarget) }, String(id)),
        h("span", { class: "quote", role: "tooltip" }, h("span", {}, `“${cited.content}”`), h("cite", {}, where)));
    }));
  }

  open(citation, from) {
    openSource(this.view(), citation, from);
  }

  complete(data) {
    if (data.response) {
      this.answer = data.response;
      this.render();
    }
    const understood = data.query_analysis;
    const timings = Object.entries(data.timings ?? {}).map(([stage, time]) => `${stage} ${seconds(time)}`);
    this.foot.append(
      h("details", {},
        h("summary", {}, data.status === "cancelled" ? "Stopped" : `Answered in ${seconds(data.total_time)}`),
        h("dl", {},
          h("dt", {}, "Understood as"), h("dd", {}, understood.intent),
          understood.entities.length > 0 && [h("dt", {}, "About"), h("dd", {}, understood.entities.join(", "))],
          understood.detail?.searches?.length > 0 && [h("dt", {}, "Searched for"), h("dd", {}, understood.detail.searches.join(" · "))],
          timings.length > 0 && [h("dt", {}, "Time"), h("dd", {}, timings.join(", "))],
          h("dt", {}, "Mode"), h("dd", {}, MODES[data.processing_mode] ?? data.processing_mode),
          h("dt", {}, "Collection"), h("dd", {}, this.collection))),
      (data.warnings ?? []).map((warning) => h("p", { class: "warning" }, warning.message)),
      h("div", { class: "actions" },
        h("button", { type: "button", class: "quiet", onclick: () => this.copy() }, "Copy with sources"),
        h("button", { type: "button", class: "quiet", onclick: () => ask(this.question, this.view) }, "Ask again")));
    this.end(data.status === "cancelled" ? "Stopped." : "Done.");
  }

  fail({ message, recoverable }) {
    this.foot.append(
      h("p", { class: "error", role: "alert" }, message),
      recoverable && h("button", { type: "button", onclick: () => ask(this.question, this.view) }, "Ask again"));
    this.end("Failed.");
  }

  breakOff() {
    this.fail({ message: "The connection was lost before the answer was whole.", recoverable: true });
  }

  end(text) {
    this.state = "done";
    this.status.textContent = text;
    this.element.classList.add("done");
    this.element.setAttribute("aria-busy", "false");
  }

  async copy() {
    const sources = [...this.citations.values()].map((c) =>
      `[${c.citation_id}] ${c.source}${c.page ? `, page ${c.page}` : ""}: “${c.content}”`);
    try {
      await navigator.clipboard.writeText([this.question, "", this.answer, "", ...sources].join("\n"));
      toast("Copied, with its sources.");
    } catch {
      toast("The browser does not let this page use the clipboard.", "error");
    }
  }
}

let list = null;

function ask(question, view) {
  const turn = new Turn(question, app.collection, mode, view);
  history.push(turn);
  while (history.length > MAX_HISTORY) history.shift().element.remove();
  list?.append(turn.element);
  document.getElementById("hello")?.remove();
  turn.element.setAttribute("aria-busy", "true");
  turn.element.scrollIntoView({ block: "start", behavior: "smooth" });
  connection();
  turn.start();
}

export function show(view) {
  const input = h("textarea", { id: "question", rows: "2", maxlength: "8192", placeholder: "Ask your documents …", "aria-label": "Question" });
  const modes = h("select", { "aria-label": "Mode", onchange: () => (mode = modes.value) },
    Object.entries(MODES).map(([value, name]) => h("option", { value }, name)));
  modes.value = mode;
  const form = h("form", { class: "question", onsubmit: (event) => {
    event.preventDefault();
    const question = input.value.trim();
    if (!question) return;
    input.value = "";
    ask(question, () => view);
  } }, input, h("div", { class: "actions" }, modes, h("button", { class: "primary" }, "Ask")));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  list = h("div", { class: "turns" }, history.map((turn) => turn.element));
  const hello = history.length === 0 && h("section", { id: "hello", class: "hello" },
    h("h1", {}, "Answers with sources"),
    h("p", {}, "Every statement is quoted from your documents, with its page. ",
      h("a", { href: "#/documents" }, "Add documents"), ", then ask."));
  view.append(h("div", { class: "talk" }, hello, list, form));
  connection();
  input.focus();
  return () => {
    closeSource();
    list = null;
  };
}

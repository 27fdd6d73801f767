// The source of a quotation beside the answer: its text with the passage marked, and the page in the browser's own viewer.

import { credentials, send } from "./api.js";
import { h, toast } from "./dom.js";

/** Characters (code points) shown before and after the passage. */
const AROUND = 2_000;

let panel = null;
let opener = null;
let blob = null;

/** Opens `citation` in the panel beside `view`. `from` gets the focus back when it is closed. */
export function openSource(view, citation, from) {
  closeSource();
  opener = from;
  const { source, page, document_id: id } = citation;
  const text = h("div", { class: "text", tabindex: "0", role: "region", "aria-label": "Text of the document" }, "…");
  const isPdf = page !== undefined && page !== null && /\.pdf$/i.test(source);
  const pane = h("div", { class: "pane" }, text);
  const tab = (name, pressed, show) =>
    h("button", { type: "button", class: "tab", "aria-pressed": String(pressed), onclick: (event) => {
      for (const other of panel.querySelectorAll(".tab")) other.setAttribute("aria-pressed", "false");
      event.currentTarget.setAttribute("aria-pressed", "true");
      show();
    } }, name);
  panel = h("aside", { class: "source", "aria-label": `Source: ${source}` },
    h("header", {},
      h("div", {},
        h("h2", {}, source),
        h("p", { class: "hint" }, [page ? `page ${page}` : null, ...citation.section].filter(Boolean).join(" › "))),
      h("button", { type: "button", class: "quiet", "aria-label": "Close the source", onclick: closeSource }, "✕")),
    h("div", { class: "tabs" },
      tab("Text", true, () => pane.replaceChildren(text)),
      isPdf && tab(`Page ${page}`, false, () => showPage(pane, id, page)),
      h("button", { type: "button", class: "quiet", onclick: () => download(id, source) }, "Original file")),
    pane);
  view.classList.add("with-source");
  view.append(panel);
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeSource();
  });
  showText(text, citation);
}

export function closeSource() {
  if (!panel) return;
  panel.parentElement?.classList.remove("with-source");
  panel.remove();
  panel = null;
  if (blob) URL.revokeObjectURL(blob);
  blob = null;
  opener?.focus();
  opener = null;
}

async function showText(region, { document_id: id, char_start: start, char_end: end }) {
  const from = Math.max(0, start - AROUND);
  const response = await send(`/documents/${encodeURIComponent(id)}/text?start=${from}&end=${end + AROUND}`).catch(() => null);
  if (!response?.ok) {
    region.textContent = response?.status === 404 ? "The document has been deleted since." : "The text cannot be read now.";
    return;
  }
  // Offsets count code points; JavaScript's own count UTF-16 units.
  const points = Array.from(await response.text());
  const cut = (a, b) => points.slice(a, b).join("");
  const passage = h("mark", {}, cut(start - from, end - from));
  region.replaceChildren(from > 0 ? "… " : "", cut(0, start - from), passage, cut(end - from), points.length === end - from + AROUND ? " …" : "");
  passage.scrollIntoView({ block: "center" });
  region.focus({ preventScroll: true });
}

async function showPage(pane, id, page) {
  let url = `/documents/${encodeURIComponent(id)}/file`;
  if (credentials().authorization) {
    // A frame cannot say who asks: the file is fetched first.
    const response = await send(url).catch(() => null);
    if (!response?.ok) return toast("The file cannot be read now.", "error");
    blob ??= URL.createObjectURL(await response.blob());
    url = blob;
  }
  pane.replaceChildren(h("iframe", { src: `${url}#page=${page}&navpanes=0`, title: `Page ${page}` }));
}

async function download(id, name) {
  const response = await send(`/documents/${encodeURIComponent(id)}/file`).catch(() => null);
  if (!response?.ok) return toast("The file cannot be read now.", "error");
  const url = URL.createObjectURL(await response.blob());
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

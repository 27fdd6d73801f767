// The frame: sections, the collection that is meant, who asks, and whether the server is there.

import { api, forget, token } from "./api.js";
import { h, toast } from "./dom.js";
import { LiveSocket } from "./socket.js";
import * as ask from "./ask.js";
import * as collections from "./collections.js";
import * as documents from "./documents.js";
import * as monitor from "./monitor.js";
import * as plugins from "./plugins.js";

const SECTIONS = { ask, documents, collections, monitor, plugins };
const view = document.getElementById("view");
const banner = document.getElementById("banner");
const picker = document.getElementById("collection");
const identity = document.getElementById("identity");

/** What sections share. `addEventListener("collections")` tells when the list, and `"event"` when a collection changes. */
export const app = Object.assign(new EventTarget(), {
  /** As `GET /collections` lists them. */
  list: [],
  get collection() {
    return picker.value || sessionStorage.getItem("ibid.collection") || "documents";
  },
  choose(name) {
    sessionStorage.setItem("ibid.collection", name);
    showCollections();
    app.dispatchEvent(new Event("choice"));
  },
});

let lastSeq = null;
const changes = new LiveSocket(() => `/ws/collections${lastSeq === null ? "" : `?after=${lastSeq}`}`);
changes.addEventListener("open", () => {
  const returned = !banner.hidden;
  banner.hidden = true;
  if (returned) toast("The server is back.");
  refresh();
});
changes.addEventListener("closed", ({ detail }) => {
  if (detail.retry === null) return;
  banner.hidden = false;
  banner.replaceChildren(
    `The server cannot be reached. Next attempt in ${Math.max(1, Math.round(detail.retry / 1000))} s. `,
    h("button", { type: "button", class: "quiet", onclick: () => changes.reconnect() }, "Try now"),
  );
});
changes.addEventListener("message", ({ detail }) => {
  if (detail.seq !== undefined) lastSeq = detail.seq;
  if (detail.type === "collection_stats") {
    const known = app.list.find(({ name }) => name === detail.collection);
    if (known) Object.assign(known, detail.data);
    else refresh();
  } else if (!["document_added", "document_deleted", "reindex_progress"].includes(detail.type)) {
    refresh();
  }
  app.dispatchEvent(new CustomEvent("event", { detail }));
});

let refreshing = null;
/** Reads the list of collections anew; calls at a time share one request. */
export function refresh() {
  refreshing ??= api("/collections")
    .then(({ collections: list }) => {
      app.list = list;
      showCollections();
      app.dispatchEvent(new Event("collections"));
    })
    .catch((error) => {
      // Without a connection the banner says so already.
      if (changes.isOpen) toast(error.message, "error");
    })
    .finally(() => (refreshing = null));
  return refreshing;
}

function showCollections() {
  const chosen = sessionStorage.getItem("ibid.collection") ?? picker.value;
  const names = app.list.map(({ name }) => name);
  if (!names.includes("documents") && names.length === 0) names.push("documents");
  const value = names.includes(chosen) ? chosen : names.includes("documents") ? "documents" : names[0];
  picker.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
  picker.value = value;
}
picker.addEventListener("change", () => app.choose(picker.value));

async function showIdentity() {
  identity.hidden = !token();
  if (!token()) return;
  identity.textContent = "Log out";
  const who = await api("/auth/me").catch(() => null);
  const name = who?.sub ?? who?.id ?? who?.subject;
  if (name) identity.textContent = `${name}: log out`;
}
identity.addEventListener("click", () => {
  forget();
  location.reload();
});
addEventListener("ibid:identity", showIdentity);

let leave = null;
function show() {
  const name = location.hash.match(/^#\/(\w+)/)?.[1];
  const section = SECTIONS[name] ?? ask;
  leave?.();
  view.replaceChildren();
  view.className = name ?? "ask";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${name ?? "ask"}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${section.title} · Ibid`;
  leave = section.show(view) ?? null;
}
addEventListener("hashchange", () => {
  if (location.hash === "#view") return;
  show();
  view.focus({ preventScroll: true });
});

showIdentity();
show();

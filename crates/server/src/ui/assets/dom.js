// Making elements without ever making markup of text: whatever documents and servers say stays text.

/** `h("button", { class: "primary", onclick }, "Go")`: an element with attributes, listeners and children. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in { value: 1, checked: 1, disabled: 1, hidden: 1, indeterminate: 1, open: 1 }) element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** The same in the SVG namespace. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat(Infinity));
  return element;
}

/** Says something for a while, to eyes and to screen readers. */
export function toast(text, kind = "info") {
  const note = h("p", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), kind === "error" ? 12_000 : 6_000);
}

/** Asks before something is lost. With `typed`, that text has to be typed first. */
export function confirm({ title, text, action, typed }) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("h2").textContent = title;
  document.getElementById("confirm-text").textContent = text;
  const go = dialog.querySelector("button.danger");
  go.textContent = action;
  const field = document.getElementById("confirm-typed");
  const input = field.querySelector("input");
  field.hidden = !typed;
  field.querySelector("span").textContent = typed ? `Type ${typed} to confirm` : "";
  input.value = "";
  go.disabled = Boolean(typed);
  input.oninput = () => (go.disabled = input.value !== typed);
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((answer) => dialog.addEventListener("close", () => answer(dialog.returnValue === "ok"), { once: true }));
}

/** `1,234` in the reader's own way. */
export const count = (n) => Number(n).toLocaleString();

/** Bytes for people. */
export function size(bytes) {
  for (const [unit, divisor] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (bytes >= divisor) return `${(bytes / divisor).toFixed(bytes >= 10 * divisor ? 0 : 1)} ${unit}`;
  }
  return `${bytes} B`;
}

/** Seconds for people. */
export const seconds = (s) => (s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(1)} s`);

/** A moment, RFC 3339, in the reader's own way. */
export const moment = (text) => new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

/** `one document`, `2 documents`. */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

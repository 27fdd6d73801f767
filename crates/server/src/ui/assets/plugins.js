// Plugins: what is installed and what it has done; installing one by dropping it; its log.

import { ApiFailure, api, events, send } from "./api.js";
import { confirm, count, h, plural, size, toast } from "./dom.js";
import { playground, takesText } from "./playground.js";

export const title = "Plugins";

const KINDS = { extractor: "Extractors", chunker: "Chunkers", analyzer: "Query analyzers", formatter: "Citation formatters" };
const REFRESH = 5_000;

export function show(view) {
  const lists = h("div");
  const problem = h("p", { class: "error", role: "alert" });
  const open = new Set();
  const logs = new Map();
  const playgrounds = new Map();
  const input = h("input", { type: "file", accept: ".wasm,application/wasm", class: "visually-hidden", onchange: () => {
    install([...input.files]);
    input.value = "";
  } });
  const zone = h("div", { class: "dropzone" }, h("p", {}, "Drop a plugin (a .wasm component) here, or"), h("label", { class: "button" }, input, "Choose a file"));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    install([...event.dataTransfer.files]);
  });
  view.append(h("h1", {}, "Plugins"), zone, problem, lists);

  async function install(files) {
    problem.textContent = "";
    for (const file of files) {
      try {
        const response = await send("/plugins", { method: "POST", body: file, headers: { "content-type": "application/wasm" } });
        const body = await response.json().catch(() => null);
        if (!response.ok) throw new ApiFailure(response.status, body?.error);
        const { name, version } = body.plugin;
        toast(`Installed ${name} ${version}${body.moved.length > 0 ? `; taken up by ${body.moved.join(", ")}` : ""}.`);
      } catch (error) {
        problem.textContent = `${file.name}: ${error.message}`;
      }
    }
    load();
  }

  async function load() {
    let plugins;
    try {
      ({ plugins } = await api("/plugins"));
    } catch (error) {
      problem.textContent = error.message;
      return;
    }
    lists.replaceChildren(...Object.entries(KINDS).map(([kind, name]) =>
      h("section", {}, h("h2", {}, name), h("div", { class: "cards" }, plugins.filter((plugin) => plugin.kind === kind).map(card)))));
  }

  function card(plugin) {
    const { digest, stats, quarantine } = plugin;
    const id = `${plugin.name}@${plugin.version}`;
    // Who does not see all collections is not told what was done in them.
    const facts = [
      ...(stats ? [
        ["Calls", count(stats.calls)],
        ["Failures", `${count(stats.errors)}${stats.faults > 0 ? `, ${count(stats.faults)} by its own fault` : ""}`],
        ["Half within", `${stats.p50_ms.toFixed(1)} ms`],
        ["99 % within", `${stats.p99_ms.toFixed(1)} ms`],
        ["Most memory", size(stats.peak_memory_bytes)],
      ] : []),
      ["Used by", plugin.used_by.join(", ") || "no collection"],
      ["Digest", h("code", {}, `${digest.slice(0, 19)}…`)],
      ["Imports", plugin.imports.join(", ") || "nothing"],
    ];
    const details = h("details", { open: open.has(id), ontoggle: () => (details.open ? open.add(id) : open.delete(id)) },
      h("summary", {}, "Details"),
      h("dl", {}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
    return h("section", { class: "card", "aria-label": id },
      h("h3", {}, plugin.name, " ", h("span", { class: "hint" }, plugin.version)),
      h("p", {}, h("span", { class: `state ${plugin.state}` }, plugin.state), " ", h("span", { class: "hint" }, stats ? `${plugin.source}, ${plural(stats.calls, "call")}` : plugin.source)),
      h("p", {}, plugin.description),
      quarantine && h("p", { class: "warning" }, `Not called for ${Math.ceil(quarantine.remaining)} s: ${quarantine.reason}`),
      details,
      logs.get(id)?.element,
      playgrounds.get(id),
      h("div", { class: "actions" },
        takesText(plugin) && h("button", { type: "button", class: "quiet", "aria-expanded": String(playgrounds.has(id)), "aria-label": `Try ${id}`, onclick: () => togglePlayground(plugin, id) }, "Try"),
        h("button", { type: "button", class: "quiet", onclick: () => toggleLog(plugin, id) }, logs.has(id) ? "Close the log" : "Log"),
        plugin.source === "installed" && h("button", { type: "button", class: "quiet", "aria-label": `Remove ${id}`, onclick: () => remove(plugin) }, "Remove")));
  }

  async function togglePlayground(plugin, id) {
    if (playgrounds.has(id)) playgrounds.delete(id);
    else playgrounds.set(id, playground(plugin));
    await load();
    playgrounds.get(id)?.querySelector("textarea").focus();
  }

  async function toggleLog({ name, version }, id) {
    if (logs.has(id)) {
      logs.get(id).abort.abort();
      logs.delete(id);
      return load();
    }
    const abort = new AbortController();
    const element = h("pre", { class: "log", tabindex: "0", "aria-label": `Log of ${id}` }, "What it writes from now on comes here.\n");
    logs.set(id, { element, abort });
    load();
    try {
      for await (const [event, data] of events(`/plugins/${encodeURIComponent(name)}/log`, { signal: abort.signal })) {
        if (event === "line" && data.version === version) element.append(`${data.timestamp} ${data.level} ${data.message}\n`);
        if (event === "dropped") element.append(`… ${data.lines} lines were not shown\n`);
        while (element.childNodes.length > 500) element.firstChild.remove();
      }
    } catch (error) {
      if (!abort.signal.aborted) element.append(`${error.message}\n`);
    }
  }

  async function remove({ name, version, used_by: used }) {
    const sure = await confirm({
      title: `Remove ${name} ${version}?`,
      text: used.length > 0 ? `Pipelines that run it: ${used.join(", ")}.` : "No collection uses it.",
      action: "Remove",
    });
    if (!sure) return;
    try {
      await api(`/plugins/${encodeURIComponent(name)}?version=${encodeURIComponent(version)}`, { method: "DELETE" });
      toast(`Removed ${name} ${version}.`);
    } catch (error) {
      problem.textContent = error.message;
    }
    load();
  }

  load();
  // Whoever is on one of its buttons keeps it under the finger.
  const timer = setInterval(() => lists.contains(document.activeElement) || load(), REFRESH);
  return () => {
    clearInterval(timer);
    for (const { abort } of logs.values()) abort.abort();
  };
}

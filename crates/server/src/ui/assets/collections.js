// Collections: what is in them, live; their pipelines as stages; making one with a pipeline of its own.

import { api } from "./api.js";
import { app, refresh } from "./app.js";
import { confirm, count, h, moment, plural, toast } from "./dom.js";
import { installed, modeField, pipelineEditor, pluginChoice, STAGES } from "./pipeline.js";

export const title = "Collections";

export function show(view) {
  const cards = h("div", { class: "cards" });
  const creator = h("details", { class: "card" }, h("summary", {}, "New collection"));
  view.append(h("h1", {}, "Collections"), creator, cards);
  fillCreator(creator);

  // A card stays the same element, so that what is open in it, or being written, is not lost when the list is read anew.
  const known = new Map();
  const draw = () => {
    for (const collection of app.list) {
      const { name } = collection;
      if (known.has(name)) known.get(name).querySelector(".stats").replaceWith(statistics(collection));
      else known.set(name, card(collection));
    }
    const names = app.list.map(({ name }) => name);
    for (const name of known.keys()) {
      if (names.includes(name)) continue;
      known.get(name).remove();
      known.delete(name);
    }
    cards.querySelector(":scope > .hint")?.remove();
    if (names.length === 0) cards.append(h("p", { class: "hint" }, "None yet. Adding a document makes one."));
    names.forEach((name, at) => {
      const element = known.get(name);
      if (cards.children[at] !== element) cards.insertBefore(element, cards.children[at] ?? null);
    });
  };
  const moved = ({ detail: { type, collection, data } }) => {
    const element = known.get(collection);
    if (!element) return;
    if (type === "collection_stats") element.querySelector(".stats").replaceWith(statistics(data));
    if (["reindex_started", "reindex_progress", "reindex_complete"].includes(type)) element.querySelector(".reindex").replaceWith(reindexing(collection, data));
    if (type === "pipeline_changed" || type === "reindex_complete") element.dispatchEvent(new Event("pipeline"));
  };
  app.addEventListener("collections", draw);
  app.addEventListener("event", moved);
  draw();
  refresh();
  return () => {
    app.removeEventListener("collections", draw);
    app.removeEventListener("event", moved);
  };
}

function card(collection) {
  const { name } = collection;
  const pipeline = h("div", { class: "pipeline" });
  const load = async () => {
    const shown = await api(`/collections/${encodeURIComponent(name)}/pipeline`).catch((error) => toast(error.message, "error"));
    if (!shown) return;
    const edit = h("button", { type: "button", "aria-label": `Change the pipeline of ${name}`, onclick: async () => {
      const editor = await pipelineEditor(name, shown.pipeline, load);
      pipeline.replaceChildren(editor);
      editor.querySelector("select").focus();
    } }, "Change the pipeline");
    pipeline.replaceChildren(...stages(shown.pipeline), h("div", { class: "actions" }, edit));
  };
  const details = h("details", { ontoggle: () => details.open && pipeline.childElementCount === 0 && load() }, h("summary", {}, "Pipeline"), pipeline);
  // A form that is being filled in is left alone.
  const changed = () => details.open && !pipeline.querySelector("form") && load();
  return h("section", { class: "card", "data-collection": name, "aria-label": `Collection ${name}`, onpipeline: changed },
    h("h2", {}, name),
    statistics(collection),
    reindexing(name, collection.reindex),
    details,
    h("div", { class: "actions" },
      h("button", { type: "button", onclick: () => {
        app.choose(name);
        location.hash = "#/ask";
      } }, "Ask it"),
      h("button", { type: "button", onclick: () => {
        app.choose(name);
        location.hash = "#/documents";
      } }, "Its documents"),
      h("button", { type: "button", class: "quiet", "aria-label": `Delete the collection ${name}`, onclick: () => remove(name) }, "Delete")));
}

/** A re-index that runs, with its progress, or why the last one failed. */
function reindexing(name, reindex) {
  const box = h("div", { class: "reindex", role: "status" });
  if (reindex?.status === "running") {
    const { progress, documents_done: done, documents_total: total, chunks_reused: reused } = reindex;
    box.append(
      h("p", {}, `Making its documents anew: ${count(done ?? 0)} of ${count(total ?? 0)}${reused > 0 ? `, ${plural(reused, "vector")} kept` : ""}. Questions see what was there.`),
      h("progress", { max: "1", value: progress ?? 0, "aria-label": `Re-index of ${name}` }),
      h("button", { type: "button", class: "quiet", "aria-label": `Stop the re-index of ${name}`, onclick: () =>
        api(`/collections/${encodeURIComponent(name)}/reindex`, { method: "DELETE" }).catch((error) => toast(error.message, "error")) }, "Stop"));
  } else if (reindex?.status === "failed") {
    box.append(h("p", { class: "error" }, `Its documents could not be made anew, and are as they were: ${reindex.error?.message ?? "see the server's log"}`));
  }
  return box;
}

function statistics({ total_documents: documents, total_chunks: chunks, storage_size_mb: megabytes, last_updated: updated }) {
  return h("dl", { class: "stats" },
    [["Documents", count(documents)], ["Chunks", count(chunks)], ["Size", `${megabytes.toFixed(megabytes < 10 ? 1 : 0)} MB`], ["Changed", moment(updated)]]
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** A pipeline as its stages, in the order in which they work. */
function stages(pipeline) {
  const settings = (object) => Object.entries(object ?? {}).map(([key, value]) => h("li", {}, `${key.replaceAll("_", " ")}: ${typeof value === "object" ? JSON.stringify(value) : value}`));
  const stage = (name, what, details) => h("li", { class: "stage" }, h("h3", {}, name), h("p", {}, what), h("ul", {}, details));
  const plugin = (choice) => [choice?.plugin ?? "default", settings(choice?.config)];
  const extractors = Object.entries(pipeline.extractors ?? {}).map(([type, choice]) => h("li", {}, `${type}: ${choice.plugin ?? choice}`));
  const { mode, limit, ...retrieval } = pipeline.retrieval ?? {};
  const { kind, ...generator } = pipeline.generator ?? {};
  return [h("ol", { class: "stages" },
    stage("Extractors", extractors.length > 0 ? plural(extractors.length, "choice") : "by media type", extractors),
    stage("Chunker", ...plugin(pipeline.chunker)),
    stage("Embedder", pipeline.embedder?.model ?? "default", settings(Object.fromEntries(Object.entries(pipeline.embedder ?? {}).filter(([key]) => key !== "model")))),
    stage("Query analyzer", ...plugin(pipeline.analyzer)),
    stage("Retrieval", `${mode ?? "balanced"}, ${limit ?? 10} passages`, settings(retrieval)),
    stage("Generator", kind ?? "extractive", settings(generator)),
    stage("Citations", ...plugin(pipeline.citations)))];
}

async function remove(name) {
  const documents = app.list.find((collection) => collection.name === name)?.total_documents ?? 0;
  const sure = await confirm({
    title: `Delete the collection ${name}?`,
    text: `Its ${plural(documents, "document")} go with it: files, texts, chunks and vectors.`,
    action: "Delete all of it",
    typed: documents > 0 ? name : undefined,
  });
  if (!sure) return;
  try {
    await api(`/collections/${encodeURIComponent(name)}?confirm=true`, { method: "DELETE" });
    toast(`Deleted the collection ${name}.`);
  } catch (error) {
    toast(error.message, "error");
  }
  refresh();
}

/** The form that makes a collection: a name, and for each stage a plugin with a form of its own settings. */
async function fillCreator(creator) {
  const plugins = await installed();
  const name = h("input", { id: "new-name", type: "text", required: true, maxlength: "64", pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*", autocomplete: "off" });
  const problem = h("p", { class: "error", role: "alert" });
  const choices = STAGES.map(([key, kind, label]) => pluginChoice(`new-${key}`, key, label, plugins.filter((plugin) => plugin.kind === kind)));
  const mode = modeField("new-mode", "balanced");
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    problem.textContent = "";
    if (!choices.every((one) => one.valid())) return form.reportValidity();
    const pipeline = { retrieval: { mode: mode.value() } };
    for (const one of choices) if (one.value()) pipeline[one.key] = one.value();
    try {
      await api("/collections", { json: { name: name.value, pipeline } });
      toast(`Made the collection ${name.value}.`);
      app.choose(name.value);
      form.reset();
      creator.open = false;
      refresh();
    } catch (error) {
      problem.textContent = error.message;
    }
  } },
  h("div", { class: "field" }, h("label", { for: "new-name" }, "Name"), name, h("span", { class: "hint" }, "Letters, digits, _ . and -")),
  choices.map((one) => one.element),
  mode.element,
  problem,
  h("div", { class: "actions" }, h("button", { class: "primary" }, "Make it")));
  creator.append(form);
}

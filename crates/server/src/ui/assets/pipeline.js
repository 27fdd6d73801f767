// A pipeline as a form: which plugin fills a stage, with which settings. The server checks it as one types, and says what it would take.

import { api } from "./api.js";
import { count, h, plural, toast } from "./dom.js";
import { schemaForm } from "./schema.js";

/** The stages that plugins fill: key in the pipeline, kind of plugin, name for people. */
export const STAGES = [
  ["chunker", "chunker", "Chunker"],
  ["analyzer", "analyzer", "Query analyzer"],
  ["citations", "formatter", "Citations"],
];

/** Milliseconds without a key pressed, after which the server is asked. */
const PAUSE = 400;

/** What is installed; nothing where one may not know. */
export const installed = async () => (await api("/plugins").catch(() => ({ plugins: [] }))).plugins;

/** The mode of questions that do not say. */
export function modeField(id, chosen, changed) {
  const select = h("select", { id, onchange: changed }, ["balanced", "speed", "comprehensive"].map((value) => h("option", { value }, value)));
  select.value = chosen;
  return {
    element: h("div", { class: "field" }, h("label", { for: id }, "Mode of questions that do not say"), select),
    value: () => select.value,
  };
}

/** A plugin for a stage, and a form of its settings. Without `current` the stage may be left to the default. */
export function pluginChoice(id, key, label, plugins, current, changed) {
  const named = (wanted) => plugins.find(({ name, version }) => wanted === `${name}@^${version}`) ?? plugins.find(({ name }) => wanted.split("@")[0] === name);
  const options = plugins.map(({ name, version, description }) => h("option", { value: `${name}@^${version}`, title: description }, `${name} ${version}`));
  if (current) {
    // As the pipeline has it, which may be another way to name the same.
    const known = options.find(({ value }) => named(current.plugin) && named(value) === named(current.plugin));
    if (known) known.value = current.plugin;
    else options.unshift(h("option", { value: current.plugin }, `${current.plugin} (not installed)`));
  } else {
    options.unshift(h("option", { value: "" }, "the default"));
  }
  const select = h("select", { id, onchange: () => {
    draw(select.value === current?.plugin ? current.config : {});
    changed?.();
  } }, options);
  if (current) select.value = current.plugin;
  const settings = h("div");
  let form = null;
  const chosen = () => select.value && named(select.value);
  function draw(config) {
    const plugin = chosen();
    form = plugin ? schemaForm(plugin.config_schema, changed, config) : null;
    settings.replaceChildren(...(plugin ? [h("p", { class: "hint" }, plugin.description), form.element] : []));
  }
  draw(current?.config);
  return {
    key,
    element: h("fieldset", {}, h("legend", {}, label), h("div", { class: "field" }, h("label", { for: id }, "Plugin"), select), settings),
    valid: () => !form || form.valid(),
    value: () => {
      const plugin = chosen();
      if (!plugin) return current && select.value === current.plugin ? current : undefined;
      const kept = select.value === current?.plugin ? current : {};
      return { ...kept, plugin: select.value, config: form.value(), ...(plugin.grants.length > 0 && { grants: plugin.grants }) };
    },
  };
}

/** A form that changes a collection's pipeline. `done` is called when it has, or when it was given up. */
export async function pipelineEditor(collection, pipeline, done) {
  const plugins = await installed();
  const path = `/collections/${encodeURIComponent(collection)}/pipeline`;
  const verdict = h("p", { class: "verdict", role: "status" }, "Nothing is changed yet.");
  const problem = h("p", { class: "error", role: "alert" });
  const go = h("button", { class: "primary", disabled: true }, "Change it");
  let timer = null;
  let asked = 0;
  const changed = () => {
    go.disabled = true;
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE);
  };
  const id = (key) => `edit-${collection}-${key}`;
  const choices = STAGES.map(([key, kind, label]) => pluginChoice(id(key), key, label, plugins.filter((plugin) => plugin.kind === kind), pipeline[key], changed));
  const mode = modeField(id("mode"), pipeline.retrieval?.mode ?? "balanced", changed);
  const limit = h("input", { id: id("limit"), type: "number", min: 1, max: 100, step: 1, required: true, oninput: changed });
  limit.value = pipeline.retrieval?.limit ?? 10;
  const wanted = () => ({
    ...pipeline,
    ...Object.fromEntries(choices.map((one) => [one.key, one.value()])),
    retrieval: { ...pipeline.retrieval, mode: mode.value(), limit: Number(limit.value) },
  });

  async function check() {
    const turn = ++asked;
    problem.textContent = "";
    if (!form.checkValidity()) {
      verdict.textContent = "A value is out of its range.";
      return;
    }
    try {
      const answer = await api(`${path}?dry_run=true`, { method: "PUT", json: wanted() });
      if (turn !== asked) return;
      verdict.textContent = told(answer);
      go.disabled = false;
    } catch (error) {
      if (turn !== asked) return;
      verdict.textContent = "This pipeline would not run.";
      problem.textContent = error.message;
    }
  }

  const form = h("form", { class: "editor", "aria-label": `Pipeline of ${collection}`, onsubmit: async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    try {
      const answer = await api(path, { method: "PUT", json: wanted() });
      toast(answer.changed ? `Changed the pipeline of ${collection}.` : answer.redo === "nothing" ? "There was nothing to change." : "Its documents are being made anew; until that is done, questions see what was there.");
      done();
    } catch (error) {
      problem.textContent = error.message;
    }
  } },
  choices.map((one) => one.element),
  h("fieldset", {}, h("legend", {}, "Retrieval"), mode.element,
    h("div", { class: "field" }, h("label", { for: id("limit") }, "Passages of questions that do not say"), limit)),
  verdict,
  problem,
  h("div", { class: "actions" }, go, h("button", { type: "button", class: "quiet", onclick: done }, "Leave it as it was")));
  return form;
}

/** What a change takes, in words. */
function told({ redo, documents_affected: documents, chunks_affected: chunks }) {
  if (redo === "nothing" || documents === 0) return "It holds from the next question on; nothing has to be made anew.";
  const work = { "re-embed": "embedded", "re-chunk": "chunked and embedded", "re-extract": "read, chunked and embedded" }[redo] ?? "made";
  return `${plural(documents, "document")} of ${count(chunks)} chunks would be ${work} anew.`;
}

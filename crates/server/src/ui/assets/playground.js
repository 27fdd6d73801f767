// The playground: what a plugin makes of a pasted text, with settings of one's choice.

import { api } from "./api.js";
import { h, plural, seconds } from "./dom.js";
import { schemaForm } from "./schema.js";

const TEXT = {
  extractor: ["Text of a file", "<h1>Fees</h1>\n<p>A card costs twelve euros a year.</p>"],
  chunker: ["Text, as a Markdown document", "# Fees\n\nA card costs twelve euros a year. Children pay nothing.\n\n# Hours\n\nThe library opens at nine on weekdays, and at ten on Saturdays."],
  analyzer: ["A question", "How did revenue and net income in 2023 compare with 2022?"],
  formatter: ["An answer, whose lines each cite themselves", "A card costs twelve euros.\nThe library opens at nine."],
};

/** Whether a text can be pasted for it: not for extractors of other files. */
export const takesText = ({ kind, media_types: types }) => kind !== "extractor" || types.some((type) => type.startsWith("text/"));

/** A form that runs the plugin over what is pasted, and shows the outcome below. */
export function playground({ name, version, kind, config_schema: schema }) {
  const [label, sample] = TEXT[kind];
  const id = `try-${name}-${version}`;
  const text = h("textarea", { id, rows: 6, required: true });
  text.value = sample;
  const form = schemaForm(schema);
  const problem = h("p", { class: "error", role: "alert" });
  const outcome = h("div", { class: "outcome", role: "status" });
  return h("form", { class: "playground", "aria-label": `Playground of ${name}`, onsubmit: async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      const body = { version, text: text.value, config: form.value() };
      const result = await api(`/plugins/${encodeURIComponent(name)}/try`, { json: body });
      outcome.replaceChildren(h("p", { class: "hint" }, `${seconds(result.milliseconds / 1000)}, ${result.plugin}`), ...shown(result));
    } catch (error) {
      outcome.replaceChildren();
      problem.textContent = error.message;
    }
  } },
  h("div", { class: "field" }, h("label", { for: id }, label), text),
  h("details", {}, h("summary", {}, "Settings"), form.element),
  problem,
  h("div", { class: "actions" }, h("button", { class: "primary" }, "Run")),
  outcome);
}

function shown({ kind, text, chunks, units, searches, query_analysis: analysis, response }) {
  // Spans count code points, strings UTF-16 units.
  const points = Array.from(text);
  const at = ({ start, end }) => points.slice(start, end).join("");
  if (kind === "chunker") return [h("p", {}, plural(chunks.length, "chunk")), coloured(points, chunks), listed(chunks, at)];
  if (kind === "extractor") return [h("pre", { class: "log", tabindex: "0" }, text), h("ol", {}, units.map((unit) => h("li", {}, h("strong", {}, `${unit.kind}${unit.level > 0 ? ` ${unit.level}` : ""}`), ` ${at(unit).slice(0, 120)}`)))];
  if (kind === "analyzer") return [
    h("h4", {}, "Searches"),
    h("ol", {}, searches.map((search) => h("li", {}, search.text, " ", h("span", { class: "hint" }, `weight ${search.weight}`)))),
    h("h4", {}, "Understood"),
    h("pre", { class: "log", tabindex: "0" }, JSON.stringify(analysis, null, 2)),
  ];
  return [h("pre", { class: "log", tabindex: "0" }, response)];
}

/** The text with its chunks in turn of two colours; what two of them share is marked as such, and gaps stay plain. */
function coloured(points, chunks) {
  const edges = [...new Set([0, points.length, ...chunks.flatMap(({ start, end }) => [start, end])])].sort((a, b) => a - b);
  const parts = edges.slice(0, -1).map((start, i) => {
    const end = edges[i + 1];
    const within = chunks.flatMap((chunk, number) => (chunk.start <= start && chunk.end >= end ? [number] : []));
    const text = points.slice(start, end).join("");
    if (within.length === 0) return text;
    const title = within.map((number) => `chunk ${number + 1}`).join(" and ");
    return h("span", { class: within.length > 1 ? "chunk shared" : `chunk ${within[0] % 2 === 0 ? "even" : "odd"}`, title }, text);
  });
  return h("div", { class: "chunked", tabindex: "0", role: "group", "aria-label": "The text with its chunks" }, parts);
}

function listed(chunks, at) {
  return h("details", {}, h("summary", {}, "Chunk by chunk"),
    h("ol", {}, chunks.map((chunk) => h("li", {},
      h("span", { class: "hint" }, `characters ${chunk.start} to ${chunk.end}, ${plural(chunk.tokens, "token")}`),
      chunk.context.map((span) => h("p", { class: "hint" }, `context: ${at(span)}`)),
      h("blockquote", {}, at(chunk))))));
}

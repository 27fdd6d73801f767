// A form made from a JSON Schema, as plugins describe their configuration: objects of numbers, texts, choices and switches.

import { h } from "./dom.js";

let next = 1;

/** A form for an object schema that begins with `given`. `value()` of what is returned gives the configuration: only what differs from the default. */
export function schemaForm(schema, changed, given = {}) {
  const fields = Object.entries(schema?.properties ?? {}).map(([key, property]) => field(key, property, changed, given[key] ?? property.default));
  const element = h("div", { class: "fields" }, fields.length > 0 ? fields.map((one) => one.element) : h("p", { class: "hint" }, "It has no settings."));
  return {
    element,
    value: () => Object.fromEntries(fields.map((one) => [one.key, one.value()]).filter(([, value]) => value !== undefined)),
    valid: () => fields.every((one) => one.valid()),
  };
}

function field(key, property, changed, given) {
  const id = `field-${next++}`;
  const hint = h("span", { class: "hint", id: `${id}-hint` }, [property.description, range(property)].filter(Boolean).join(" "));
  const common = { id, "aria-describedby": `${id}-hint`, oninput: changed };
  let input;
  let value;
  if (property.enum) {
    input = h("select", { ...common, onchange: changed }, property.enum.map((choice) => h("option", { value: JSON.stringify(choice) }, String(choice))));
    input.value = JSON.stringify(given ?? property.enum[0]);
    value = () => JSON.parse(input.value);
  } else if (property.type === "boolean") {
    input = h("input", { ...common, type: "checkbox", checked: given === true });
    value = () => input.checked;
  } else if (property.type === "integer" || property.type === "number") {
    input = h("input", { ...common, type: "number", min: property.minimum, max: property.maximum, step: property.type === "integer" ? 1 : "any" });
    input.value = given ?? "";
    value = () => (input.value === "" ? undefined : Number(input.value));
  } else if (property.type === "array" || property.type === "object") {
    input = h("textarea", { ...common, rows: 2, spellcheck: "false" });
    input.value = given === undefined ? "" : JSON.stringify(given);
    value = () => (input.value.trim() === "" ? undefined : JSON.parse(input.value));
    input.addEventListener("input", () => {
      try {
        value();
        input.setCustomValidity("");
      } catch {
        input.setCustomValidity("This must be JSON.");
      }
    });
  } else {
    input = h("input", { ...common, type: "text", maxlength: property.maxLength, pattern: property.pattern });
    input.value = given ?? "";
    value = () => (input.value === "" && property.default === undefined ? undefined : input.value);
  }
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  return {
    key,
    element: h("div", { class: "field" }, h("label", { for: id }, property.title ?? key.replaceAll("_", " ")), input, hint),
    valid: () => input.checkValidity(),
    value: () => (same(value(), property.default) ? undefined : value()),
  };
}

function range({ minimum, maximum, default: standard }) {
  const parts = [];
  if (minimum !== undefined && maximum !== undefined) parts.push(`${minimum} to ${maximum}`);
  if (standard !== undefined && typeof standard !== "object") parts.push(`default ${standard}`);
  return parts.length > 0 ? `(${parts.join(", ")})` : "";
}

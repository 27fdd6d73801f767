// Shows /openapi.json. Everything is put into the page as text, so that nothing in the document is ever taken for markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

/** An element with a class, and what is in it. */
function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Text whose `parts` between backquotes are code. */
function prose(name, className, text) {
  const parts = (text ?? "").split("`").map((part, n) => (n % 2 ? make("code", "", part) : part));
  return make(name, className, ...parts);
}

/** What a reference points to. */
function resolve(api, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? { name, schema: api.components.schemas[name] ?? {} } : { name: "", schema: schema ?? {} };
}

/** In a few words: `string`, `integer 1 to 100`, `array of SearchHit`. */
function type(api, given) {
  const { name, schema } = resolve(api, given);
  if (name) return name;
  const of = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (of) return of.map((part) => type(api, part)).join(schema.allOf ? " and " : " or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const types = [].concat(schema.type ?? "anything").filter((word) => word !== "null");
  let words = types.join(" or ");
  if (words === "array") words = `array of ${type(api, schema.items)}`;
  const [least, most] = [schema.minimum ?? schema.minLength ?? schema.minItems, schema.maximum ?? schema.maxLength ?? schema.maxItems];
  const unit = types.includes("string") ? " characters" : types.includes("array") ? " items" : "";
  if (least !== undefined && most !== undefined) words += `, ${least} to ${most}${unit}`;
  else if (most !== undefined) words += `, at most ${most}${unit}`;
  return words;
}

/** The fields of a schema; those of nested ones are made when they are opened. */
function fields(api, given, seen = []) {
  const { name, schema } = resolve(api, given);
  const path = name ? [...seen, name] : seen;
  const list = make("ul", "fields");
  const inner = schema.items ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : null);
  for (const part of schema.allOf ?? schema.oneOf ?? schema.anyOf ?? (inner ? [inner] : [])) {
    if (part.type === "null") continue;
    list.append(...(name && seen.includes(name) ? [] : fields(api, part, path).children));
  }
  const required = new Set(schema.required ?? []);
  for (const [field, of] of Object.entries(schema.properties ?? {})) {
    const target = of.$ref || of.items || of.oneOf || of.allOf || of.properties || typeof of.additionalProperties === "object";
    const { name: targetName, schema: targetSchema } = resolve(api, of);
    const what = of.description ?? targetSchema.description ?? "";
    const line = [
      make("code", "", field), " ", make("span", "soft", `${type(api, of)}${required.has(field) ? ", required" : ""}`),
      what ? prose("span", "", ` — ${what}`) : "",
    ];
    if (target && !path.includes(targetName) && fields(api, of, path).children.length) {
      const nested = make("details", "", make("summary", "", ...line));
      nested.addEventListener("toggle", () => nested.childElementCount === 1 && nested.append(fields(api, of, path)), { once: true });
      list.append(make("li", "", nested));
    } else list.append(make("li", "", ...line));
  }
  return list;
}

/** Bodies by media type. */
function contents(api, content) {
  return Object.entries(content ?? {}).map(([media, { schema }]) =>
    make("div", "", make("p", "", make("code", "", media), " ", make("span", "soft", schema ? type(api, schema) : "")), fields(api, schema)));
}

/** What stands in an operation once it is opened. */
function body(api, operation) {
  const box = make("div", "");
  if (operation.description) box.append(prose("p", "", operation.description));
  const scopes = new Set((operation.security ?? []).flatMap((way) => Object.values(way).flat()));
  box.append(make("p", "soft", scopes.size ? `Needs the scope ${[...scopes].join(", ")}.` : "Needs no credentials."));
  if (operation.parameters?.length) {
    const rows = operation.parameters.map((parameter) => make("tr", "",
      make("td", "", make("code", "", parameter.name)),
      make("td", "soft", `${parameter.in}, ${type(api, parameter.schema)}${parameter.required ? ", required" : ""}`),
      prose("td", "", parameter.description ?? "")));
    box.append(make("h3", "", "Parameters"), make("table", "", make("tbody", "", ...rows)));
  }
  if (operation.requestBody) box.append(make("h3", "", "Body"), ...contents(api, operation.requestBody.content));
  box.append(make("h3", "", "Answers"));
  for (const [status, answer] of Object.entries(operation.responses)) {
    const line = make("summary", "", make("strong", "", status), " ", prose("span", "", answer.description));
    const opened = make("details", "", line);
    opened.addEventListener("toggle", () => opened.append(...contents(api, answer.content)), { once: true });
    box.append(opened);
  }
  return box;
}

function show(api) {
  document.title = `${api.info.title} ${api.info.version}`;
  document.getElementById("about").replaceChildren(...prose("span", "", `Version ${api.info.version}. ${api.info.description}`).childNodes);
  const [nav, main] = [document.getElementById("tags"), document.getElementById("operations")];
  for (const tag of api.tags) {
    const link = make("a", "", tag.name);
    link.href = `#${tag.name}`;
    nav.append(link);
    const section = make("section", "", make("h2", "", tag.name), make("p", "soft", tag.description ?? ""));
    section.id = tag.name;
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of METHODS) {
        const operation = item[method];
        if (!operation?.tags?.includes(tag.name)) continue;
        const summary = make("summary", "", make("span", "method", method), make("span", "path", path), " ", make("span", "soft", operation.summary ?? ""));
        const box = make("details", "operation", summary);
        box.id = operation.operationId;
        box.dataset.words = `${method} ${path} ${operation.summary} ${operation.description ?? ""}`.toLowerCase();
        box.addEventListener("toggle", () => box.childElementCount === 1 && box.append(body(api, operation)));
        section.append(box);
      }
    }
    main.append(section);
  }
  document.getElementById("find").addEventListener("input", ({ target }) => {
    const words = target.value.toLowerCase().split(/\s+/);
    for (const box of main.querySelectorAll(".operation")) box.hidden = !words.every((word) => box.dataset.words.includes(word));
    for (const section of main.children) section.hidden = !section.querySelector(".operation:not([hidden])");
  });
  const meant = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (meant) {
    meant.open = true;
    meant.scrollIntoView();
  }
}

fetch("/openapi.json").then((reply) => reply.json()).then(show, (error) => {
  document.getElementById("about").textContent = `The document cannot be shown: ${error}`;
});

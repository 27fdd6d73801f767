// The server, live: load, questions, services, alerts.

import { api } from "./api.js";
import { h, seconds, size, svg } from "./dom.js";
import { LiveSocket } from "./socket.js";

export const title = "Monitor";

/** Points of a chart: ten minutes at one every two seconds. */
const POINTS = 300;

const METRICS = [
  ["cpu_usage", "CPU", (v) => `${v.toFixed(0)} %`, 100],
  ["memory_usage", "Memory", (v) => `${v.toFixed(0)} %`, 100],
  ["active_connections", "Connections", (v) => v.toFixed(0), null],
  ["queries_per_minute", "Questions per minute", (v) => v.toFixed(0), null],
  ["average_response_time", "Average answer", (v) => (v < 1 ? `${(v * 1000).toFixed(0)} ms` : `${v.toFixed(1)} s`), null],
];

/** Milliseconds between two looks at `/metrics`, and looks that a rate or a percentile is taken over: half a minute. */
const LOOK = 3_000;
const WINDOW = 10;

/** What is drawn of `/metrics`: a number of two looks at it, the earlier one half a minute ago or as long as there is one. */
const MEASURED = [
  ["Requests per second", (now, then) => rate(now, then, "ibid_http_requests_total"), decimal],
  ["Half of the answers within", (now, then) => percentile(now, then, "ibid_query_duration_seconds", 0.5), seconds],
  ["95 % of the answers within", (now, then) => percentile(now, then, "ibid_query_duration_seconds", 0.95), seconds],
  ["Texts waiting for the embedder", (now) => now.sum("ibid_embedder_queue_texts"), (v) => v.toFixed(0)],
  ["Texts embedded per second", (now, then) => rate(now, then, "ibid_embedder_texts_total"), decimal],
  ["Plugin calls per second", (now, then) => rate(now, then, "ibid_plugin_calls_total"), decimal],
  ["Plugin failures per minute", (now, then) => 60 * rate(now, then, "ibid_plugin_failures_total"), decimal],
  ["Memory of the server", (now) => now.sum("process_resident_memory_bytes"), size],
];

function decimal(v) {
  return v.toFixed(v < 10 ? 1 : 0);
}

const SERVICES = {
  vector_database: "Vector index",
  embedding_service: "Embedder",
  llm_service: "Generator",
  plugin_runtime: "Plugins",
};

export function show(view) {
  const charts = METRICS.map(([key, name, text, most]) => chart(key, name, text, most));
  const measured = MEASURED.map(([name, number, text]) => ({ number, ...chart(name, name, text, null) }));
  const services = h("ul", { class: "services", "aria-label": "Services" });
  const states = new Map();
  const alerts = h("ol", { class: "alerts", "aria-label": "Alerts", "aria-live": "polite" }, h("li", { class: "hint" }, "None."));
  const note = h("p", { class: "error", role: "alert" });
  view.append(h("h1", {}, "Monitor"), note,
    h("div", { class: "charts" }, [...charts, ...measured].map(({ element }) => element)),
    h("h2", {}, "Services"), services,
    h("h2", {}, "Alerts"), alerts);

  const socket = new LiveSocket("/ws/monitor?interval=2000");
  socket.addEventListener("refused", ({ detail }) => (note.textContent = detail.message));
  socket.addEventListener("open", () => (note.textContent = ""));
  socket.addEventListener("message", ({ detail: { type, data, timestamp } }) => {
    if (type === "system_metrics") charts.forEach((one) => one.push(data[one.key]));
    if (type === "service_status") {
      states.set(data.service, data);
      services.replaceChildren(...[...states.values()].map(({ service, status, response_time: time }) =>
        h("li", {}, h("span", { class: `state ${status}` }, status), ` ${SERVICES[service] ?? service} `, h("span", { class: "hint" }, `${Number(time).toFixed(1)} ms`))));
    }
    if (type === "error_alert") {
      alerts.querySelector(".hint")?.remove();
      alerts.prepend(h("li", { class: data.severity }, h("time", { datetime: timestamp }, new Date(timestamp).toLocaleTimeString()), ` ${data.service}: ${data.message}`));
      while (alerts.childElementCount > 50) alerts.lastChild.remove();
    }
  });
  const looks = [];
  const look = async () => {
    const answer = await api("/metrics?format=json").catch(() => null);
    if (!answer) return;
    looks.push(new Look(answer.metrics));
    if (looks.length > WINDOW + 1) looks.shift();
    for (const one of measured) one.push(one.number(looks.at(-1), looks[0]));
  };
  look();
  const timer = setInterval(look, LOOK);
  return () => {
    clearInterval(timer);
    socket.end();
  };
}

/** `/metrics` at one moment. */
class Look {
  constructor(metrics) {
    this.at = performance.now();
    this.samples = new Map(metrics.map(({ name, samples }) => [name, samples]));
  }

  /** A gauge or counter over all of its labels. */
  sum(name) {
    return (this.samples.get(name) ?? []).reduce((sum, { value }) => sum + value, 0);
  }

  /** How many of a histogram's values were at most each bound, over all of its labels. */
  buckets(name) {
    const total = new Map();
    for (const { buckets, count: all } of this.samples.get(name) ?? []) {
      for (const { le, count } of [...buckets, { le: Infinity, count: all }]) total.set(le, (total.get(le) ?? 0) + count);
    }
    return total;
  }
}

/** What a counter grew by in a second. */
function rate(now, then, name) {
  return now === then ? 0 : (1000 * (now.sum(name) - then.sum(name))) / (now.at - then.at);
}

/** The value below which this share of a histogram's new values lies, between its buckets' bounds; 0 where there were none. */
function percentile(now, then, name, share) {
  const before = now === then ? new Map() : then.buckets(name);
  const grown = [...now.buckets(name)].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]).sort(([a], [b]) => a - b);
  const all = grown.at(-1)?.[1] ?? 0;
  if (all === 0) return 0;
  let [lower, below] = [0, 0];
  for (const [bound, count] of grown) {
    if (count >= share * all) return bound === Infinity ? lower : lower + ((bound - lower) * (share * all - below)) / (count - below);
    [lower, below] = [bound, count];
  }
  return lower;
}

function chart(key, name, text, most) {
  const values = [];
  const value = h("output", {}, "–");
  const line = svg("polyline", { fill: "none", "vector-effect": "non-scaling-stroke" });
  const picture = svg("svg", { viewBox: `0 0 ${POINTS} 100`, preserveAspectRatio: "none", role: "img", "aria-label": `${name} over the last minutes` }, line);
  return {
    key,
    element: h("figure", { class: "chart" }, h("figcaption", {}, name, " ", value), picture),
    push(number) {
      if (typeof number !== "number") return;
      values.push(number);
      if (values.length > POINTS) values.shift();
      value.textContent = text(number);
      const top = most ?? Math.max(1e-9, ...values) * 1.1;
      line.setAttribute("points", values.map((v, i) => `${POINTS - values.length + i},${100 - (100 * v) / top}`).join(" "));
    },
  };
}

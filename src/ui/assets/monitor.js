// The server, live: load, questions, services, alerts.

import { h, svg } from "./dom.js";
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

const SERVICES = {
  vector_database: "Vector index",
  embedding_service: "Embedder",
  llm_service: "Generator",
  plugin_runtime: "Plugins",
};

export function show(view) {
  const charts = METRICS.map(([key, name, text, most]) => chart(key, name, text, most));
  const services = h("ul", { class: "services", "aria-label": "Services" });
  const states = new Map();
  const alerts = h("ol", { class: "alerts", "aria-label": "Alerts", "aria-live": "polite" }, h("li", { class: "hint" }, "None."));
  const note = h("p", { class: "error", role: "alert" });
  view.append(h("h1", {}, "Monitor"), note,
    h("div", { class: "charts" }, charts.map(({ element }) => element)),
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
  return () => socket.end();
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

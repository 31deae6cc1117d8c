// The slowest traced requests of the run, and the waterfall of one of them.
import {by, drawing, element, fill, figure, table} from "./dom.js";

const TONES = {"load generator": "generator", orders: "orders", users: "users", products: "products"};
let version = null, run = null, all = [], chosen = null;

export async function drawTraces(current) {
  if (!current || (current.run === run && current.traces === version)) return;
  const answer = await fetch("traces", {cache: "no-store"});
  if (!answer.ok) return;
  all = await answer.json();
  if (current.run !== run) chosen = null;
  [version, run] = [current.traces, current.run];
  draw();
}

function draw() {
  by("traces").hidden = !all.length;
  if (!all.length) return;
  if (!all.some(({trace}) => trace === chosen)) chosen = (all.find(({action, status}) => action === "create_order" && status === 201) ?? all[0]).trace;
  fill(by("slowest"), all.map(({trace}) => trace), () => all.map(({trace, method, action, status, ms}) =>
    element("option", `${figure(ms)} ms · ${method} ${action} · ${status || "no answer"}`, {value: trace})));
  by("slowest").value = chosen;
  const request = all.find(({trace}) => trace === chosen);
  fill(by("waterfall"), request, () => waterfall(request));
}

function waterfall({trace, spans}) {
  const first = Math.min(...spans.map(({at}) => at)), last = Math.max(...spans.map(({at, ms}) => at + ms));
  const place = (at) => 1000 * (at - first) / (last - first || 1);
  const rows = spans.map(({name, service, depth, at, ms, failed, shared, notes}) => {
    const bar = drawing("rect", {x: place(at), y: 2, width: Math.max(place(at + ms) - place(at), 2), height: 12, class: TONES[service] ?? ""});
    const part = element("span", name, {class: failed ? "part failed" : "part"});
    part.style.paddingLeft = `${depth}em`;
    return {style: shared ? "shared" : "", cells: [
      part, service, [drawing("svg", {viewBox: "0 0 1000 16", preserveAspectRatio: "none", "aria-hidden": "true"}, bar)],
      figure(at), figure(ms), [shared ? "shared" : "", ...notes, failed ? "failed" : ""].filter(Boolean).join(" · "),
    ]};
  });
  const shown = table(["part", "service", "when", "at ms", "took ms", "notes"], rows, {text: 1});
  const others = spans.some(({shared}) => shared) ? " What is shared was done once for several requests, and belongs to the trace of another." : "";
  return [shown, element("p", `Trace ${trace}.${others}`, {class: "soft"})];
}

by("slowest").addEventListener("change", ({target}) => {
  chosen = target.value;
  draw();
});

// The three services as they are connected, with their figures.
import {by, count, drawing, element, figure, fill, percent, say} from "./dom.js";

const STATES = {
  up: ["good", "●", () => "up"],
  draining: ["open", "▼", () => "draining: it serves what comes, and stops"],
  unwritable: ["open", "▲", () => "up, but cannot write"],
  silent: ["open", "▲", (seconds) => `no answer for ${figure(seconds)} s`],
  strange: ["open", "▲", () => "answers, but tells no figures"],
  down: ["bad", "✕", (seconds) => `down for ${figure(seconds)} s`],
  unknown: ["", "…", () => "not asked yet"],
};
const SILENT_S = 2;  // a service that is silent for longer is as good as down
const NAMES = ["orders", "users", "products"];

export function drawSystem(system, run) {
  const {generator, services, links, users} = system;
  const workers = run?.workers?.length;
  lines(by("generator"), "", "load generator", null, [
    `${figure(generator.writes)} writes/s`,
    `${count(users)} virtual users${workers ? `, ${workers} workers` : ""}`,
    `${percent(generator.cpu)} of a core`,
  ]);
  for (const name of NAMES) {
    const each = services[name];
    let [style, sign, words] = STATES[each.state];
    if (each.state === "silent" && each.seconds > SILENT_S) style = "bad";
    const away = !["up", "draining", "unwritable", "strange"].includes(each.state);
    const restarted = each.restarted === null ? "" : `, restarted ${count(each.restarted)} s ago`;
    lines(by(name), style, name, `${sign} ${words(each.seconds)}${restarted}`, away ? consequences(name, each.state) : each.state === "strange" ? [] : [
      `${figure(each.rate)}/s${each.p99_ms === null ? "" : ` · p99 ${figure(each.p99_ms)} ms`}`,
      each.writes_per_commit === null ? "no writes now" : group(figure(each.writes_per_commit)),
      `${figure(each.commits)} commits/s · queue ${count(each.queue)}`,
      `${count(each.memory_mb)} MB · ${percent(each.cpu)} of a core`,
      ...(each.engine ? [`${each.engine}${replicas(each)}`] : []),
      ...(each.failed ? [`${figure(each.failed)}/s answered with 5xx`] : []),
    ]);
  }
  for (const name of ["users", "products"]) link(name, links[name]);
  arrows(services, links);
}

function group(writes) {
  return `${writes} ${writes === "1" ? "write" : "writes"} a commit`;
}

function replicas({replicas, of}) {
  return !replicas ? "" : of > replicas ? ` ×${replicas} of ${of}` : replicas > 1 ? ` ×${replicas}` : "";
}

function consequences(name, state) {
  if (state === "unknown") return [];
  return name === "orders" ? ["no order is taken"] : ["orders answers 503, and writes nothing"];
}

function lines(box, style, name, state, texts) {
  box.className = `box ${style}`;
  if (box.childElementCount !== texts.length + (state === null ? 1 : 2)) {
    box.replaceChildren(element("h3", name), ...(state === null ? [] : [element("span", "", {class: "state"})]),
                        ...texts.map(() => element("p")));
  }
  if (state !== null) say(box.children[1], state);
  texts.forEach((text, place) => say(box.children[place + (state === null ? 1 : 2)], text));
}

function link(name, each) {
  const place = by(`to-${name}`);
  const texts = each ? [
    `${figure(each.lookups)} look-ups/s`,
    each.orders_each === null ? "" : `${figure(each.orders_each)} ${figure(each.orders_each) === "1" ? "order" : "orders"} each`,
    each.circuit === null ? "" : `circuit ${each.circuit}`,
  ].filter(Boolean) : ["look-ups"];
  place.className = `link ${each && (each.circuit === "open" || each.failed) ? "bad" : ""}`;
  fill(place, texts, () => texts.map((text) => element("p", text)));
}

// Arrows from box to box, where the boxes are beside each other; stacked boxes tell it by their order.
let drawn = "";

function arrows(services, links) {
  const map = by("map").getBoundingClientRect();
  const at = (id) => {
    const box = by(id).getBoundingClientRect();
    return {left: box.left - map.left, right: box.right - map.left, top: box.top - map.top, bottom: box.bottom - map.top,
            x: (box.left + box.right) / 2 - map.left, y: (box.top + box.bottom) / 2 - map.top};
  };
  const [from, orders, users, products] = ["generator", "orders", "users", "products"].map(at);
  const wide = orders.left > from.right;
  const bad = (name) => services[name].state === "down" || links[name]?.circuit === "open" ? "bad" : "";
  const paths = wide ? [
    ["", `M${from.right} ${from.y}H${orders.left - 3}`],
    ["load", `M${from.x} ${from.top}V8H${users.x}V${users.top - 3}`],
    ["load", `M${from.x} ${from.bottom}V${map.height - 8}H${products.x}V${products.bottom + 3}`],
    [bad("users"), `M${orders.right} ${orders.y - 14}C${(orders.right + users.left) / 2} ${orders.y - 14} ${(orders.right + users.left) / 2} ${users.y} ${users.left - 3} ${users.y}`],
    [bad("products"), `M${orders.right} ${orders.y + 14}C${(orders.right + users.left) / 2} ${orders.y + 14} ${(orders.right + users.left) / 2} ${products.y} ${products.left - 3} ${products.y}`],
  ] : [];
  const text = JSON.stringify(paths);
  if (text === drawn) return;
  drawn = text;
  by("arrows").replaceChildren(...paths.map(([style, d]) => drawing("path", {class: style, d, "marker-end": "url(#tip)"})));
}

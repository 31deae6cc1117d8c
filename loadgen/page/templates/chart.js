// Line charts over time as SVG, as loadgen/report/charts.py draws them for the HTML report.
import {count, drawing, element} from "./dom.js";

const WIDTH = 1000, HEIGHT = 200, LEAST_MARK = 2;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
const MOST_TIMES = 6;

export function linear(values) {
  const largest = Math.max(0, ...values) || 1;
  const rough = largest / 4, size = 10 ** Math.floor(Math.log10(rough));
  const step = size * [1, 2, 2.5, 5, 10].find((factor) => size * factor >= rough);
  const steps = Math.ceil(largest / step - 1e-9);
  return {
    ticks: Array.from({length: steps + 1}, (_, place) => step * place),
    share: (value) => Math.min(value / (step * steps), 1),
  };
}

export function logarithmic(values) {
  const known = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(known.length ? Math.min(...known) : 1));
  const high = Math.max(Math.ceil(Math.log10(known.length ? Math.max(...known) : 10)), low + 1);
  return {
    ticks: Array.from({length: high - low + 1}, (_, place) => 10 ** (low + place)),
    share: (value) => Math.min(Math.max((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low), 0), 1),
  };
}

// Rates of slices `width` seconds long. The last one is shorter; below half a slice it is not drawn.
export function perSecond(counts, width, seconds) {
  return counts.map((each, place) => {
    const length = Math.min(width, seconds - place * width);
    return length >= width / 2 || counts.length === 1 ? each / Math.max(length, 0.001) : null;
  });
}

function path(values, axis, width, seconds) {
  let words = "", dots = "", pen = false;
  values.forEach((value, place) => {
    if (value == null) { pen = false; return; }
    const middle = (place * width + Math.min((place + 1) * width, Math.max(seconds, place * width))) / 2;
    const alone = !pen && values[place + 1] == null;
    const point = `${(middle / seconds * WIDTH).toFixed(1)} ${((1 - axis.share(value)) * HEIGHT).toFixed(1)}`;
    if (alone) dots += `M${point}h0`;
    else words += `${pen ? "L" : "M"}${point}`;
    pen = !alone;
  });
  return [words, dots];
}

export function clock(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const pad = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${pad(minutes % 60)}:${pad(seconds % 60)}` : `${minutes}:${pad(seconds % 60)}`;
}

function faults(marks, seconds) {
  return marks.map(({text, begin, end}) => {
    const left = Math.min(begin / seconds, 1) * WIDTH;
    const width = Math.max(Math.min(end / seconds, 1) * WIDTH - left, LEAST_MARK);
    const attributes = {class: end > begin ? "outage" : "restart", x: Math.min(left, WIDTH - LEAST_MARK).toFixed(1), y: 0, width: width.toFixed(1), height: HEIGHT};
    return drawing("rect", attributes, drawing("title", {}, text));
  });
}

// series: [{name, style, values}], a value for each slice of `width` seconds; marks: [{text, begin, end}].
export function chart({title, series, log = false, width, seconds, marks = []}) {
  const whole = Math.max(seconds, 1);
  const known = series.flatMap((each) => each.values).filter((value) => value != null);
  const axis = (log ? logarithmic : linear)(known);
  const latest = series.map(({name, values}) => {
    const last = values.findLast((value) => value != null);
    return `${name} ${last == null ? "–" : count(last, last < 10 ? 1 : 0)}`;
  });
  const step = STEPS_S.find((each) => whole / each <= MOST_TIMES) ?? Math.ceil(whole / MOST_TIMES);
  const times = Array.from({length: Math.floor(whole / step) + 1}, (_, place) => place * step);
  const grid = axis.ticks.map((tick) => drawing("path", {class: "grid", d: `M0 ${((1 - axis.share(tick)) * HEIGHT).toFixed(1)}H${WIDTH}`}));
  const lines = series.flatMap(({style, values}) => {
    const [line, dots] = path(values, axis, width, whole);
    return [drawing("path", {class: `line ${style}`, d: line}), drawing("path", {class: `line dot ${style}`, d: dots})];
  });
  const label = `${title}, latest: ${latest.join(", ")}${marks.length ? `. ${marks.map(({text}) => text).join(". ")}` : ""}`;
  const image = drawing("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label},
                        ...grid, ...faults(marks, whole), ...lines);
  const legend = series.map(({name, style}) => element("span", name, {class: `key ${style}`}));
  const plot = element("div", [image], {class: "plot"});
  for (const tick of axis.ticks) {
    const span = element("span", count(tick, 3), {class: "y"});
    span.style.bottom = `${axis.share(tick) * 100}%`;
    plot.append(span);
  }
  for (const tick of times) {
    const span = element("span", clock(tick), {class: "x"});
    span.style.left = `${tick / whole * 100}%`;
    plot.append(span);
  }
  return element("figure", [element("figcaption", [element("b", title), ...legend]), plot]);
}

export function marksOf({outages = [], restarts = []}) {
  return [
    ...outages.map((each) => ({
      text: `${each.service} served no write from ${each.from.toFixed(1)} s to ${each.to.toFixed(1)} s: ${each.why}`, begin: each.from, end: each.to,
    })),
    ...restarts.map((each) => ({text: `${each.service} restarted, noticed at ${each.at.toFixed(1)} s`, begin: each.at, end: each.at})),
  ];
}

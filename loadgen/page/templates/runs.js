// All runs whose reports are kept, and two of them beside each other.
import {by, count, element, figure, fill, table, time} from "./dom.js";
import {chart, perSecond} from "./chart.js";
import {WORDS, links} from "./run.js";

let version = null, all = [], chosen = [];

export async function drawRuns(now) {
  if (now === version) return;
  const answer = await fetch("runs", {cache: "no-store"});
  if (!answer.ok) return;
  all = await answer.json();
  version = now;
  chosen = chosen.filter((run) => all.some((each) => each.run === run));
  list();
}

function list() {
  by("runs-count").textContent = all.length ? `${count(all.length)} in the directory of reports; choose two to compare them` : "";
  fill(by("list"), all, () => {
    if (!all.length) return element("p", "No run has left a report yet.", {class: "empty"});
    const rows = all.map((each) => {
      const [style, word] = WORDS[each.verdict] ?? WORDS[2];
      const box = element("input", "", {type: "checkbox", "aria-label": `Compare run ${each.run}`, value: each.run});
      box.checked = chosen.includes(each.run);
      box.addEventListener("change", () => choose(each.run, box.checked));
      return {cells: [
        [box, " ", each.run, ...each.title ? [element("small", each.title)] : []], time(each.started_at), element("span", word, {class: `tag ${style}`}),
        `${each.scenario ?? "–"}, ${count(each.users)} users${each.rate ? `, ${count(each.rate, 1)}/s` : ""}`,
        count(each.writes), `${count(each.seconds, 1)} s`, count(each.writes_per_second), count(each.requests_per_second),
        links(each.run, each.files).flatMap((link) => [link, " "]),
      ]};
    });
    return table(["run", "began", "verdict", "load", "writes", "time", "writes/s", "requests/s", "files"], rows, {text: 3});
  });
}

async function choose(run, wanted) {
  chosen = wanted ? [...chosen.filter((each) => each !== run), run].slice(-2) : chosen.filter((each) => each !== run);
  for (const box of by("list").querySelectorAll("input")) box.checked = chosen.includes(box.value);
  by("compare").hidden = chosen.length < 2;
  if (chosen.length < 2) return;
  const wish = [...chosen];
  const reports = await Promise.all(wish.map(async (each) => {
    const answer = await fetch(`audit/${each}/report`, {cache: "no-store"});
    return answer.ok ? answer.json() : null;
  }));
  if (wish.join() !== chosen.join() || reports.includes(null)) return;
  by("pair").replaceChildren(...compare(reports));
  by("compare").scrollIntoView({block: "nearest"});
}

// What is compared: a name, its value in a report, and true where more is better (false: less; null: neither).
function measures(reports) {
  const of = (report, name) => Object.values(report.services).reduce((sum, each) => sum + (each[name] ?? 0), 0);
  const actions = [...new Set(reports.flatMap((report) => report.latencies_ms.map(({action, method}) => `${method} ${action}`)))].sort();
  const latency = (report, name, which) => report.latencies_ms.find(({action, method}) => `${method} ${action}` === name)?.[which];
  const processes = [...new Set(reports.flatMap((report) => (report.costs ?? []).map(({process}) => process)))];
  const cost = (report, name, which) => (report.costs ?? []).find(({process}) => process === name)?.[which];
  return [
    ["writes of the load", (report) => report.load.writes, null],
    ["seconds", (report) => report.load.seconds, null],
    ["writes/s", (report) => report.load.writes_per_second, true],
    ["requests/s", (report) => report.load.requests_per_second, true],
    ["acknowledged", (report) => of(report, "acknowledged"), null],
    ["refused", (report) => of(report, "refused") + of(report, "maybe"), null],
    ["unknown", (report) => of(report, "unknown"), false],
    ["outages", (report) => report.outages?.length, false],
    ["restarts", (report) => report.restarts?.length, false],
    ...actions.flatMap((name) => ["p50", "p99"].map((which) => [`${name}, ${which} in ms`, (report) => latency(report, name, which), false])),
    ...processes.map((name) => [`${name}, CPU µs a request`, (report) => cost(report, name, "cpu_us_per_request"), false]),
    ...processes.map((name) => [`${name}, peak MB`, (report) => cost(report, name, "rss_mb"), false]),
  ];
}

function compare(reports) {
  const rows = measures(reports).map(([name, value, more]) => {
    const [before, after] = reports.map(value);
    const both = typeof before === "number" && typeof after === "number" && before;
    const change = both ? (after - before) / before : null;
    const better = more === null || !change || Math.abs(change) < 0.05 ? "" : (change > 0) === more ? "good" : "bad";
    const said = change === null ? "" : element("span", `${change > 0 ? "+" : ""}${count(change * 100)} %`, {class: `tag ${better}`});
    return {cells: [name, ...[before, after].map((each) => count(each, Math.abs(each) < 100 ? 1 : 0)), said]};
  });
  const verdicts = reports.map((report) => {
    const [style, word] = WORDS[report.verdict] ?? WORDS[2];
    return element("span", word, {class: `tag ${style}`});
  });
  const settings = (name) => reports.map((report) => String(report.settings?.[name] ?? "–"));
  const heads = [
    {cells: ["verdict", ...verdicts, ""]}, {cells: ["scenario", ...settings("scenario"), ""]}, {cells: ["virtual users", ...settings("users"), ""]},
    {cells: ["rate", ...reports.map((report) => report.load.rate ? `${count(report.load.rate, 1)}/s` : "closed load"), ""]},
  ];
  const names = reports.map((report) => `${report.run}, ${time(report.started_at)}`);
  return [...together(reports), table(["measure", ...names, "change"], [...heads, ...rows])];
}

function together(reports) {
  if (!reports.every((report) => report.timeline?.requests.length)) return [];
  const width = Math.max(...reports.map((report) => report.timeline.slice_seconds));
  if (reports.some((report) => report.timeline.slice_seconds !== width)) return [];
  const seconds = Math.max(...reports.map((report) => report.load.seconds));
  const series = (values) => reports.map((report, place) => ({name: report.run, style: place ? "p99 second" : "p50", values: values(report)}));
  return [
    chart({title: "Acknowledged writes, per second", width, seconds, series: series((report) => perSecond(report.timeline.writes, width, report.load.seconds))}),
    chart({title: "p99 of all requests in ms (log scale)", log: true, width, seconds, series: series((report) => report.timeline.p99)}),
  ];
}

// The current run, or the last one: its verdict, its charts, its invariants and its writes.
import {by, count, duration, element, fill, figure, say, table, time} from "./dom.js";
import {chart, marksOf, perSecond} from "./chart.js";

export const WORDS = {0: ["good", "✓ PASS"], 1: ["bad", "✗ FAIL"], 2: ["open", "? NO VERDICT"]};
const KINDS = {html: "report", report: "report as JSON", ledger: "ledger"};
const PHASES = {
  sample: "Inserting the sample data", load: "The load is running", settle: "Asking again for what has no answer",
  audit: "Reading everything back, and judging",
};
const NEXT = "Afterwards everything is read back, and each acknowledged write must be there exactly once.";
const AGAIN = 10;  // slices that are asked for again: workers report late
const explained = JSON.parse(by("explained").textContent);
const causes = Object.fromEntries(explained.map(({name, cause}) => [name, cause]));

export const links = (run, files) => ["html", "report", "ledger"].filter((kind) => files.includes(kind)).map((kind) =>
  element("a", KINDS[kind] ?? kind, {href: `audit/${run}/${kind}`, ...(kind === "html" ? {target: "_blank", rel: "noopener"} : {download: ""})}));

export function loadOf({scenario, users, rate, writes, run_time}) {
  return [
    scenario, `${count(users)} users`, rate ? `open load of ${count(rate, 1)}/s` : "closed load",
    ...(writes ? [`${count(writes)} writes`] : []), ...(run_time ? [duration(run_time)] : []),
  ].filter(Boolean).join(" · ");
}

function sums(run) {
  const all = Object.values(run.report?.services ?? run.services);
  const sum = (name) => all.reduce((total, each) => total + (each[name] ?? 0), 0);
  return {attempted: sum("attempted"), acknowledged: sum("acknowledged"), refused: sum("refused") + sum("maybe"),
          in_flight: sum("in_flight"), unknown: sum("unknown")};
}

export function drawRun(run) {
  verdict(run);
  invariants(run);
  writes(run);
}

function verdict(run) {
  let style = "open", word = "No run yet", summary = "Start one: it makes writes, reads everything back, and proves that nothing was lost.";
  let about = "", files = [];
  if (run) {
    const counted = sums(run);
    about = `Run ${run.run} · ${loadOf(run.settings)} · ${time(run.started_at)}`;
    files = run.files;
    const judged = run.report?.invariants ?? [];
    const holding = judged.filter((each) => each.count === 0).length;
    if (run.phase === "done") {
      [style, word] = WORDS[run.verdict] ?? WORDS[2];
      summary = run.report ? run.report.summary.replace(/^(PASS|FAIL|NO VERDICT): /, "") : "The audit itself failed.";
      summary = summary.charAt(0).toUpperCase() + summary.slice(1);
      if (judged.length && run.verdict !== 2) summary += ` ${count(holding)} of ${count(judged.length)} invariants hold.`;
    } else {
      style = "going";
      word = PHASES[run.phase];
      const of = run.writes.of ? ` of ${count(run.writes.of)}` : "";
      const open = [counted.in_flight && `${count(counted.in_flight)} in flight`, counted.unknown && `${count(counted.unknown)} without an answer yet`];
      summary = [`${count(run.writes.attempted)}${of} writes of the load`, `${count(counted.acknowledged)} acknowledged`,
                 `${count(counted.refused)} refused`, ...open.filter(Boolean)].join(" · ") + `. ${run.phase === "audit" ? "" : NEXT}`;
      if (run.phase === "audit" && run.audit) {
        const {step, done, of: whole} = run.audit;
        summary += ` Now: ${step}, ${count(done)}${whole === null ? "" : ` of ${count(whole)}`}.`;
      }
      files = [];
    }
  }
  by("verdict").className = `verdict ${style}`;
  say(by("word"), word);
  const {title, question} = run?.settings ?? {};
  by("question").hidden = !title && !question;
  fill(by("question"), [title, question], () => [title ? element("b", title) : "", title && question ? ": " : "", question ?? ""]);
  say(by("summary"), summary);
  say(by("about"), about);
  fill(by("files"), [run?.run, files], () => links(run?.run, files));
  const going = !!run && run.phase !== "done";
  by("doing").hidden = !going;
  if (!going) return;
  const progress = by("progress");
  if (run.share === null) progress.removeAttribute("value");
  else progress.value = run.share;
  say(by("left"), run.seconds_left !== null ? `about ${duration(run.seconds_left)} left`
    : run.phase === "load" ? `for ${duration(run.load_seconds)}, until it is stopped` : "a moment");
}

function invariants(run) {
  const judged = run?.invariants ?? explained.map(({name, meaning}) => ({name, meaning, count: null, examples: []}));
  const decided = run?.verdict === 0 || run?.verdict === 1;
  fill(by("must"), [judged, decided], () => judged.map(({name, meaning, count: found, examples}) => {
    const [style, sign, words] = found ? ["bad", "✗", "violated"] : found === 0 && decided ? ["good", "✓", "holds"] : ["", "·", "not judged"];
    const item = element("li", [
      element("span", sign, {class: "sign", role: "img", "aria-label": words}), element("b", name), element("span", found === null ? "–" : count(found), {class: "count"}),
    ], {class: style});
    if (meaning) item.append(element("small", `It would mean: ${meaning}.`));
    if (causes[name]) item.append(element("small", causes[name]));
    if (found) item.append(element("small", `For example: ${examples.join("; ")}`));
    return item;
  }));
}

function writes(run) {
  const counted = run ? run.report?.services ?? run.services : {};
  const columns = ["attempted", "acknowledged", "refused", ...(run?.report ? [] : ["in_flight"]), "unknown"];
  const value = (each, column) => each[column] + (column === "refused" ? each.maybe ?? 0 : 0);
  fill(by("counts"), [counted, columns], () => {
    if (!run) return element("p", "No write yet.", {class: "empty"});
    const rows = columns.map((column) => {
      const each = Object.values(counted).map((service) => value(service, column));
      const all = each.reduce((sum, number) => sum + number, 0);
      return {cells: [column.replace("_", " "), ...each.map((number) => count(number)), element("b", count(all))]};
    });
    return table(["writes", ...Object.keys(counted), "all"], rows);
  });
  const notes = run ? notesOf(run) : [];
  fill(by("notes"), [notes, run?.workers], () => [...notes.map((text) => element("p", text, {class: "soft"})), ...workers(run)]);
}

function notesOf(run) {
  const {report, flaws, failures} = run;
  const said = [];
  if (report) {
    const {writes: made, seconds, writes_per_second, requests_per_second} = report.load;
    said.push(`Load: ${count(made)} writes in ${count(seconds, 1)} s, ${count(writes_per_second)} writes/s, ${count(requests_per_second)} requests/s. ` +
              `${count(report.sample_writes)} more writes are sample data.`);
    for (const each of report.refusals) said.push(`Refused by ${each.service}: ${count(each.writes)} (${each.problem}).`);
    for (const [problem, requests] of Object.entries(report.not_judged)) {
      said.push(`Not judged, because they were answered before the data was looked at: ${count(requests)} requests (${problem}).`);
    }
    const {products, supplied, sold, left} = report.stock ?? {};
    if (products) {
      said.push(`Limited products: ${count(products)}. Units: ${count(supplied)} supplied, ${count(sold)} sold, ${count(left)} left.`);
    }
    for (const [name, rows] of Object.entries(report.rows_of_others)) said.push(`Rows of other clients, not judged: ${count(rows)} ${name}.`);
  }
  for (const {what, times} of failures) said.push(`Failed requests: ${count(times)} (${what}).`);
  if (!(report && report.verdict === 2)) for (const flaw of flaws) said.push(`Why there can be no pass: ${flaw}.`);
  return said;
}

function workers(run) {
  if (!run?.workers?.length) return [];
  const rows = run.workers.map((each) => {
    const {attempted, of} = each.writes;
    const word = each.verdict === null ? PHASES[each.phase] ?? each.phase : each.summary || WORDS[each.verdict][1];
    return {cells: [each.worker, [word], `${count(attempted)}${of === null ? "" : ` of ${count(of)}`}`,
                    each.files.length ? links(each.run, each.files).flatMap((link) => [link, " "]) : "–"], style: each.verdict === 1 ? "bad" : ""};
  });
  return [element("div", table(["worker", "state", "writes", "files"], rows, {text: 1}), {class: "wide", tabindex: 0, role: "region", "aria-label": "Workers"})];
}

// The figures of each second of one run, completed with each answer.
let known = null;

export async function drawCharts(run) {
  if (!run) {
    fill(by("charts"), null, () => element("p", "The charts begin with the first second of a run.", {class: "empty"}));
    return;
  }
  if (known?.run !== run.run) known = null;
  if (known?.final) return;
  if (known && run.phase !== "load" && run.phase !== "sample" && run.phase !== "done") return;
  const since = known ? Math.max(0, known.requests.length - AGAIN) : 0;
  let news = await ask(run.run, since);
  if (news && since && news.slice_seconds !== known.slice_seconds) news = await ask(run.run, 0);
  if (!news) return;
  const merged = {...news};
  if (news.since) {
    for (const name of ["requests", "writes", "refused", "failed", "p50", "p95", "p99", "max"]) {
      merged[name] = [...known[name].slice(0, news.since), ...news[name]];
    }
  }
  known = {...merged, final: run.phase === "done"};
  const charts = chartsOf(known, known.seconds);
  by("charts").replaceChildren(...charts.length ? charts : [element("p", "No request has ended yet.", {class: "empty"})]);
}

async function ask(run, since) {
  const answer = await fetch(`timeline?run=${run}&since=${since}`, {cache: "no-store"});
  return answer.ok ? answer.json() : null;
}

export function chartsOf(timeline, seconds) {
  const width = timeline.slice_seconds, marks = marksOf(timeline);
  if (!timeline.requests.length) return [];
  const rates = (name) => perSecond(timeline[name], width, seconds);
  const common = {width, seconds, marks};
  const charts = [
    chart({...common, title: "Throughput, per second", series: [
      {name: "requests", style: "requests", values: rates("requests")}, {name: "acknowledged writes", style: "writes", values: rates("writes")}]}),
    chart({...common, title: "Response times in ms (log scale)", log: true,
           series: ["p50", "p95", "p99", "max"].map((name) => ({name, style: name, values: timeline[name]}))}),
    chart({...common, title: "Refused and failed, per second", series: [
      {name: "refused", style: "refused", values: rates("refused")}, {name: "without an answer", style: "failed", values: rates("failed")}]}),
  ];
  const said = marks.slice(-5).map(({text}) => element("p", text, {class: "soft"}));
  return [...charts, ...said];
}

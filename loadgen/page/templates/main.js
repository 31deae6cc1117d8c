// Asks for the state, once a second, and lets the other modules draw it. Starts and stops runs.
import {by, say} from "./dom.js";
import {drawCharts, drawRun} from "./run.js";
import {drawRuns} from "./runs.js";
import {drawSystem} from "./system.js";
import {drawTraces} from "./traces.js";

const AGAIN_MS = 1000;  // after a failure
const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
const form = by("form");
let seen = -1, state = null;

async function poll() {
  const answer = await fetch(`state?seen=${seen}`, {cache: "no-store", signal: AbortSignal.timeout(8000)});
  if (!answer.ok) throw new Error(await answer.text());
  state = await answer.json();
  seen = state.tick;
  draw();
  await drawCharts(state.run);
  await drawRuns(state.runs);
  await drawTraces(state.run);
}

function draw() {
  for (const field of form.elements) if (field.name) field.disabled = state.busy;
  by("start").disabled = state.busy;
  by("stop").disabled = !state.busy || !["sample", "load"].includes(state.run?.phase);
  document.title = state.run ? `${by("word").textContent} · Threefold` : "Threefold";
  drawRun(state.run);
  drawSystem(state.system, state.run);
}

async function send(path, body) {
  say(by("refused"), "");
  try {
    const answer = await fetch(path, {method: "POST", body});
    const said = await answer.json();
    if (!answer.ok) say(by("refused"), said.error);
  } catch {
    say(by("refused"), "The load generator did not answer.");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  by("start").disabled = true;
  send("start", new URLSearchParams(new FormData(form))).finally(() => { by("start").disabled = state?.busy ?? false; });
});

by("stop").addEventListener("click", () => {
  by("stop").disabled = true;
  send("stop");
});

for (const button of document.querySelectorAll("#breaking button")) {
  button.addEventListener("click", async () => {
    const {service, fault} = button.dataset;
    try {
      const answer = await fetch("break", {method: "POST", body: new URLSearchParams({service, fault})});
      const said = await answer.json();
      say(by("struck"), said.done ?? said.error);
    } catch {
      say(by("struck"), "The load generator did not answer.");
    }
  });
}

addEventListener("resize", () => { if (state) drawSystem(state.system, state.run); });

for (;;) {
  try {
    if (document.hidden) {
      await new Promise((done) => { document.addEventListener("visibilitychange", done, {once: true}); });
    }
    await poll();
    by("gone").hidden = true;
  } catch {
    by("gone").hidden = false;
    await pause(AGAIN_MS);
  }
}

// The screen: one state from the station, four views of it.

import { Capture } from "./capture.js";
import { h, icon, write } from "./dom.js";
import { Keyboard } from "./keyboard.js";
import { Notices } from "./notices.js";
import { Strip } from "./strip.js";
import { Today, examLine } from "./today.js";
import { Unscheduled } from "./unscheduled.js";
import { Wire } from "./wire.js";
import { Worklist } from "./worklist.js";

const root = document.getElementById("view");
const notices = new Notices(document.getElementById("notices"));
const strip = new Strip(document.getElementById("strip"));
const keyboard = new Keyboard(document.body);

const SILENCE = "The station does not answer.";
const LAST = 600000; // ms for which a delivered exam stays on the worklist

let state = null;
let received = 0;
let tab = "worklist";
let touched = false;

const worklist = new Worklist({ notices, keyboard, onUnscheduled: () => go("unscheduled") });
const today = new Today({ notices });
const unscheduled = new Unscheduled({ notices, keyboard, onBack: () => go("worklist") });
const capture = new Capture({ notices });
const views = { worklist, today, unscheduled, capture };

const tabs = {};
for (const [name, symbol, words] of [["worklist", "list", "Worklist"], ["today", "clock", "Today"]]) {
  const number = h("span.number");
  tabs[name] = { number, button: h("button.tab", { testid: `tab-${name}`, role: "tab", on: { click: () => go(name) } }, icon(symbol), h("span", {}, words), number) };
}
const top = h("header.top", {}, h("div.tabs", { role: "tablist" }, tabs.worklist.button, tabs.today.button), worklist.tools);
const waiting = h("div.empty", { testid: "waiting" }, icon("plug"), h("strong", {}, "Waiting for the station…"));
root.append(top, waiting, ...Object.values(views).map((view) => view.element));

function go(name) {
  tab = name;
  keyboard.hide();
  notices.clear();
  render();
  if (name === "unscheduled") unscheduled.open(touched);
}

function render() {
  waiting.hidden = state !== null;
  const shown = state === null ? "none" : state.exam ? "capture" : tab;
  top.hidden = shown !== "worklist" && shown !== "today";
  worklist.tools.hidden = shown !== "worklist";
  for (const [name, view] of Object.entries(views)) view.element.hidden = name !== shown;
  for (const [name, { button }] of Object.entries(tabs)) button.setAttribute("aria-selected", String(name === shown));
  if (document.body.dataset.view !== shown) {
    document.body.dataset.view = shown;
    worklist.shown = false;
    if (shown === "capture") {
      keyboard.hide();
      notices.clear();
      document.activeElement?.blur();
      capture.open();
    } else capture.close();
  }
  if (state === null) return;
  views[shown].update?.(state, received);
  strip.update(state);
  write(tabs.worklist.number, String(state.worklist.orders.length));
  write(tabs.today.number, String(state.exams.length));
  renderLast();
}

// The last exam stays in sight on the worklist until some minutes after its line says "stored, committed"
let lastSignature = "";
function renderLast() {
  const newest = tab === "worklist" && !state.exam ? state.exams[0] : undefined;
  const last = newest && !(newest.done && Date.now() - Date.parse(newest.ended) > LAST) ? newest : undefined;
  const signature = JSON.stringify(last ?? null);
  if (signature === lastSignature) return;
  lastSignature = signature;
  const shown = worklist.last.firstElementChild;
  const line = last && examLine(last, shown);
  if (line !== shown) worklist.last.replaceChildren(...(line ? [line] : []));
}

render(); // nothing is shown that the station has not told

new Wire({
  onState(news) {
    const ended = state?.exam && !news.exam;
    state = news;
    received = performance.now();
    if (ended || news.exam) tab = "worklist";
    render();
  },
  onTrouble: (error) => notices.trouble(error),
  onSilence(silent) {
    strip.setSilent(silent);
    capture.setSilent(silent);
    if (silent && !state?.exam) notices.trouble({ what: SILENCE, advice: "What was kept is safe. The screen tries again by itself." });
    if (!silent) notices.clear(SILENCE);
  },
});

setInterval(() => {
  if (!state || state.exam || tab !== "worklist") return;
  worklist.tick(state, received);
  renderLast();
}, 1000);

// A click belongs to what the finger landed on. If that has gone meanwhile (a keyboard, a sheet, another list), the
// click would fall through to whatever lies beneath: perhaps another patient.
let landed = null;
addEventListener("pointerdown", (event) => {
  touched = event.pointerType !== "mouse";
  landed = event.target.closest("button") ?? event.target;
}, true);
addEventListener("click", (event) => {
  const meant = event.target.closest("button") ?? event.target;
  if (event.detail === 0 || meant === landed || meant.contains(landed)) return;
  event.stopPropagation();
  event.preventDefault();
}, true);
// a button that was tapped must not keep the focus: the foot pedal's Space would press it again
addEventListener("mousedown", (event) => event.target.closest("button") && event.preventDefault(), true);
addEventListener("contextmenu", (event) => event.preventDefault());
addEventListener("keydown", (event) => {
  if (event.target.matches("input")) return;
  if (state?.exam) capture.onKey(event);
  else if (state && tab === "worklist" && event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.altKey && !event.metaKey) worklist.search.focus();
});

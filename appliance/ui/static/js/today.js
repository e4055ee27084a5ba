// What was done and how far it got: one line per exam, and the peers in full words.

import { h, icon } from "./dom.js";
import { factsOf, nameOf } from "./person.js";
import { capital, clock, space } from "./words.js";
import { peerChip } from "./strip.js";
import { post } from "./wire.js";

// One ended exam; its line turns to "stored, committed" with a tick. Draws into `old` if that is the same exam's.
export function examLine(exam, old) {
  const [symbol, mood] = exam.trouble ? ["warning", "bad"] : exam.done ? ["check", "good"] : ["out", "busy"];
  const abandoned = exam.state === "DISCONTINUED" ? "Abandoned: " : "";
  const testid = `exam-line-${exam.id}`;
  const line = old?.dataset.testid === testid ? old : h("div.exam-line", { testid, role: "listitem" });
  Object.assign(line.dataset, { mood, done: String(exam.done) });
  line.replaceChildren(
    h("span.when", {}, clock(exam.ended)),
    h("span.who", {}, nameOf(exam.patient), factsOf(exam.patient, exam.accession), exam.description ? h("span.facts", {}, exam.description) : null),
    h("span.fate", {}, icon(symbol), h("span.words", {}, abandoned + exam.line, exam.trouble ? h("small", {}, exam.trouble) : "")),
  );
  return line;
}

export class Today {
  constructor({ notices }) {
    this.notices = notices;
    this.lines = h("div.lines", { role: "list", testid: "exam-lines" });
    this.side = h("aside.side");
    this.element = h("section.today", { testid: "view-today" }, h("div.scroll", {}, this.lines), this.side);
  }

  update(state) {
    const signature = JSON.stringify([state.exams, state.owed, state.peers, Math.round(state.disk.free_mb / 10), state.disk.ok, state.station]);
    if (signature === this.signature) return;
    this.signature = signature;
    this.lines.replaceChildren(...state.exams.map((exam) => examLine(exam)));
    if (!state.exams.length) this.lines.append(h("div.empty", {}, icon("clock"), h("strong", {}, "No exam has ended today.")));
    const { owed, disk, station } = state;
    const retry = h("button.quiet", { testid: "retry", on: { click: () => this.retry() } }, icon("refresh"), h("span", {}, `Try ${owed.refused} again`));
    this.side.replaceChildren(
      h("h2", {}, "Still owed"),
      h("p", {}, capital(owed.words)),
      owed.refused ? retry : "",
      h("h2", {}, "Peers"),
      ...state.peers.map((peer) => h("p.peer-line", {}, peerChip(peer, true), h("small", {}, `${peer.address} · ${peer.roles.join(", ")}`), h("small", {}, peer.words))),
      h("h2", {}, "This station"),
      h("p", {}, `${station.name} (${station.ae_title}), ${station.modality}`, h("small", {}, station.source), h("small", {}, `${space(disk.free_mb)} free; ${space(disk.reserve_mb)} stay reserved`)),
    );
  }

  async retry() {
    try {
      const { count } = await post("retry", { ids: [] });
      this.notices.good(`${count} will be tried again.`);
    } catch (error) {
      this.notices.trouble(error);
    }
  }
}

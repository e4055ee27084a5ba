// Which part of the body the exam shows: a chip in the patient's banner, and a sheet to choose from.

import { h, icon, write } from "./dom.js";

const LONG = 26; // letters beyond which the chip's words are set smaller, so that they are never cut

export class Region {
  constructor({ onOpen, onChoose }) {
    this.onOpen = onOpen;
    this.onChoose = onChoose;
    this.words = h("span");
    this.chip = h("button.region", { testid: "region", "aria-haspopup": "dialog", on: { click: () => this.toggle() } }, this.words);
    this.grid = h("div.reason-grid");
    const back = h("button.quiet", { testid: "region-back", on: { click: () => this.close() } }, icon("back"), h("span", {}, "Go on with the exam"));
    const title = "Which part of the body?";
    this.element = h("div.reasons.regions", { testid: "regions", role: "dialog", label: title, hidden: true }, h("div.reasons-head", {}, h("h2", {}, title), back), this.grid);
  }

  update(exam) {
    if (this.exam?.id !== exam.id) this.clear();
    this.exam = exam;
    if (exam.region?.value === this.wanted?.value) this.wanted = null;
    const signature = JSON.stringify(exam.regions);
    if (signature !== this.signature) {
      this.signature = signature;
      this.grid.replaceChildren(...exam.regions.map((one) => h("button.reason", { testid: `region-${one.value}`, on: { click: () => this.choose(one) } }, h("span", {}, one.meaning))));
    }
    this.draw();
  }

  // What the person wants counts until the station has answered
  draw() {
    const region = this.wanted ?? this.exam.region;
    const asking = !region && this.exam.needs_region;
    const words = region ? `Region: ${region.meaning}` : asking ? "Choose region" : "Region: not said";
    write(this.words, words);
    this.chip.classList.toggle("asking", asking);
    this.chip.classList.toggle("long", words.length > LONG);
    for (const one of this.grid.children) one.setAttribute("aria-pressed", String(one.dataset.testid === `region-${region?.value}`));
  }

  async choose(region) {
    this.close();
    this.wanted = region;
    this.draw();
    if (await this.onChoose(region.value)) return;
    if (this.wanted === region) this.wanted = null;
    this.draw();
  }

  toggle() {
    if (!this.element.hidden) return this.close();
    this.onOpen();
    this.element.hidden = false;
    this.grid.scrollTop = 0;
  }

  close() {
    this.element.hidden = true;
  }

  clear() {
    this.close();
    this.wanted = null;
  }
}

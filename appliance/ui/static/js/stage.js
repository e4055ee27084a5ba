// The stage: the live picture, or a kept one while somebody looks at it; and in words why there is none.

import { h, icon, setIcon, show, write } from "./dom.js";
import { Live } from "./live.js";
import { thumbnailOf } from "./gallery.js";
import { duration } from "./words.js";

// what to say when the picture is not live: icon, title, what to do
const STATES = {
  "no signal": ["warning", "No signal", "Is the processor switched on? Is its cable plugged in at both ends?"],
  lost: ["plug", "The camera is gone", "What was captured so far is kept. Plug it in again: the picture comes back by itself."],
  ended: ["pause", "The source has come to its end", "What was captured is kept. Finish the exam, or start the source again."],
  frozen: ["pause", "The picture does not move", "Is it frozen at the processor? If not, check the cable."],
};
const SILENT = ["silent", "The station does not answer", "This is no live picture. What was kept is safe; the screen tries again by itself."];

export class Stage {
  constructor({ onDelete }) {
    this.canvas = h("canvas", { testid: "live", width: "16", height: "9" });
    this.live = new Live(this.canvas);
    this.image = h("img.review", { alt: "The chosen picture", hidden: true, draggable: "false" });
    this.mark = h("span");
    this.title = h("strong");
    this.words = h("span");
    this.advice = h("span");
    this.message = h("div.message", { testid: "picture-words", role: "status", hidden: true }, this.mark, this.title, this.words, this.advice);
    this.recording = h("div.rec", { testid: "rec", hidden: true }, icon("dot"), h("span", {}, "REC"), (this.time = h("span", { testid: "rec-time" })));
    this.busy = h("div.busy", { testid: "busy", hidden: true });
    this.flashing = h("div.flash");
    this.about = h("span.about");
    this.flaws = h("span.flaws");
    this.remove = h("button.danger", { on: { click: () => onDelete(this.reviewed) } }, icon("bin"), h("span", {}, "Delete"));
    const back = h("button.quiet", { testid: "back-live", on: { click: () => this.review(null) } }, icon("back"), h("span", {}, "Live"));
    this.tools = h("div.review-tools", { hidden: true }, back, h("div.about-words", {}, this.about, this.flaws), this.remove);
    this.element = h("div.stage", { testid: "stage" }, this.canvas, this.image, this.recording, this.busy, this.message, this.flashing, this.tools);
    this.reviewed = null;
    this.silent = false;
  }

  update(picture, busy) {
    this.picture = picture;
    const [symbol, title, advice] = this.silent ? SILENT : (STATES[picture.state] ?? []);
    this.element.dataset.state = this.silent ? "silent" : picture.state;
    show(this.message, Boolean(title));
    if (title) {
      setIcon(this.mark, symbol);
      write(this.title, title);
      write(this.words, this.silent || picture.words.toLowerCase() === title.toLowerCase() ? "" : picture.words);
      write(this.advice, advice);
    }
    write(this.busy, busy.join(" · "));
    show(this.busy, busy.length > 0);
  }

  setSilent(silent) {
    this.silent = silent;
    if (this.picture) this.update(this.picture, []);
  }

  tickRecording(seconds) {
    show(this.recording, seconds !== null);
    this.element.classList.toggle("recording", seconds !== null);
    if (seconds !== null) write(this.time, duration(seconds));
  }

  flash() {
    this.flashing.classList.remove("now");
    void this.flashing.offsetWidth; // starts the animation again
    this.flashing.classList.add("now");
  }

  // Shows a kept picture large, the live one small beside it; null: live again
  review(picture) {
    this.reviewed = picture;
    this.element.classList.toggle("reviewing", picture !== null);
    show(this.image, picture !== null);
    show(this.tools, picture !== null);
    if (!picture) return;
    this.image.src = thumbnailOf(picture.id);
    const clip = picture.kind === "clip";
    write(this.about, clip ? `Clip ${picture.number} · ${duration(picture.seconds)} · ${picture.frames} frames` : `Still ${picture.number}`);
    write(this.flaws, picture.flaws.join("; "));
    this.remove.dataset.testid = `delete-${picture.id}`;
    this.remove.setAttribute("aria-label", `Delete ${clip ? "clip" : "still"} ${picture.number}`);
  }
}

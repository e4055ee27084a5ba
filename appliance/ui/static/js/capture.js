// The capture screen: who it is, the live picture, Still, Record, Finish, Abandon.

import { h, icon, onPress, setIcon, write } from "./dom.js";
import { Gallery } from "./gallery.js";
import { dangers, factsOf, nameOf } from "./person.js";
import { Reasons } from "./reasons.js";
import { Region } from "./region.js";
import { Stage } from "./stage.js";
import { count, duration } from "./words.js";
import { post } from "./wire.js";

const BURST = 50; // ms: keys that come faster are a barcode reader's, no pedal's
const LOW = 16; // rem of height
const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
const NOT_KEPT = "The still was NOT kept:";

export class Capture {
  constructor({ notices }) {
    this.notices = notices;
    this.deeds = Promise.resolve(); // record and stop, one after the other
    this.pressing = new Set(); // stills that are not answered yet
    this.stage = new Stage({ onDelete: (picture) => this.delete(picture) });
    this.gallery = new Gallery({ notices, onReview: (picture) => this.stage.review(picture), onChange: () => this.tick() });
    this.banner = h("header.banner", { testid: "banner", label: "Patient" });
    this.taken = h("small", { testid: "count" });
    this.still = h("button.still", { testid: "still", label: "Take a still" }, icon("camera"), h("span", {}, "Still"), this.taken);
    this.recordMark = h("span.holder", {}, icon("dot"));
    this.recordWords = h("span", {}, "Record");
    this.record = h("button.record", { testid: "record", "aria-pressed": "false" }, this.recordMark, this.recordWords);
    this.finish = h("button.go", { testid: "finish", on: { click: () => this.end("finish") } }, icon("check"), h("span", {}, "Finish"));
    this.abandon = h("button.quiet", { testid: "abandon", on: { click: () => this.reasons.open() } }, icon("cross"), h("span", {}, "Abandon"));
    this.reasons = new Reasons((value) => this.end("abandon", { reason: value }));
    this.region = new Region({ onOpen: () => this.reasons.close(), onChoose: (value) => this.setRegion(value) });
    onPress(this.still, () => this.takeStill());
    onPress(this.record, () => this.toggle(), 400);
    this.controls = h("div.controls", {}, this.still, this.record, h("div.ends", {}, this.abandon, this.finish));
    this.element = h("section.capture", { testid: "view-capture" }, this.banner, this.gallery.element, this.stage.element, this.controls, this.reasons.element, this.region.element);
    setInterval(() => this.tick(), 200);
    // a patient with much to say leaves little height: then the buttons stand side by side
    new ResizeObserver(([{ contentRect }]) => this.element.classList.toggle("low", contentRect.height < LOW * rem())).observe(this.stage.element);
  }

  open() {
    this.stage.live.start();
  }

  close() {
    this.stage.live.stop();
    this.stage.review(null);
    this.reasons.close();
    this.region.clear();
    this.gallery.clear();
    this.wanted = null;
    this.exam = null;
    this.setEnding(false);
  }

  update(state, received) {
    const { exam } = state;
    if (this.exam?.id !== exam.id) {
      this.gallery.clear();
      this.stage.review(null);
      this.wanted = null;
    }
    this.exam = exam;
    this.received = received;
    const order = state.worklist.orders.find((one) => one.key === exam.key);
    const place = [exam, order].find((one) => one && dangers({ ...one, patient: exam.patient }).length) ?? exam;
    const signature = JSON.stringify([exam.patient, exam.accession, exam.description, dangers(place)]);
    if (signature !== this.signature) {
      this.signature = signature;
      const warnings = dangers(place).map(([label, words]) => h("span.danger-words", {}, icon("warning"), h("span", {}, h("b", {}, `${label}: `), words)));
      const facts = factsOf(exam.patient, exam.accession);
      if (exam.description) facts.append(h("span.fact.description", {}, exam.description));
      this.banner.replaceChildren(this.region.chip, nameOf(exam.patient), facts, ...(warnings.length ? [h("span.dangers", { testid: "dangers" }, ...warnings)] : []));
    }
    this.gallery.update(exam.pictures);
    this.stage.update(state.picture, exam.busy);
    this.reasons.update(state.reasons);
    this.region.update(exam);
    this.tick();
  }

  // What the person wants counts until the station has answered; then the station's word counts
  get recording() {
    if (this.wanted) return this.wanted.on ? (performance.now() - this.wanted.since) / 1000 : null;
    const running = this.exam?.recording;
    return running ? running.seconds + (performance.now() - this.received) / 1000 : null;
  }

  tick() {
    if (!this.exam) return;
    const seconds = this.recording;
    this.stage.tickRecording(seconds);
    this.record.setAttribute("aria-pressed", String(seconds !== null));
    setIcon(this.recordMark, seconds === null ? "dot" : "stop");
    write(this.recordWords, seconds === null ? "Record" : `Stop ${duration(seconds)}`);
    write(this.taken, count(this.gallery.count, "picture"));
  }

  takeStill() {
    if (this.ending) return;
    this.stage.review(null);
    this.stage.flash();
    const tile = this.gallery.expect("still", this.stage.live.snapshot());
    const deed = post("exam/still")
      .then(({ id }) => {
        tile.kept(id);
        this.notices.clear(NOT_KEPT);
      })
      .catch((error) => {
        tile.failed();
        this.notices.trouble(error, NOT_KEPT);
      })
      .finally(() => this.pressing.delete(deed));
    this.pressing.add(deed);
  }

  toggle() {
    if (this.ending) return;
    this.stage.review(null);
    const wanted = (this.wanted = { on: this.recording === null, since: performance.now() });
    this.tick();
    const tile = wanted.on ? null : this.gallery.expect("clip", this.stage.live.snapshot());
    this.deeds = this.deeds.then(async () => {
      try {
        const { id } = await post(wanted.on ? "exam/record" : "exam/stop");
        tile?.kept(id);
      } catch (error) {
        tile?.failed();
        this.notices.trouble(error, wanted.on ? "Not recording:" : "The clip:");
        if (this.wanted === wanted) this.wanted = null;
        this.tick();
      }
      // by then the station's news has told the same; if it tells otherwise, it is right
      setTimeout(() => this.wanted === wanted && (this.wanted = null), 1500);
    });
  }

  async setRegion(value) {
    try {
      await post("exam/region", { value });
      return true;
    } catch (error) {
      this.notices.trouble(error, "The region is not changed:");
      return false;
    }
  }

  delete(picture) {
    this.stage.review(null);
    this.gallery.delete(picture.id);
  }

  async end(how, body) {
    if (this.ending) return;
    this.setEnding(true, how);
    try {
      if (how === "finish" && this.recording !== null) this.stopBeforeEnd();
      await Promise.all([...this.pressing, this.deeds]);
      await this.gallery.flush();
      await post(`exam/${how}`, body);
      this.notices.clear();
    } catch (error) {
      this.notices.trouble(error, how === "finish" ? "Not finished:" : "Not abandoned:");
      this.setEnding(false);
    }
  }

  stopBeforeEnd() {
    this.ending = false;
    this.toggle();
    this.ending = true;
  }

  setEnding(ending, how = "") {
    this.ending = ending;
    for (const button of [this.still, this.record, this.finish, this.abandon, this.region.chip]) button.disabled = ending;
    write(this.finish.lastElementChild, ending && how === "finish" ? "Finishing…" : "Finish");
    this.reasons.close();
    this.region.close();
  }

  // A foot pedal is a keyboard with one key: Space or Enter take a still, R records
  onKey(event) {
    const burst = event.timeStamp - (this.lastKey ?? -Infinity) < BURST;
    this.lastKey = event.timeStamp;
    clearTimeout(this.letter);
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape") {
      this.reasons.close();
      this.region.close();
      this.stage.review(null);
      return;
    }
    // somebody who went to a button with the Tab key means that button
    if (document.activeElement?.closest("button") && [" ", "Enter"].includes(event.key)) return;
    if (![" ", "Enter", "r", "R"].includes(event.key)) return;
    event.preventDefault();
    if (event.repeat || burst) return;
    if (event.key === " " || event.key === "Enter") this.takeStill();
    else this.letter = setTimeout(() => this.toggle(), BURST);
  }

  setSilent(silent) {
    this.stage.setSilent(silent);
  }
}

// A patient whom nobody ordered: everything may stay empty, then the station makes a temporary ID.

import { h, icon } from "./dom.js";
import { readDate } from "./words.js";
import { post } from "./wire.js";

const FORBIDDEN = /[\\^=\u0000-\u001f]/g; // they separate parts of a DICOM name

export class Unscheduled {
  constructor({ notices, keyboard, onBack }) {
    this.notices = notices;
    this.keyboard = keyboard;
    this.onBack = onBack;
    this.sex = "";
    const field = (name, label, extra = {}) => {
      const input = h("input", { type: "text", testid: `field-${name}`, id: `field-${name}`, inputmode: "none", autocomplete: "off", spellcheck: "false", maxlength: "64", ...extra });
      input.addEventListener("input", () => this.clean(input));
      return { input, element: h("label.field", {}, h("span", {}, label), input) };
    };
    this.family = field("family", "Family name");
    this.given = field("given", "Given names");
    this.number = field("id", "Patient ID", { placeholder: "none yet: a temporary one" });
    this.birth = field("birth", "Birth date", { placeholder: "3 March 1957" });
    this.description = field("description", "What is done");
    this.description.element.classList.add("grow");
    this.hint = this.birth.element.firstElementChild;
    const sexes = [["F", "Female"], ["M", "Male"], ["O", "Other"]];
    this.sexes = sexes.map(([value, label]) => h("button.sex", { testid: `sex-${value}`, "aria-pressed": "false", on: { click: () => this.choose(value) } }, label));
    this.begin = h("button.go", { testid: "begin-unscheduled", on: { click: () => this.start() } }, icon("check"), h("span", {}, "Begin"));
    const back = h("button.quiet", { testid: "unscheduled-back", label: "Back to the worklist", on: { click: () => this.leave() } }, icon("back"));
    const keys = h("button.quiet.keys-button", { testid: "show-keyboard", label: "On-screen keyboard", on: { click: () => this.open(true) } }, icon("keyboard"));
    this.element = h(
      "section.unscheduled",
      { testid: "view-unscheduled" },
      h("div.line", {}, back, this.family.element, this.given.element, this.number.element),
      h("div.line", {}, this.birth.element, h("div.sexes", { role: "group", label: "Sex" }, ...this.sexes), this.description.element, this.begin),
      h("p.hint", {}, "Nothing here must be filled in: without an ID the patient gets a temporary one. ", keys),
    );
    const order = [this.family, this.given, this.number, this.birth, this.description];
    order.forEach(({ input }, index) => {
      const next = order[index + 1]?.input ?? null;
      keyboard.attach(input, { layout: input === this.birth.input ? "date" : "letters", capitals: input !== this.number.input, next });
      input.addEventListener("keydown", (event) => event.key === "Enter" && (next ? next.focus() : this.start()));
    });
    this.birth.input.addEventListener("blur", () => this.checkBirth());
  }

  open(withKeyboard) {
    if (withKeyboard) this.keyboard.show(this.family.input);
    this.family.input.focus();
  }

  leave() {
    this.keyboard.hide();
    this.onBack();
  }

  clear() {
    for (const { input } of [this.family, this.given, this.number, this.birth, this.description]) input.value = "";
    this.choose("");
    this.checkBirth();
  }

  clean(input) {
    const clean = input.value.replace(FORBIDDEN, "");
    if (clean !== input.value) input.value = clean;
    if (input === this.birth.input) this.say("");
  }

  choose(sex) {
    this.sex = this.sex === sex ? "" : sex;
    for (const button of this.sexes) button.setAttribute("aria-pressed", String(button.dataset.testid === `sex-${this.sex}`));
  }

  checkBirth() {
    const { date, wrong } = readDate(this.birth.input.value);
    this.say(wrong ?? "");
    return wrong ? null : date;
  }

  say(wrong) {
    this.hint.textContent = wrong || "Birth date";
    this.birth.element.classList.toggle("wrong", Boolean(wrong));
  }

  async start() {
    const birth = this.checkBirth();
    if (birth === null) {
      this.birth.input.focus();
      return;
    }
    const name = `${this.family.input.value.trim()}^${this.given.input.value.trim()}`.replace(/\^$/, "");
    const patient = { id: this.number.input.value.trim(), name, birth_date: birth, sex: this.sex };
    this.begin.disabled = true;
    try {
      await post("exam/begin-unscheduled", { patient, description: this.description.input.value.trim() });
      this.keyboard.hide();
      this.clear();
    } catch (error) {
      this.notices.trouble(error, "Not begun:");
    } finally {
      this.begin.disabled = false;
    }
  }
}

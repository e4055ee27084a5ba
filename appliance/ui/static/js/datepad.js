// The date pad: day and year as digits, the month as a word, so that 01.02. cannot mean two things.

import { h, icon } from "./dom.js";
import { MONTHS, dateOf, dateWords, readDate } from "./words.js";

export class DatePad {
  constructor(onDone) {
    this.onDone = onDone;
    this.parts = {};
    for (const name of ["day", "month", "year"]) {
      this.parts[name] = h("button.part", { testid: `date-${name}`, tabindex: "-1", on: { pointerdown: () => this.choose(name) } });
    }
    const digit = (number) => h("button.key", { testid: `date-digit-${number}`, tabindex: "-1", on: { pointerdown: () => this.digit(String(number)) } }, String(number));
    this.months = MONTHS.map((name, index) => h("button.key.month", { testid: `date-month-${index + 1}`, tabindex: "-1", on: { pointerdown: () => this.month(index + 1) } }, name));
    this.element = h(
      "div.datepad",
      { testid: "datepad", role: "group", label: "Birth date" },
      h("div.digits", {}, ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map(digit), h("button.key.special", { testid: "date-clear", label: "Clear the date", tabindex: "-1", on: { pointerdown: () => this.clear() } }, icon("erase")), digit(0), h("button.key.special.done", { testid: "date-done", label: "Next field", tabindex: "-1", on: { click: () => this.onDone(this.input) } }, "Next")),
      h("div.right", {}, h("div.parts", {}, this.parts.day, this.parts.month, this.parts.year), h("div.months", {}, ...this.months)),
    );
  }

  open(input) {
    this.input = input;
    const { date } = readDate(input.value);
    this.value = date ? { day: String(Number(date.slice(6))), month: Number(date.slice(4, 6)), year: date.slice(0, 4) } : { day: "", month: 0, year: "" };
    this.choose("day");
  }

  choose(part) {
    this.active = part;
    this.fresh = true;
    this.draw();
  }

  digit(number) {
    if (this.active === "month") this.active = this.value.day ? "year" : "day";
    const longest = this.active === "day" ? 2 : 4;
    const typed = (this.fresh ? "" : this.value[this.active]) + number;
    this.fresh = false;
    this.value[this.active] = typed.slice(0, longest);
    // a day is complete with two digits, or with one that no second can follow
    if (this.active === "day" && (typed.length === 2 || Number(typed) > 3)) this.advance();
    this.changed();
  }

  month(number) {
    this.value.month = number;
    this.active = this.value.day ? "year" : "day";
    this.fresh = true;
    this.changed();
  }

  advance() {
    this.active = this.value.month ? "year" : "month";
    this.fresh = true;
  }

  clear() {
    this.value = { day: "", month: 0, year: "" };
    this.active = "day";
    this.changed();
  }

  changed() {
    const { day, month, year } = this.value;
    const whole = day && month && year.length === 4;
    const { date } = whole ? dateOf(Number(day), month, Number(year)) : {};
    this.input.value = date ? dateWords(date) : [day, MONTHS[month - 1], year].filter(Boolean).join(" ");
    this.input.dispatchEvent(new InputEvent("input", { bubbles: true }));
    this.draw();
  }

  draw() {
    const { day, month, year } = this.value;
    const faces = { day: day || "Day", month: MONTHS[month - 1] ?? "Month", year: year || "Year" };
    for (const [name, button] of Object.entries(this.parts)) {
      button.textContent = faces[name];
      button.classList.toggle("active", name === this.active);
      button.classList.toggle("unset", !this.value[name]);
    }
    this.months.forEach((button, index) => button.setAttribute("aria-pressed", String(index + 1 === month)));
  }
}

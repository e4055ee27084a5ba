// The on-screen keyboard: comes when a field is touched, with umlauts, accents, digits and a date pad.

import { h, icon } from "./dom.js";
import { DatePad } from "./datepad.js";

const LETTERS = {
  qwerty: ["qwertyuiop'", "asdfghjkl.,", "zxcvbnm/"],
  qwertz: ["qwertzuiopü", "asdfghjklöä", "yxcvbnmß"],
  azerty: ["azertyuiopé", "qsdfghjklmè", "wxcvbn'ç"],
};
const PAGES = {
  digits: ["1234567890.", "/:;()_+#@!,", "?&%\"*'°~"],
  accents: ["àáâãåæäçèéê", "ëìíîïñòóôõø", "öùúûüýÿß"],
  more: ["ščžřłńśźżćđ", "ąęěőűťďňůāē", "īōūģķļņğ"],
};
const NEXT_ACCENTS = { accents: "more", more: "letters" };
const KEPT = "dicap.keyboard";

const remembered = () => {
  const kept = localStorage.getItem(KEPT);
  if (kept in LETTERS) return kept;
  const language = navigator.language.slice(0, 2);
  return { de: "qwertz", fr: "azerty" }[language] ?? "qwerty";
};

export class Keyboard {
  constructor(root) {
    this.root = root;
    this.keys = h("div.keys", { testid: "keyboard", role: "group", label: "On-screen keyboard" });
    this.pad = new DatePad((input) => this.done(input));
    this.dock = h("div.dock", { hidden: true }, this.keys, this.pad.element);
    // the finger must not take the caret out of the field
    for (const event of ["pointerdown", "mousedown"]) this.dock.addEventListener(event, (press) => press.preventDefault());
    root.append(this.dock);
    this.kind = remembered();
    this.fields = new Map();
    document.addEventListener("focusin", (event) => !this.fields.has(event.target) && this.hide());
  }

  // `layout`: letters, digits or date; `capitals`: words begin with a capital; `next`: the field after this one
  attach(input, { layout = "letters", capitals = false, next = null, done = null } = {}) {
    this.fields.set(input, { layout, capitals, next, done });
    input.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse") this.wanted = true;
      if (this.wanted) this.show(input);
    });
    input.addEventListener("focus", () => this.wanted && this.show(input));
    input.addEventListener("blur", () => setTimeout(() => !this.fields.has(document.activeElement) && this.hide()));
  }

  show(input) {
    this.wanted = true;
    this.input = input;
    const { layout, capitals } = this.fields.get(input);
    const dates = layout === "date";
    this.keys.hidden = dates;
    this.pad.element.hidden = !dates;
    if (dates) this.pad.open(input);
    else {
      this.page = layout;
      this.shifted = capitals && (input.value === "" || /[\s'-]$/.test(input.value));
      this.draw();
    }
    this.dock.hidden = false;
    document.body.classList.add("keys-up");
  }

  hide() {
    if (this.dock.hidden) return;
    this.dock.hidden = true;
    this.wanted = false;
    document.body.classList.remove("keys-up");
  }

  done(input = this.input) {
    const { next, done } = this.fields.get(input);
    if (next) {
      next.focus();
      this.show(next);
      return;
    }
    this.hide();
    input.blur();
    if (typeof done === "function") done();
  }

  draw() {
    const rows = this.page === "letters" ? LETTERS[this.kind] : PAGES[this.page];
    const line = (row) => [...row].map((letter) => this.key(this.shifted ? upper(letter) : letter));
    const accents = this.page in NEXT_ACCENTS ? NEXT_ACCENTS[this.page] : "accents";
    const last = this.fields.get(this.input)?.next === null;
    this.keys.replaceChildren(
      h("div.row", {}, ...line(rows[0])),
      h("div.row", {}, ...line(rows[1])),
      h("div.row", {}, this.special("shift", icon("shift"), "Capitals", () => this.turn({ shifted: !this.shifted }), this.shifted), ...line(rows[2]), this.special("erase", icon("erase"), "Erase", () => this.erase())),
      h(
        "div.row",
        {},
        this.special("page", this.page === "digits" ? "abc" : "123", this.page === "digits" ? "Letters" : "Digits and signs", () => this.turn({ page: this.page === "digits" ? "letters" : "digits" })),
        this.special("accents", { accents: "áé", more: "šž", letters: "abc" }[accents], "Accented letters", () => this.turn({ page: accents })),
        this.special("layout", h("small", {}, this.kind), "Another keyboard layout", () => this.swap(), false, "one"),
        this.key("-"),
        this.key(" "),
        this.special("done", last ? icon("check") : "Next", last ? "Done" : "Next field", () => this.done(), false, "done"),
      ),
    );
  }

  key(letter) {
    const name = letter === " " ? "space" : letter;
    return h("button.key", { testid: `key-${name.toLowerCase()}`, label: name, tabindex: "-1", class: letter === " " ? "key space" : "key", on: { pointerdown: () => this.type(letter) } }, letter === " " ? "" : letter);
  }

  special(name, face, label, act, pressed = false, size = "") {
    const button = h("button.key", { testid: `key-${name}`, label, tabindex: "-1", class: `key special ${size}`, "aria-pressed": String(pressed) }, face);
    // what takes keys away acts when the finger leaves: else it would land on what lies beneath
    button.addEventListener(name === "done" ? "click" : "pointerdown", () => act());
    return button;
  }

  turn(change) {
    Object.assign(this, change);
    this.draw();
  }

  swap() {
    const kinds = Object.keys(LETTERS);
    this.kind = kinds[(kinds.indexOf(this.kind) + 1) % kinds.length];
    localStorage.setItem(KEPT, this.kind);
    this.turn({ page: "letters" });
  }

  type(letter) {
    const { input } = this;
    if (input.maxLength > 0 && input.value.length >= input.maxLength) return;
    input.setRangeText(letter, input.selectionStart, input.selectionEnd, "end");
    this.changed();
    const { capitals, layout } = this.fields.get(input);
    const shifted = capitals && /[\s'-]$/.test(letter);
    const page = this.page === "accents" || this.page === "more" ? layout : this.page;
    if (shifted !== this.shifted || page !== this.page) this.turn({ shifted, page });
  }

  erase() {
    const { input } = this;
    const { selectionStart: start, selectionEnd: end } = input;
    if (start === end && start > 0) input.setRangeText("", start - 1, end, "end");
    else input.setRangeText("", start, end, "end");
    this.changed();
    const shifted = this.fields.get(input).capitals && input.value === "";
    if (shifted !== this.shifted) this.turn({ shifted });
  }

  changed() {
    this.input.dispatchEvent(new InputEvent("input", { bubbles: true }));
    this.input.scrollLeft = this.input.scrollWidth;
  }
}

const upper = (letter) => (letter === "ß" || letter === "°" ? letter : letter.toLocaleUpperCase("en"));

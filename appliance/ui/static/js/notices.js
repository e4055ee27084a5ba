// What people must be told: what happened, what is safe, what to do. Over the picture, never over the Still button.

import { h, icon } from "./dom.js";

const MOST = 3;

export class Notices {
  constructor(root) {
    this.root = root;
  }

  good(what, advice = "") {
    this.add("good", "check", what, advice, 6000);
  }

  trouble(error, prefix = "") {
    const what = error.what ?? error.message;
    this.add("bad", "warning", prefix ? `${prefix} ${what}` : what, error.advice ?? "", 30000);
  }

  add(kind, symbol, what, advice, milliseconds) {
    for (const old of [...this.root.children]) if (old.dataset.what === what || old.dataset.kind === "good") old.remove();
    while (this.root.children.length >= MOST) this.root.firstElementChild.remove();
    const note = h(`div.notice.${kind}`, { testid: "notice", "data-what": what, "data-kind": kind });
    const away = h("button.plain", { label: "Understood", testid: "notice-away", on: { click: () => note.remove() } }, icon("cross"));
    note.append(icon(symbol), h("div.words", {}, h("strong", {}, what), advice ? h("span", {}, advice) : null), away);
    this.root.append(note);
    setTimeout(() => note.remove(), milliseconds);
  }

  // What no longer matters: everything, or what began with these words
  clear(beginning = "") {
    for (const note of [...this.root.children]) if (note.dataset.what.startsWith(beginning)) note.remove();
  }
}

// Why an exam is abandoned: one more tap, the commonest reasons first, the standard's words beneath.

import { h, icon } from "./dom.js";

// CID 9300 as people say it, in the order in which it happens
const PLAIN = new Map([
  ["110514", "Wrong patient"],
  ["110507", "Patient did not arrive"],
  ["110505", "Patient refused"],
  ["110500", "Doctor cancelled"],
  ["110515", "Patient’s condition"],
  ["110501", "Equipment failure"],
  ["110516", "Wrong procedure"],
  ["110502", "Wrong procedure ordered"],
  ["110512", "Wrong side ordered"],
  ["110510", "Ordered twice"],
  ["110506", "Taken to treatment or surgery"],
  ["110503", "Allergic to contrast"],
  ["110508", "Pregnant"],
  ["110504", "Patient died"],
  ["110511", "Ward cancelled"],
  ["110509", "Changed for charging"],
  ["110513", "Another reason"],
]);

// what else the reason does
const EFFECTS = new Map([["110514", "; its pictures are not sent"]]);

export class Reasons {
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.grid = h("div.reason-grid");
    const back = h("button.quiet", { testid: "abandon-back", on: { click: () => this.close() } }, icon("back"), h("span", {}, "Go on with the exam"));
    this.element = h("div.reasons", { testid: "reasons", role: "dialog", label: "Why is this exam abandoned?", hidden: true }, h("div.reasons-head", {}, h("h2", {}, "Why is this exam abandoned?"), back), this.grid);
  }

  update(reasons) {
    const signature = JSON.stringify(reasons);
    if (signature === this.signature) return;
    this.signature = signature;
    const order = [...PLAIN.keys()];
    const rank = ({ value }) => (PLAIN.has(value) ? order.indexOf(value) : order.length);
    const sorted = [...reasons].sort((one, other) => rank(one) - rank(other));
    this.grid.replaceChildren(
      ...sorted.map(({ value, meaning }) => {
        const plain = PLAIN.get(value) ?? meaning;
        return h("button.reason", { testid: `reason-${value}`, on: { click: () => this.onChoose(value) } }, h("span", {}, plain), plain === meaning ? null : h("small", {}, meaning + (EFFECTS.get(value) ?? "")));
      }),
    );
  }

  open() {
    this.element.hidden = false;
    this.grid.scrollTop = 0;
  }

  close() {
    this.element.hidden = true;
  }
}

// The worklist: search as you type, one tap on a patient begins.

import { h, icon, show, write } from "./dom.js";
import { dangers, factsOf, nameOf } from "./person.js";
import { age, clock, dateWords, fold, matches, timeWords, today } from "./words.js";
import { post } from "./wire.js";

const SETTLE = 600; // ms in which a row that has just moved under the finger begins nothing

export class Worklist {
  constructor({ notices, keyboard, onUnscheduled }) {
    this.notices = notices;
    this.keyboard = keyboard;
    this.cards = new Map();
    this.beginning = false;
    this.search = h("input", { type: "text", testid: "search", label: "Search by name, ID or accession", placeholder: "Name, ID, accession", inputmode: "none", autocomplete: "off", spellcheck: "false", on: { input: () => this.typed() } });
    keyboard.attach(this.search, { layout: "letters", done: "Done" });
    this.clear = h("button.plain", { testid: "search-clear", label: "Clear the search", on: { click: () => this.reset() } }, icon("cross"));
    this.age = h("span.age", { testid: "worklist-age" });
    const refresh = h("button.quiet.refresh", { testid: "refresh", label: "Ask the RIS now", on: { click: () => this.refresh() } }, icon("refresh"), this.age);
    const unscheduled = h("button.quiet", { testid: "unscheduled", on: { click: onUnscheduled } }, icon("newcomer"), h("span", {}, "Unscheduled patient"));
    this.tools = h("div.tools", {}, h("label.search", {}, icon("search"), this.search, this.clear), refresh, unscheduled);
    this.warning = h("div.warning", { testid: "worklist-error", hidden: true });
    this.list = h("div.orders", { testid: "orders" });
    this.empty = h("div.empty", { testid: "worklist-empty", hidden: true });
    this.last = h("div.last");
    this.element = h("section.worklist", { testid: "view-worklist" }, this.warning, (this.scroll = h("div.scroll", {}, this.list, this.empty)), this.last);
    this.search.addEventListener("keydown", (event) => event.key === "Enter" && this.scanned());
  }

  update(state, received) {
    const { orders, age_seconds: seconds, error, fetched_at: fetched } = state.worklist;
    this.orders = orders;
    const old = seconds === null ? null : seconds + (performance.now() - received) / 1000;
    write(this.age, old === null ? "not yet" : age(old));
    show(this.warning, Boolean(error));
    if (error) {
      const when = fetched ? `This is the list of ${clock(fetched)}, ${age(old ?? 0)}.` : "There is no list yet.";
      const words = `${error.replace(/[.\s]*$/, ".")} ${when}`;
      if (this.warning.textContent !== words) this.warning.replaceChildren(icon("warning"), h("span", {}, words));
    }
    const before = this.places();
    this.render();
    if (this.shown) for (const [card, top] of before) if (Math.abs(card.offsetTop - top) > 4) card.movedAt = performance.now();
    this.shown = true;
    this.filter();
  }

  // An idle second: only the ages move
  tick(state, received) {
    const seconds = state.worklist.age_seconds;
    if (seconds !== null) write(this.age, age(seconds + (performance.now() - received) / 1000));
  }

  places() {
    return new Map([...this.cards.values()].filter((card) => !card.hidden).map((card) => [card, card.offsetTop]));
  }

  render() {
    const order = (one) => [one.mine ? 0 : 1, one.date, one.time, fold(one.patient.spoken_name)].join("\u0000");
    const sorted = [...this.orders].sort((one, other) => (order(one) < order(other) ? -1 : 1));
    const twins = new Map();
    for (const one of sorted) {
      const name = fold(one.patient.spoken_name);
      twins.set(name, (twins.get(name) ?? new Set()).add(one.patient.id));
    }
    const wanted = [];
    const mixed = sorted.some((one) => one.mine) && sorted.some((one) => !one.mine);
    let group = null;
    for (const one of sorted) {
      if (mixed && one.mine !== group) {
        group = one.mine;
        wanted.push((this.heads ??= { true: h("h2", {}, "Planned for this station"), false: h("h2", {}, "Planned elsewhere") })[group]);
      }
      wanted.push(this.card(one, twins.get(fold(one.patient.spoken_name)).size > 1));
    }
    for (const [key, card] of this.cards) if (!wanted.includes(card)) this.cards.delete(key);
    for (const old of [...this.list.children]) if (!wanted.includes(old)) old.remove();
    wanted.forEach((element, index) => {
      if (this.list.children[index] !== element) this.list.insertBefore(element, this.list.children[index] ?? null);
    });
  }

  card(order, twin) {
    let card = this.cards.get(order.key);
    const signature = JSON.stringify([order, twin]);
    if (!card) {
      card = h("button.order", { testid: `order-${order.key}` });
      card.addEventListener("click", () => this.begin(card.order));
      this.cards.set(order.key, card);
    }
    if (card.signature === signature) return card;
    card.signature = signature;
    card.order = order;
    card.haystack = fold([order.patient.name, order.patient.spoken_name, order.patient.id, order.accession].join(" "));
    const day = order.date && order.date !== today() ? h("small", {}, dateWords(order.date, false)) : null;
    const marks = dangers(order).map(([label, words]) => h("span.mark", {}, icon("warning"), label === "Pregnancy" ? (words === "not known" ? "pregnancy not known" : words) : label));
    if (twin) marks.unshift(h("span.mark.twin", {}, icon("note"), "Same name on this list: compare the ID"));
    if (order.status && !/^(SCHEDULED|READY|ARRIVED)$/i.test(order.status)) marks.unshift(h("span.mark.twin", {}, icon("note"), order.status));
    card.replaceChildren(
      h("span.when", {}, timeWords(order.time) || "–", day),
      h("span.who", {}, nameOf(order.patient), factsOf(order.patient, order.accession), marks.length ? h("span.marks", {}, ...marks) : null),
      h("span.what", { "data-long": order.description.length > 40 }, order.description || order.modality, order.description ? h("small", {}, order.modality) : null),
    );
    return card;
  }

  typed() {
    this.filter();
    this.scroll.scrollTop = 0;
  }

  filter() {
    const query = this.search.value.trim();
    show(this.clear, Boolean(query));
    let found = 0;
    for (const card of this.cards.values()) {
      const visible = matches(card.haystack, query);
      found += visible;
      show(card, visible);
    }
    for (const head of Object.values(this.heads ?? {})) show(head, !query);
    show(this.empty, found === 0);
    const words = query ? `Nobody on the list matches “${query}”.` : "Nobody is on the worklist.";
    if (!this.empty.hidden && this.empty.dataset.words !== words) {
      this.empty.dataset.words = words;
      this.empty.replaceChildren(icon(query ? "search" : "list"), h("strong", {}, words), h("span", {}, "An unscheduled patient can be begun at any time."));
    }
  }

  reset() {
    this.search.value = "";
    this.typed();
  }

  // A barcode reader types an accession number or an ID and ends with Enter: exactly one hit begins
  scanned() {
    const typed = this.search.value.trim().toLowerCase();
    const hits = this.orders.filter((order) => [order.accession, order.patient.id].some((number) => number && number.toLowerCase() === typed));
    if (hits.length === 1) this.begin(hits[0]);
  }

  async begin(order) {
    const card = this.cards.get(order.key);
    if (this.beginning) return;
    if (performance.now() - (card.movedAt ?? -Infinity) < SETTLE) {
      this.notices.trouble({ what: "The list has just changed under your finger.", advice: "Nothing was begun. Tap the patient again." });
      return;
    }
    this.beginning = true;
    card.classList.add("beginning");
    this.keyboard.hide();
    try {
      await post("exam/begin", { key: order.key });
      this.reset();
    } catch (error) {
      this.notices.trouble(error, "Not begun:");
    } finally {
      this.beginning = false;
      card.classList.remove("beginning");
    }
  }

  async refresh() {
    try {
      await post("worklist/refresh");
    } catch (error) {
      this.notices.trouble(error);
    }
  }
}


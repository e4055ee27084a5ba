// The pictures of the open exam, newest first: there at once, kept a moment later, deleted with a chance to undo.

import { h, icon } from "./dom.js";
import { duration } from "./words.js";
import { remove } from "./wire.js";

const UNDO = 6000; // ms before a deletion is told to the station

export const thumbnailOf = (id) => `api/exam/pictures/${encodeURIComponent(id)}/thumbnail.jpg`;

export class Gallery {
  constructor({ notices, onReview, onChange }) {
    this.notices = notices;
    this.onReview = onReview;
    this.onChange = onChange;
    this.tiles = new Map(); // picture id -> tile
    this.waiting = []; // pictures that were asked for and are not kept yet, oldest first
    this.deleting = new Map(); // picture id -> timer
    this.pictures = [];
    this.element = h("div.gallery", { testid: "gallery", role: "group", label: "Pictures of this exam" });
    addEventListener("pagehide", () => this.flush({ keepalive: true }));
  }

  get count() {
    return this.pictures.filter((picture) => !this.deleting.has(picture.id)).length;
  }

  // A tile at once, with what the screen showed; returns what to call when the picture is kept or was not
  expect(kind, snapshot) {
    const tile = h("button.tile.pending", { label: `${kind}, being kept`, disabled: true }, snapshot ?? "", h("span.tag", {}, icon(kind === "clip" ? "play" : "camera"), "keeping…"));
    const entry = { tile, kind, bound: false };
    this.waiting.push(entry);
    this.element.prepend(tile);
    this.element.scrollTop = 0;
    const settle = () => (this.waiting = this.waiting.filter((one) => one !== entry));
    return {
      kept: (id) => {
        settle();
        if (entry.bound) return;
        if (this.tiles.has(id)) tile.remove();
        else this.bind(entry, id);
      },
      failed: () => {
        settle();
        if (!entry.bound) tile.remove();
      },
    };
  }

  bind(entry, id) {
    entry.bound = true;
    this.tiles.set(id, entry.tile);
    entry.tile.addEventListener("click", () => this.tap(id));
  }

  update(pictures) {
    this.pictures = pictures;
    const ids = new Set(pictures.map((picture) => picture.id));
    for (const [id, tile] of this.tiles) {
      if (!ids.has(id) && tile.dataset.testid) {
        tile.remove();
        this.tiles.delete(id);
        this.deleting.delete(id);
      }
    }
    for (const picture of pictures) {
      let tile = this.tiles.get(picture.id);
      if (!tile) {
        const entry = this.waiting.find((one) => !one.bound && one.kind === picture.kind) ?? { tile: h("button.tile") };
        this.bind(entry, picture.id);
        tile = entry.tile;
      }
      this.fill(tile, picture);
    }
    const order = [...pictures].reverse().map((picture) => this.tiles.get(picture.id));
    let place = this.element.firstElementChild;
    for (const entry of this.waiting.filter((one) => !one.bound)) if (entry.tile === place) place = place.nextElementSibling;
    for (const tile of order) {
      if (tile !== place) this.element.insertBefore(tile, place);
      else place = place.nextElementSibling;
    }
  }

  fill(tile, picture) {
    const signature = JSON.stringify(picture);
    if (tile.signature === signature) return;
    tile.signature = signature;
    tile.dataset.testid = `thumb-${picture.id}`;
    tile.disabled = false;
    tile.classList.remove("pending");
    tile.setAttribute("aria-label", `${picture.kind === "clip" ? "Clip" : "Still"} ${picture.number}: look at it`);
    const image = h("img", { alt: "", src: thumbnailOf(picture.id), draggable: "false" });
    const swap = () => tile.querySelector("canvas")?.remove();
    image.addEventListener("load", swap);
    const canvas = tile.querySelector("canvas");
    const tag = h("span.tag", {}, picture.kind === "clip" ? icon("play") : "", picture.kind === "clip" ? duration(picture.seconds) : String(picture.number));
    tile.replaceChildren(image, canvas ?? "", tag, picture.flaws.length ? h("span.flaw", { title: picture.flaws.join("; ") }, icon("warning")) : "", h("span.undo", {}, icon("undo"), "Undo"));
  }

  tap(id) {
    if (this.deleting.has(id)) this.undo(id);
    else this.onReview(this.pictures.find((picture) => picture.id === id));
  }

  delete(id) {
    const tile = this.tiles.get(id);
    tile.classList.add("deleted");
    tile.dataset.testid = `undo-${id}`;
    tile.setAttribute("aria-label", "Deleted: undo");
    this.deleting.set(id, setTimeout(() => this.send(id), UNDO));
    this.onChange();
  }

  undo(id) {
    clearTimeout(this.deleting.get(id));
    this.deleting.delete(id);
    const tile = this.tiles.get(id);
    tile.classList.remove("deleted", "gone");
    tile.signature = null;
    this.update(this.pictures);
    this.onChange();
  }

  async send(id, extra = {}) {
    this.tiles.get(id)?.classList.add("gone");
    clearTimeout(this.deleting.get(id));
    try {
      await remove(`exam/pictures/${encodeURIComponent(id)}`, extra);
    } catch (error) {
      this.notices.trouble(error, "Not deleted:");
      if (this.tiles.has(id)) this.undo(id);
    }
  }

  // Every deletion that still could have been undone, now; before an exam ends
  flush(extra = {}) {
    return Promise.all([...this.deleting.keys()].map((id) => this.send(id, extra)));
  }

  clear() {
    for (const timer of this.deleting.values()) clearTimeout(timer);
    this.tiles.clear();
    this.deleting.clear();
    this.waiting = [];
    this.pictures = [];
    this.element.replaceChildren();
  }
}

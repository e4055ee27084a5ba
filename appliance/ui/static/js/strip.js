// The strip: what is still owed, whether the peers answer, the disk and the live picture. Always there, always words.

import { h, icon, setIcon, show, write } from "./dom.js";
import { capital, space } from "./words.js";

const PICTURE = { live: ["check", "Live"], ended: ["pause", "Source ended"], "no signal": ["warning", "No signal"], frozen: ["warning", "Picture frozen"], lost: ["warning", "Camera lost"] };

function item(testid, symbol) {
  const words = h("span.words");
  const holder = h("span.holder", {}, icon(symbol));
  return { element: h("div.item", { testid }, holder, words), holder, words };
}

export class Strip {
  constructor(root) {
    this.owed = item("owed", "out");
    this.owed.element.classList.add("wide");
    this.peers = h("div.item.peers", { testid: "peers" });
    this.disk = item("disk", "disk");
    this.picture = item("picture", "check");
    this.demo = h("div.item.demo", { testid: "demo" }, "DEMO");
    this.silence = h("div.item.wide", { testid: "silence", "data-mood": "bad", hidden: true }, icon("silent"), "The station does not answer; the screen tries again by itself");
    this.told = [this.owed.element, this.peers, this.disk.element, this.picture.element];
    root.append(this.silence, this.owed.element, this.peers, this.disk.element, this.picture.element, this.demo);
  }

  // What was told before the silence may no longer be true: it is not shown
  setSilent(silent) {
    show(this.silence, silent);
    for (const element of this.told) show(element, !silent);
  }

  update(state) {
    const { owed, disk, picture } = state;
    const nothing = owed.objects + owed.reports + owed.refused === 0;
    write(this.owed.words, capital(owed.words || (nothing ? "nothing is owed" : "still owed")));
    setIcon(this.owed.holder, owed.refused ? "warning" : nothing ? "check" : "out");
    this.owed.element.dataset.mood = owed.refused ? "bad" : nothing ? "good" : "busy";

    const signature = JSON.stringify(state.peers.map((peer) => [peer.name, peer.answers, peer.words]));
    if (signature !== this.signature) {
      this.signature = signature;
      this.peers.replaceChildren(...chips(state.peers));
      if (!state.peers.length) this.peers.append("no peers set up");
    }

    write(this.disk.words, `${disk.ok ? "" : "Disk full: "}${space(disk.free_mb)} free`);
    setIcon(this.disk.holder, disk.ok ? "disk" : "warning");
    this.disk.element.dataset.mood = disk.ok ? "" : "bad";

    const [symbol, words] = PICTURE[picture.state] ?? ["warning", picture.state];
    write(this.picture.words, words);
    setIcon(this.picture.holder, symbol);
    this.picture.element.dataset.mood = picture.state === "live" ? "good" : "bad";
    this.picture.element.title = picture.words;
    show(this.demo, state.station.demo);
  }
}

// Peers of which the same is to be said become one chip, so that the others have room
function chips(peers) {
  const well = peers.filter((peer) => peer.answers === true);
  const unasked = peers.filter((peer) => peer.answers === null);
  const many = peers.length > 3 && well.length > 1;
  const same = unasked.length > 1 && unasked.every((peer) => peer.words === unasked[0].words);
  const shown = peers.filter((peer) => !(many && peer.answers === true) && !(same && peer.answers === null)).map((peer) => peerChip(peer));
  if (many) shown.unshift(h("span.peer", { "data-mood": "good" }, icon("check"), `${well.length} peers answer`));
  if (same) shown.push(h("span.peer", { "data-mood": "", "data-answers": "null" }, icon("clock"), `${peers.length === unasked.length ? "peers" : unasked.map((peer) => peer.name).join(", ")}: ${unasked[0].words}`));
  return shown;
}

// `brief`: its words stand elsewhere
export function peerChip(peer, brief = false) {
  const unasked = brief ? peer.name : `${peer.name}: ${peer.words || "not asked yet"}`;
  const [symbol, mood, words] = peer.answers === true ? ["check", "good", peer.name] : peer.answers === false ? ["cross", "bad", `${peer.name}: no answer`] : ["clock", "", unasked];
  return h("span.peer", { "data-mood": mood, "data-answers": String(peer.answers), title: `${peer.address}: ${peer.words}` }, icon(symbol), words);
}

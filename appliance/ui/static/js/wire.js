// The wire to the station: deeds by POST, news by server-sent events, and noticing when nobody speaks.

const SILENCE = 6500; // ms: three missed beats

export class Trouble extends Error {
  constructor(what, advice = "") {
    super(what);
    this.advice = advice;
  }
}

const NOBODY = ["The station does not answer.", "What was kept is safe. If this lasts, switch the station off and on."];

async function ask(method, path, body, extra = {}) {
  let answer;
  try {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    answer = await fetch(`api/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...extra });
  } catch {
    throw new Trouble(...NOBODY);
  }
  const words = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Trouble(words.what ?? `The station answered ${answer.status}.`, words.advice ?? "");
  return words;
}

export const post = (path, body) => ask("POST", path, body);
export const remove = (path, extra) => ask("DELETE", path, undefined, extra);

// Calls onState(state) for every change and onSilence(true | false) when the station falls silent or speaks again.
export class Wire {
  constructor({ onState, onTrouble, onSilence }) {
    this.onState = onState;
    this.onTrouble = onTrouble;
    this.onSilence = onSilence;
    this.silent = false;
    this.heard = performance.now();
    setInterval(() => this.watch(), 1000);
    // a hidden tab gives its connection back: a browser has only six for one station
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    if (!document.hidden) this.open();
  }

  open() {
    this.close();
    this.heard = performance.now();
    const source = (this.source = new EventSource("api/events"));
    const hear = (act) => (event) => {
      this.heard = performance.now();
      this.setSilent(false);
      act(event);
    };
    source.addEventListener("state", hear((event) => this.onState(JSON.parse(event.data))));
    source.addEventListener("trouble", hear((event) => this.onTrouble(JSON.parse(event.data))));
    source.addEventListener("beat", hear(() => {}));
  }

  close() {
    this.source?.close();
    this.source = null;
  }

  watch() {
    if (!this.source) return;
    const quiet = performance.now() - this.heard;
    if (quiet > SILENCE || (this.source.readyState !== EventSource.OPEN && quiet > 3000)) this.setSilent(true);
    if (this.source.readyState === EventSource.CLOSED) {
      const heard = this.heard;
      this.open();
      this.heard = heard;
    }
  }

  setSilent(silent) {
    if (this.silent === silent) return;
    this.silent = silent;
    this.onSilence(silent);
  }
}

// Elements and icons, made by hand: nothing is ever set as HTML from words that came from elsewhere.

const SVG = "http://www.w3.org/2000/svg";

// h("button.big", { testid, label, on: { click }, ...attributes }, ...children) makes one element
export function h(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  if (tag === "button") element.type = "button";
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "testid") element.dataset.testid = value;
    else if (name === "label") element.setAttribute("aria-label", value);
    else if (name === "on") for (const [event, doing] of Object.entries(value)) element.addEventListener(event, doing);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Writes only what changed, so that nothing flickers and screen readers stay calm
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

const STROKES = {
  camera: "M4 8h3.2l1.6-2.6h6.4L16.8 8H20a1.5 1.5 0 0 1 1.5 1.5v9A1.5 1.5 0 0 1 20 20H4a1.5 1.5 0 0 1-1.5-1.5v-9A1.5 1.5 0 0 1 4 8zM12 17.2a3.6 3.6 0 1 0 0-7.2 3.6 3.6 0 0 0 0 7.2z",
  check: "M4.5 12.8l5 5L19.5 7",
  cross: "M6 6l12 12M18 6L6 18",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20.5 20.5",
  refresh: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.4M20 4.4v5h-5",
  newcomer: "M9.5 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM2.5 20.5c0-4 3-6.5 7-6.5 1.5 0 2.9.4 4 1M18 14v7M14.5 17.5h7",
  list: "M8.5 6h12M8.5 12h12M8.5 18h12M3.8 6h.1M3.8 12h.1M3.8 18h.1",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5.2l3.4 2.2",
  warning: "M12 3.8L2.6 20h18.8zM12 10v4.6M12 17.4v.1",
  link: "M9 15l6-6M10.5 6.5l1.8-1.8a4.6 4.6 0 0 1 6.5 6.5L17 13M13.5 17.5l-1.8 1.8a4.6 4.6 0 0 1-6.5-6.5L7 11",
  disk: "M4 14.5h16M6.5 4.5h11L20 14.5v5H4v-5zM16.8 17.1v.1",
  out: "M12 15V4M7.5 8L12 3.5 16.5 8M4 14.5V20h16v-5.5",
  undo: "M8.5 5L4 9.5 8.5 14M4.5 9.5h9a6 6 0 0 1 0 10H9",
  bin: "M4 6.5h16M9.5 6V3.8h5V6M6 6.5l1 14h10l1-14M10 10.5v6M14 10.5v6",
  back: "M11 5l-7 7 7 7M4.5 12H20",
  keyboard: "M3 6.5h18v11H3zM6.5 10h.1M10 10h.1M13.5 10h.1M17 10h.1M8 14h8",
  erase: "M8.5 5.5H21v13H8.5L2.5 12zM12 9.5l5 5M17 9.5l-5 5",
  shift: "M12 4l-8 9h4.5v6.5h7V13H20z",
  left: "M14.5 5.5L8 12l6.5 6.5",
  right: "M9.5 5.5L16 12l-6.5 6.5",
  globe: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM3 12h18M12 3c5.3 6 5.3 12 0 18-5.3-6-5.3-12 0-18z",
  plug: "M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4.5",
  pause: "M8.5 5v14M15.5 5v14",
  silent: "M3 3l18 18M5 9.5a11 11 0 0 1 4-2.2M13.5 7a11 11 0 0 1 5.5 2.5M8.5 13a6 6 0 0 1 2.6-1.4M12 18.5v.1",
  note: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v6M12 7.4v.1",
};
const SOLIDS = {
  dot: "M12 19.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15z",
  stop: "M6.5 5h11A1.5 1.5 0 0 1 19 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 5 17.5v-11A1.5 1.5 0 0 1 6.5 5z",
  play: "M7 4.5v15l12.5-7.5z",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", STROKES[name] ?? SOLIDS[name]);
  if (name in SOLIDS) svg.classList.add("solid");
  svg.append(path);
  svg.dataset.icon = name;
  return svg;
}

// Replaces the icon in a holder when it is another one
export function setIcon(holder, name) {
  if (holder.firstElementChild?.dataset.icon !== name) holder.replaceChildren(icon(name));
}

// A press acts when the finger lands, not when it leaves; a bouncing contact (glove, worn panel) counts once.
// Keyboards and assistive devices send a click without a pointer: that counts too.
export function onPress(button, act, bounce = 80) {
  let last = -Infinity;
  const press = (event) => {
    if (button.disabled || (event.button ?? 0) !== 0) return;
    if (event.timeStamp - last < bounce) return;
    last = event.timeStamp;
    act(event);
  };
  button.addEventListener("pointerdown", press);
  button.addEventListener("click", (event) => {
    if (event.detail === 0) press(event);
  });
}

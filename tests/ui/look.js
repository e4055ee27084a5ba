// What a person would complain about on the screen as it is now: cut words, small or covered or overlapping targets.
const WORDS = ".name, .facts, .fact, .dangers, .banner, .strip, .strip .item, .strip .words, button, .fate, .notice .words, h2, .message";
const SCROLLS = ".scroll, .gallery, .reason-grid, .side"; // what lies in these may be out of sight
const GLOVE = 64; // px
for (const moving of document.getAnimations()) if (moving.effect.getTiming().iterations !== Infinity) moving.finish();
const wrong = [];
const visible = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility());
const small = (one) => one.offsetWidth < GLOVE || one.offsetHeight < GLOVE; // whether or not it is pressed now
const outside = (box) => box.left < 0 || box.top < 0 || box.right > innerWidth + 0.5 || box.bottom > innerHeight + 0.5;

for (const one of visible(WORDS)) {
  const inline = getComputedStyle(one).display === "inline";
  const box = one.getBoundingClientRect();
  if (!inline && one.scrollWidth > one.clientWidth + 1) wrong.push(["too wide", one.textContent, one.scrollWidth, one.clientWidth]);
  if (!inline && one.scrollHeight > one.clientHeight + 1) wrong.push(["too high", one.textContent, one.scrollHeight, one.clientHeight]);
  if (!one.closest(SCROLLS) && outside(box)) wrong.push(["outside", one.textContent]);
}

const sheet = document.querySelector(".reasons:not([hidden])");
const controls = visible("button, input").filter((one) => !one.closest(SCROLLS) && (!sheet || sheet.contains(one)));
const belong = (one, other) => Boolean(one.closest("label")?.contains(other));
for (const one of controls) {
  const name = one.dataset.testid;
  const box = one.getBoundingClientRect();
  if (small(one)) wrong.push(["small", name, box.width, box.height]);
  if (outside(box)) wrong.push(["outside", name]);
  const above = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  if (!one.contains(above) && !above.closest(".notice")) wrong.push(["covered", name, above.outerHTML]);
  for (const other of controls) {
    if (one === other || belong(one, other) || belong(other, one)) continue;
    const its = other.getBoundingClientRect();
    const apart = box.left >= its.right - 1 || its.left >= box.right - 1 || box.top >= its.bottom - 1 || its.top >= box.bottom - 1;
    if (!apart) wrong.push(["overlaps", name, other.dataset.testid]);
  }
}
for (const one of visible(".order, .tile, .reason")) {
  if (small(one)) wrong.push(["small", one.dataset.testid, one.offsetWidth, one.offsetHeight]);
}
return wrong;

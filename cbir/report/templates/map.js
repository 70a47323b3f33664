"use strict";
// The page can be read without this: sizes to choose, links, scrolling. This adds wheel, pinch, drag and keys.
const view = document.querySelector("main");
const map = document.getElementById("map");
const LARGEST = 400, NEAR = 90;
let least = 0; // the size of a cell when the whole map is in the window

function measure() {
  const set = map.style.getPropertyValue("--cell");
  map.style.removeProperty("--cell");
  document.getElementById("whole").checked = true;
  least = cellSize();
  if (set) map.style.setProperty("--cell", set);
}

// x, y: the point of the window that stays where it is
function zoomTo(cell, x, y) {
  const before = map.getBoundingClientRect();
  const across = (x - before.left) / before.width, down = (y - before.top) / before.height;
  document.getElementById("whole").checked = true;
  map.style.setProperty("--cell", Math.min(LARGEST, Math.max(least, cell)) + "px");
  map.classList.toggle("near", cell > NEAR);
  const after = map.getBoundingClientRect();
  view.scrollLeft += after.left + across * after.width - x;
  view.scrollTop += after.top + down * after.height - y;
}

const middle = () => {
  const box = view.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
};
const cellSize = () => map.firstElementChild.getBoundingClientRect().width;

view.addEventListener("wheel", event => {
  if (event.shiftKey) return;
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 16 : 1;
  zoomTo(cellSize() * Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), event.clientX, event.clientY);
}, {passive: false});

let spread = 0, start = 0;
const distance = ([one, other]) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
view.addEventListener("touchstart", event => {
  if (event.touches.length === 2) [spread, start] = [distance(event.touches), cellSize()];
}, {passive: true});
view.addEventListener("touchmove", event => {
  if (event.touches.length !== 2 || !spread) return;
  event.preventDefault();
  const [one, other] = event.touches;
  zoomTo(start * distance(event.touches) / spread, (one.clientX + other.clientX) / 2, (one.clientY + other.clientY) / 2);
}, {passive: false});
view.addEventListener("touchend", () => { spread = 0; });

let held = null, moved = false;
view.addEventListener("pointerdown", event => {
  if (event.pointerType !== "mouse" || event.button !== 0) return;
  held = {x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop};
  moved = false;
});
addEventListener("pointermove", event => {
  if (!held) return;
  const x = event.clientX - held.x, y = event.clientY - held.y;
  moved = moved || Math.hypot(x, y) > 4;
  if (moved) view.scrollTo(held.left - x, held.top - y);
});
addEventListener("pointerup", () => { held = null; });
map.addEventListener("dragstart", event => event.preventDefault());
map.addEventListener("click", event => { if (moved) event.preventDefault(); moved = false; }, true);

// one link at a time is a stop of the Tab key; arrows go on from there
const links = new Map();
for (const link of map.querySelectorAll("a")) {
  const style = getComputedStyle(link.parentElement);
  link.place = [Number(style.gridColumnStart), Number(style.gridRowStart)];
  link.tabIndex = links.size ? -1 : 0;
  links.set(link.place.join(), link);
}
const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  const link = event.target.closest("#map a");
  if (event.key in STEPS && link) {
    const [across, down] = STEPS[event.key];
    const next = links.get([link.place[0] + across, link.place[1] + down].join());
    if (next) [link.tabIndex, next.tabIndex] = [-1, 0], next.focus();
    event.preventDefault();
    return;
  }
  const at = link ? link.getBoundingClientRect() : null;
  const point = at ? [at.left + at.width / 2, at.top + at.height / 2] : middle();
  if (event.key === "+" || event.key === "=") zoomTo(cellSize() * 1.4, ...point);
  else if (event.key === "-") zoomTo(cellSize() / 1.4, ...point);
  else if (event.key === "0") zoomTo(least, ...point);
});

for (const input of document.querySelectorAll("input[name=size]")) {
  input.addEventListener("change", () => { map.style.removeProperty("--cell"); map.classList.remove("near"); });
}
document.getElementById("hint").hidden = false;
addEventListener("resize", measure);
measure();

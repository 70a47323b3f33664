// The map: all pictures, like beside like. Far away, one picture stands for a block of them; only what is seen is there.
import {callUntilDone, image, of} from "./api.js";
import {$, counted, make, placeOf} from "./dom.js";
import {wrong} from "./notices.js";
import {askAnew, href, refOf, state} from "./state.js";
import {Zoom} from "./zoom.js";

/** The least size of a picture on the screen, and the size of a cell in the map's own pixels. */
const LEAST = 40, CELL = 100;
const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

const stage = $("map");
const sheet = make("div", {className: "map-sheet"});
stage.append(sheet);
const zoom = new Zoom(stage, sheet, () => render());
/** @type {any} */
let map = null;
/** @type {Map<string, any>} cells by column and line */
const cells = new Map();
/** @type {Map<string, any>} elements by block and size */
const tiles = new Map();
let active = "0,0";
let shownOf = "";
/** @type {AbortController | null} */
let asking = null;

/** How many cells stand behind one picture, to a side: 1, 2, 4 … */
const blockOf = scale => Math.max(1, 2 ** Math.ceil(Math.log2(LEAST / (CELL * scale))));

/** The picture that stands for a block: the nearest to its middle. */
function standFor(column, line, block) {
  const middle = (block - 1) / 2;
  let nearest = null, least = Infinity;
  for (let down = 0; down < block; down += 1) {
    for (let across = 0; across < block; across += 1) {
      const cell = cells.get(`${column + across},${line + down}`);
      const away = (across - middle) ** 2 + (down - middle) ** 2;
      if (cell && away < least) [nearest, least] = [cell, away];
    }
  }
  return nearest;
}

function tile(column, line, block) {
  const cell = standFor(column, line, block);
  if (!cell) return null;
  const label = placeOf(cell.picture) + (block > 1 ? ", one of a block" : "");
  const link = make("a", {className: "frame", href: href({view: "wall", picture: "", like: [refOf(cell.picture)], more: [], less: [], words: [], without: [], text: ""}),
    "aria-label": label, title: label, tabIndex: -1, draggable: false},
  make("img", {alt: "", draggable: false, decoding: "async", src: image(state.index, cell.picture.id, 128),
    onerror: event => event.target.parentElement?.classList.add("gone")}));
  link.cell = cell;
  link.onclick = event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (!zoom.moved) askAnew({like: [refOf(cell.picture)]});
  };
  return link;
}

function render() {
  if (!map || !stage.clientWidth) return;
  const block = blockOf(zoom.scale);
  const side = CELL * zoom.scale * block;
  const [left, top] = [Math.max(0, Math.floor(-zoom.x / side)), Math.max(0, Math.floor(-zoom.y / side))];
  const right = Math.min(Math.ceil(map.columns / block), Math.ceil((stage.clientWidth - zoom.x) / side));
  const bottom = Math.min(Math.ceil(map.rows / block), Math.ceil((stage.clientHeight - zoom.y) / side));
  const kept = new Set();
  const held = document.activeElement;
  for (let line = top; line < bottom; line += 1) {
    for (let column = left; column < right; column += 1) {
      const key = `${column * block},${line * block},${block}`;
      if (!tiles.has(key)) tiles.set(key, tile(column * block, line * block, block));
      const link = tiles.get(key);
      if (!link) continue;
      kept.add(key);
      link.style.transform = `translate(${column * side}px, ${line * side}px)`;
      link.style.width = link.style.height = `${side}px`;
      if (link.parentNode !== sheet) sheet.append(link);
    }
  }
  let refocus = false;
  for (const [key, link] of tiles) {
    if (kept.has(key)) continue;
    if (link && link === held) refocus = true;
    link?.remove();
    tiles.delete(key);
  }
  reach(block);
  if (refocus) tiles.get(active)?.focus({preventScroll: true});
}

/** One picture is a stop of the Tab key: the active one, or the first. */
function reach(block) {
  const [column, line] = active.split(",").map(Number);
  const key = `${Math.floor(column / block) * block},${Math.floor(line / block) * block},${block}`;
  active = tiles.get(key) ? key : [...tiles.keys()].find(one => tiles.get(one)) ?? active;
  for (const [one, link] of tiles) if (link) link.tabIndex = one === active ? 0 : -1;
}

function walk([across, down]) {
  const [column, line, block] = active.split(",").map(Number);
  // over places without a picture to the next that has one
  for (let far = 1; far < Math.max(map.columns, map.rows); far += 1) {
    const [x, y] = [column + far * across * block, line + far * down * block];
    if (x < 0 || y < 0 || x >= map.columns || y >= map.rows) return;
    if (!standFor(x, y, block)) continue;
    active = `${x},${y},${block}`;
    const side = CELL * zoom.scale, size = side * block;
    const out = (at, room) => (at < 0 ? -at : Math.min(0, room - at - size));
    zoom.pan(out(x * side + zoom.x, stage.clientWidth), out(y * side + zoom.y, stage.clientHeight));
    tiles.get(active)?.focus({preventScroll: true});
    return;
  }
}

/** Show the map of an index's state, unless it is shown. */
export async function showMap(indexState) {
  const now = `${state.index} ${indexState}`;
  if (now === shownOf) return zoom.whole();
  shownOf = now;
  asking?.abort();
  asking = new AbortController();
  const {signal} = asking;
  clear();
  try {
    const progress = done => { $("map-done").hidden = false; $("map-done").value = done; $("map-status").textContent = "Making the map …"; };
    map = await callUntilDone(of(state.index, "map"), signal, progress);
    for (const cell of map.cells) cells.set(`${cell.column},${cell.line}`, cell);
    $("map-status").textContent = `${counted(map.cells.length, "picture")}, like beside like`;
    zoom.lay(map.columns * CELL, map.rows * CELL);
  } catch (error) {
    if (error.name === "AbortError") return;
    shownOf = "";
    $("map-status").textContent = "";
    wrong(error);
  }
  $("map-done").hidden = true;
}

function clear() {
  map = null;
  cells.clear();
  tiles.clear();
  sheet.replaceChildren();
}

/** Make the view's buttons and keys work. */
export function startMap() {
  $("map-in").onclick = () => zoom.by(1.6);
  $("map-out").onclick = () => zoom.by(1 / 1.6);
  $("map-whole").onclick = () => zoom.whole();
  stage.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || !map) return;
    const box = document.activeElement?.closest("#map a")?.getBoundingClientRect();
    const at = box ? [box.left + box.width / 2, box.top + box.height / 2] : [];
    if (event.key in STEPS) walk(STEPS[event.key]);
    else if (event.key === "+" || event.key === "=") zoom.by(1.6, ...at);
    else if (event.key === "-") zoom.by(1 / 1.6, ...at);
    else if (event.key === "0") zoom.whole();
    else return;
    event.preventDefault();
  });
}

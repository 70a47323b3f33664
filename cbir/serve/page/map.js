// The map: all pictures, like beside like. Far away, one picture stands for a block of them; only what is seen is there.
import {callLong, of} from "./api.js";
import {$, counted, isModified, make, placeOf} from "./dom.js";
import {wrong} from "./notices.js";
import {thumbnail} from "./pictures.js";
import {anew, askAnew, href, refOf, state} from "./state.js";
import {STEPS, Zoom} from "./zoom.js";

/** The least size of a picture on the screen, and the size of a cell in the map's own pixels. */
const LEAST = 40, CELL = 100;
const CLOSER = 1.6;

const stage = $("map");
const sheet = make("div.map-sheet");
stage.append(sheet);
const zoom = new Zoom(stage, sheet, () => render());
let map = null;
/** Cells by column and line, and elements by those and the block that they stand for. */
const cells = new Map(), tiles = new Map();
let active = "0,0,1";
let of_ = "";
let asking = new AbortController();

/** Return how many cells stand behind one picture, to a side: 1, 2, 4 … */
const blockNow = () => Math.max(1, 2 ** Math.ceil(Math.log2(LEAST / (CELL * zoom.scale))));

/** Return the picture that stands for a block: the nearest to its middle. */
function standFor(column, line, block) {
  const middle = (block - 1) / 2;
  let nearest = null, least = Infinity;
  for (let down = 0; down < block; down += 1) {
    for (let across = 0; across < block; across += 1) {
      const cell = cells.get(`${column + across},${line + down}`);
      const away = (across - middle) ** 2 + (down - middle) ** 2;
      if (cell && away < least) [nearest, least] = [cell.picture, away];
    }
  }
  return nearest;
}

function tile(column, line, block) {
  const picture = standFor(column, line, block);
  if (!picture) return null;
  const label = placeOf(picture) + (block > 1 ? ", one of a block" : "");
  const like = [refOf(picture)];
  const onclick = event => {
    if (isModified(event)) return;
    event.preventDefault();
    if (!zoom.moved) askAnew({like});
  };
  return make("a.frame", {href: href(anew({like})), ariaLabel: label, title: label, draggable: false, onclick}, thumbnail(picture.id, 128));
}

function render() {
  if (!map || !stage.clientWidth) return;
  const block = blockNow();
  const side = CELL * zoom.scale * block;
  const first = at => Math.max(0, Math.floor(-at / side));
  const end = (count, room, at) => Math.min(Math.ceil(count / block), Math.ceil((room - at) / side));
  const kept = new Set();
  const held = document.activeElement;
  for (let line = first(zoom.y); line < end(map.rows, stage.clientHeight, zoom.y); line += 1) {
    for (let column = first(zoom.x); column < end(map.columns, stage.clientWidth, zoom.x); column += 1) {
      const place = [column * block, line * block, block], key = place.join();
      if (!tiles.has(key)) tiles.set(key, tile(...place));
      const link = tiles.get(key);
      if (!link) continue;
      kept.add(key);
      Object.assign(link.style, {transform: `translate(${column * side}px, ${line * side}px)`, width: `${side}px`, height: `${side}px`});
      if (!link.parentNode) sheet.append(link);
    }
  }
  let isLost = false;
  for (const [key, link] of tiles) {
    if (kept.has(key)) continue;
    isLost ||= link === held;
    link?.remove();
    tiles.delete(key);
  }
  reach(block);
  if (isLost) tiles.get(active)?.focus({preventScroll: true});
}

/** One picture is a stop of the Tab key: the active one, or the first. */
function reach(block) {
  const [column, line] = active.split(",").map(place => Math.floor(place / block) * block);
  const key = [column, line, block].join();
  active = tiles.has(key) ? key : tiles.keys().next().value ?? active;
  for (const [one, link] of tiles) link.tabIndex = one === active ? 0 : -1;
}

function walk([across, down]) {
  let [x, y, block] = active.split(",").map(Number);
  // over places without a picture to the next that has one
  do {
    x += across * block;
    y += down * block;
    if (x < 0 || y < 0 || x >= map.columns || y >= map.rows) return;
  } while (!standFor(x, y, block));
  active = [x, y, block].join();
  const side = CELL * zoom.scale;
  const out = (at, room) => (at < 0 ? -at : Math.min(0, room - at - side * block));
  zoom.pan(out(x * side + zoom.x, stage.clientWidth), out(y * side + zoom.y, stage.clientHeight));
  tiles.get(active)?.focus({preventScroll: true});
}

/** Show the map of an index's state, unless it is shown. */
export async function showMap(indexState) {
  const now = `${state.index} ${indexState}`;
  if (now === of_) return zoom.whole();
  of_ = now;
  asking.abort();
  asking = new AbortController();
  map = null;
  for (const all of [cells, tiles]) all.clear();
  sheet.replaceChildren();
  try {
    map = await callLong(of(state.index, "map"), "map", "Making the map …", asking.signal);
    for (const cell of map.cells) cells.set(`${cell.column},${cell.line}`, cell);
    $("map-status").textContent = `${counted(map.cells.length, "picture")}, like beside like`;
    zoom.lay(map.columns * CELL, map.rows * CELL);
  } catch (error) {
    if (error.name !== "AbortError") of_ = "";
    wrong(error);
  }
}

/** Make the view's buttons and keys work. */
export function startMap() {
  const zooms = {"+": CLOSER, "=": CLOSER, "-": 1 / CLOSER};
  $("map-in").onclick = () => zoom.by(CLOSER);
  $("map-out").onclick = () => zoom.by(1 / CLOSER);
  $("map-whole").onclick = () => zoom.whole();
  stage.onkeydown = event => {
    if (isModified(event) || !map) return;
    const {left, top, width, height} = event.target.getBoundingClientRect();
    if (event.key in STEPS) walk(STEPS[event.key]);
    else if (event.key in zooms) zoom.by(zooms[event.key], left + width / 2, top + height / 2);
    else if (event.key === "0") zoom.whole();
    else return;
    event.preventDefault();
  };
}

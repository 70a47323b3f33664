// Parts of the large picture: a box that is drawn, its segments, its objects, and where the query was found.
import {call, of} from "./api.js";
import {$, draw, press, printable} from "./dom.js";
import {wrong} from "./notices.js";
import {search, state} from "./state.js";
import {STEPS, within} from "./zoom.js";

/** The least side of a box that is drawn, in pixels of the window. */
const LEAST = 6;
const over = $("over");
export const MODES = ["region", "segments", "objects", "find"];

export const tell = text => { $("stage-note").textContent = text; };

/** Return a box as a region of the picture, in whole pixels. */
function regionOf(box) {
  const [x, y, width, height] = box.map(Math.round);
  return {region: [x, y, Math.max(1, width), Math.max(1, height)].join()};
}

/** What is drawn over the large picture, in its pixels. */
export class Parts {
  mode = "";
  box = null;
  objects = [];

  /** `searched` is called with the part to search by: its region or segment. */
  constructor(zoom, searched) {
    Object.assign(this, {zoom, searched});
    zoom.pressed = event => this.mode === "region" && this.#press(event);
  }

  /** Begin with a picture, of which nothing more is asked once `signal` is. */
  begin(picture, signal) {
    Object.assign(this, {picture, signal});
    this.#lay(picture.width || 4, picture.height || 3);
    this.#begin("");
  }

  #lay(width, height) {
    over.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }

  #begin(mode) {
    this.mode = mode;
    this.box = null;
    over.replaceChildren();
    $("stage").dataset.mode = mode;
    tell("");
    for (const name of MODES) press(document.querySelector(`#viewer [data-do=${name}]`), mode === name);
  }

  /** Begin with one of MODES, or end it. */
  async toggle(mode) {
    this.#begin(this.mode === mode ? "" : mode);
    const {signal} = this;
    try {
      if (this.mode === "region") this.#region();
      if (this.mode === "segments") await this.#segments(signal);
      if (this.mode === "objects") this.showObjects(this.objects);
      if (this.mode === "find") await this.#find(signal);
    } catch (error) {
      if (!signal.aborted) this.#begin("");
      wrong(error);
    }
  }

  #region() {
    const {width, height} = this.zoom;
    tell("Draw a box, or move it by arrows (with Shift: size) and press Enter.");
    this.#draw([width / 4, height / 4, width / 2, height / 2]);
  }

  #draw(box, name = "drawn") {
    this.box = box;
    const [x, y, width, height] = box;
    over.replaceChildren(draw("rect", {x, y, width, height, class: name}));
  }

  #press(pressed) {
    const {zoom} = this, {stage} = zoom, from = zoom.point(pressed);
    stage.setPointerCapture(pressed.pointerId);
    const ended = new AbortController(), {signal} = ended;
    stage.addEventListener("pointermove", event => {
      const to = zoom.point(event);
      this.#draw([0, 1].map(way => Math.min(from[way], to[way])).concat([0, 1].map(way => Math.abs(to[way] - from[way]))));
      this.isDrawn = Math.min(this.box[2], this.box[3]) * zoom.scale > LEAST;
    }, {signal});
    stage.addEventListener("pointerup", () => { ended.abort(); if (this.isDrawn) this.enter(); }, {signal});
    stage.addEventListener("pointercancel", () => ended.abort(), {signal});
    this.isDrawn = false;
    return true;
  }

  /** Search by the box; tell whether there is one. */
  enter() {
    if (this.mode !== "region") return false;
    this.searched(regionOf(this.box));
    return true;
  }

  /** Move or size the box by a key; tell whether it did. */
  key(event) {
    const step = STEPS[event.key];
    if (this.mode !== "region" || !step) return false;
    const sides = [this.zoom.width, this.zoom.height], by = Math.max(...sides) / 50;
    const from = event.shiftKey ? 2 : 0;
    const box = this.box.map((value, place) => value + by * (step[place - from] ?? 0));
    for (const way of [0, 1]) {
      box[way + 2] = within(box[way + 2], by, sides[way]);
      box[way] = within(box[way], 0, sides[way] - box[way + 2]);
    }
    this.#draw(box);
    return true;
  }

  /** Show the segments: each is a button. */
  async #segments(signal) {
    tell("Looking for its segments …");
    const {width, height, segments} = await call(of(state.index, `pictures/${this.picture.id}/segments`), {signal});
    this.#lay(width, height);
    over.replaceChildren(...segments.map(({number, share, classes, outline}) => {
      const words = (classes ?? []).slice(0, 2).map(one => `, ${one.word}`).join("");
      const label = `Search by segment ${number}: ${Math.round(100 * share)} % of the picture${words}`;
      const d = outline.map(ring => `M${ring.map(point => point.join(" ")).join("L")}Z`).join("");
      return this.#button("path", {d}, label, {segment: number});
    }));
    tell(segments.length ? "Tap a segment to search by it." : "It has no segments of its own.");
  }

  /** Make a shape that searches by a part when it is pressed. */
  #button(tag, given, label, part) {
    const shape = draw(tag, {...given, class: "segment", role: "button", tabindex: "0", "aria-label": label});
    shape.onclick = () => { if (!this.zoom.moved) this.searched(part); };
    shape.onkeydown = event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      this.searched(part);
    };
    shape.onpointerenter = shape.onfocus = () => tell(label);
    return shape;
  }

  /** Show objects with their names: each is a button, the small ones before the large ones. */
  showObjects(objects) {
    const area = ({box}) => box[2] * box[3];
    over.replaceChildren(...objects.toSorted((one, other) => area(other) - area(one)).flatMap(one => {
      const [x, y, width, height] = one.box;
      const name = printable(one.class);
      return [this.#button("rect", {x, y, width, height}, `Search by ${name}, score ${one.score.toFixed(2)}`, regionOf(one.box)),
        draw("text", {x, y, "aria-hidden": "true"}, name)];
    }));
    tell("Tap an object to search by it.");
  }

  /** Show where the query is found in the picture. */
  async #find(signal) {
    tell("Looking for the query in it …");
    const {box, score} = await call(of(state.index, `locate/${this.picture.id}`), {body: search(), signal});
    if (box) this.mark(box);
    tell(box ? `Found here, score ${score.toFixed(2)}.` : "The query was not found in it.");
  }

  /** Show where something was found. */
  mark(box) {
    this.#draw(box, "found");
  }
}

// Parts of the large picture: a box that is drawn, its segments, and where the query was found.
import {call, of} from "./api.js";
import {$, draw} from "./dom.js";
import {wrong} from "./notices.js";
import {search, state} from "./state.js";

const LEAST = 6;
const over = $("over");

const path = outline => outline.map(ring => `M${ring.map(point => point.join(" ")).join("L")}Z`).join("");

/** What is drawn over the large picture, in its pixels. */
export class Parts {
  /** @param {any} zoom @param {(part: any) => void} searched called with the part to search by: region or segment */
  constructor(zoom, searched) {
    Object.assign(this, {zoom, searched, mode: "", picture: null, box: null});
    zoom.pressed = event => this.mode === "region" && this.#press(event);
  }

  /** Begin with a picture. */
  begin(picture) {
    this.asking?.abort();
    this.asking = new AbortController();
    this.picture = picture;
    over.setAttribute("viewBox", `0 0 ${picture.width || 4} ${picture.height || 3}`);
    this.#mode("");
  }

  #mode(mode) {
    this.mode = mode;
    this.box = null;
    over.replaceChildren();
    $("stage").dataset.mode = mode;
    $("stage-note").textContent = "";
    for (const name of ["region", "segments", "find"]) {
      document.querySelector(`#viewer [data-do=${name}]`)?.setAttribute("aria-pressed", String(mode === name));
    }
  }

  /** Begin with one of the three, or end it. */
  toggle(mode) {
    if (this.mode === mode) return this.#mode("");
    this.#mode(mode);
    if (mode === "region") this.#region();
    else this[mode](this.asking.signal).catch(error => { if (error.name !== "AbortError") { wrong(error); this.#mode(""); } });
  }

  #region() {
    const {width, height} = this.zoom;
    $("stage-note").textContent = "Draw a box, or move it by arrows (with Shift: size) and press Enter.";
    this.#draw([width / 4, height / 4, width / 2, height / 2]);
  }

  #draw(box, name = "drawn") {
    this.box = box;
    const [x, y, width, height] = box;
    over.replaceChildren(draw("rect", {x, y, width, height, class: name}));
  }

  #press(event) {
    const {stage} = this.zoom;
    const from = this.zoom.point(event);
    stage.setPointerCapture(event.pointerId);
    const span = one => {
      const to = this.zoom.point(one);
      return [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
    };
    const move = one => this.#draw(span(one));
    const end = one => {
      stage.removeEventListener("pointermove", move);
      stage.removeEventListener("pointerup", end);
      stage.removeEventListener("pointercancel", end);
      if (one.type === "pointerup" && Math.min(...span(one).slice(2)) * this.zoom.scale > LEAST) this.enter();
    };
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
    return true;
  }

  /** Search by the box; tell whether there is one. */
  enter() {
    if (this.mode !== "region" || !this.box) return false;
    const [x, y, width, height] = this.box.map(Math.round);
    this.searched({region: [x, y, Math.max(1, width), Math.max(1, height)].join(",")});
    return true;
  }

  /** Move or size the box by a key; tell whether it did. */
  key(event) {
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (this.mode !== "region" || !step || !this.box) return false;
    const by = Math.max(this.zoom.width, this.zoom.height) / 50;
    let [x, y, width, height] = this.box;
    if (event.shiftKey) [width, height] = [width + step[0] * by, height + step[1] * by];
    else [x, y] = [x + step[0] * by, y + step[1] * by];
    width = Math.min(this.zoom.width, Math.max(by, width));
    height = Math.min(this.zoom.height, Math.max(by, height));
    this.#draw([Math.min(this.zoom.width - width, Math.max(0, x)), Math.min(this.zoom.height - height, Math.max(0, y)), width, height]);
    return true;
  }

  /** Show the segments: each is a button. */
  async segments(signal) {
    $("stage-note").textContent = "Looking for its segments …";
    const found = await call(of(state.index, `pictures/${this.picture.id}/segments`), {signal});
    over.setAttribute("viewBox", `0 0 ${found.width} ${found.height}`);
    over.replaceChildren(...found.segments.map(one => {
      const words = (one.classes ?? []).map(its => its.word ?? its.name ?? its).slice(0, 2).join(", ");
      const label = `Search by segment ${one.number}: ${Math.round(100 * one.share)} % of the picture${words && `, ${words}`}`;
      const shape = draw("path", {d: path(one.outline), class: "segment", role: "button", tabindex: "0", "aria-label": label});
      shape.addEventListener("click", () => { if (!this.zoom.moved) this.searched({segment: one.number}); });
      shape.addEventListener("keydown", event => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        this.searched({segment: one.number});
      });
      for (const name of ["pointerenter", "focus"]) shape.addEventListener(name, () => { $("stage-note").textContent = label; });
      return shape;
    }));
    $("stage-note").textContent = found.segments.length ? "Tap a segment to search by it." : "It has no segments of its own.";
  }

  /** Show where the query is found in the picture. */
  async find(signal) {
    $("stage-note").textContent = "Looking for the query in it …";
    const {box, score} = await call(of(state.index, `locate/${this.picture.id}`), {body: search(), signal});
    if (box) this.#draw(box, "found");
    $("stage-note").textContent = box ? `Found here, score ${Number(score).toFixed(2)}.` : "The query was not found in it.";
  }

  /** Show a box that came with the match. */
  mark(box) {
    this.#draw(box, "found");
    this.box = null;
  }
}

// A picture large: what is known of it, what can be asked by it, and the ones before and after it.
import {call, image, of, original} from "./api.js";
import {has, toggle} from "./basket.js";
import {figureElements} from "./card.js";
import {$, copy, counted, day, icon, make, named, placeOf, printable, size} from "./dom.js";
import {wrong} from "./notices.js";
import {Parts} from "./parts.js";
import {DIGITS, askAnew, go, href, judge, judgement, refOf, state} from "./state.js";
import {Zoom} from "./zoom.js";

const dialog = $("viewer");
const LARGE = 2048, LARGEST = 4096;

/** The dialog of the large picture. */
export class Viewer {
  /** @param {any} wall whose pictures come before and after */
  constructor(wall) {
    this.wall = wall;
    /** @type {any} */
    this.picture = null;
    this.place = -1;
    this.zoom = new Zoom($("stage"), $("sheet"), () => this.#zoomed());
    this.parts = new Parts(this.zoom, part => askAnew({like: [{...refOf(this.picture), ...part}]}));
    this.doings = {
      close: () => this.close(), previous: () => this.step(-1), next: () => this.step(1),
      in: () => this.zoom.by(1.5), out: () => this.zoom.by(1 / 1.5), whole: () => this.zoom.whole(),
      more: () => judge(this.picture, "more"), less: () => judge(this.picture, "less"),
      alone: () => askAnew({like: [refOf(this.picture)]}), basket: () => { toggle(this.picture); this.marked(); },
      region: () => this.parts.toggle("region"), segments: () => this.parts.toggle("segments"), find: () => this.parts.toggle("find"),
    };
    dialog.addEventListener("click", event => {
      const button = event.target.closest("[data-do]");
      if (button && this.picture) this.doings[button.dataset.do]();
    });
    dialog.addEventListener("cancel", event => { event.preventDefault(); this.close(); });
    dialog.addEventListener("keydown", event => this.#key(event));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.picture || event.target.closest("select, input")) return;
    const keys = {m: "more", l: "less", r: "region", s: "segments", w: "find", "+": "in", "=": "in", "-": "out", 0: "whole"};
    const isButton = event.target.closest("button, a, [role=button]");
    const way = {ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
    if (this.parts.key(event)) { /* moved the box */ }
    else if (way && !this.zoom.isWhole) this.zoom.pan(80 * way[0], 80 * way[1]);
    else if (way && way[0]) this.step(-way[0]);
    else if (event.key === "Enter" && !isButton && this.parts.enter()) { /* searches */ }
    else if (event.key === " " && !isButton) this.doings.basket();
    else if (event.key === "c") this.copyPath();
    else if (keys[event.key]) this.doings[keys[event.key]]();
    else return;
    event.preventDefault();
  }

  /** Show the picture of the state, or none. */
  async show() {
    const sha256 = state.picture;
    if (!sha256) {
      if (dialog.open) this.#closed();
      return;
    }
    this.place = history.state?.place ?? this.place;
    if (!this.wall.records[this.place]?.picture.sha256.startsWith(sha256)) this.place = this.wall.placeOf(sha256);
    if (this.picture?.sha256.startsWith(sha256) && dialog.open) return this.marked();
    const record = this.wall.records[this.place];
    if (!dialog.open) {
      dialog.showModal();
      $("viewer-name").focus();
    }
    if (record) this.#fill(record.picture, record);
    else {
      $("large").removeAttribute("src");
      $("viewer-name").textContent = "…";
      $("facts").replaceChildren();
    }
    const path = record ? `pictures/${record.picture.id}` : `pictures/by-sha256/${sha256}`;
    this.asking?.abort();
    this.asking = new AbortController();
    const {signal} = this.asking;
    try {
      const found = await call(of(state.index, path), {signal});
      const known = found.picture ? {...found, ...found.picture} : found;
      if (!record) this.#fill(known, null);
      this.#facts(known);
      const near = await call(of(state.index, `pictures/${known.id}/duplicates`), {signal});
      this.#near(near.matches.filter(one => one.picture.id !== known.id));
    } catch (error) {
      if (error.name === "AbortError") return;
      wrong(error);
      if (!this.picture) this.close();
    }
  }

  #fill(picture, record) {
    this.picture = picture;
    $("viewer-name").replaceChildren(named(picture.name));
    $("viewer-name").title = placeOf(picture);
    $("viewer-rank").replaceChildren(...(record ? [make("span", {className: "rank"}, `${this.place + 1} of ${counted(this.wall.total, "picture")}`),
      ...figureElements(record, this.wall.figures)] : []));
    const large = $("large");
    large.alt = placeOf(picture);
    large.src = image(state.index, picture.id, 512);
    this.large = 0;
    large.onload = () => {
      if (!picture.width) this.zoom.lay(large.naturalWidth, large.naturalHeight);
      this.#sharpen();
    };
    large.onerror = () => { $("stage-note").textContent = "This picture cannot be shown."; };
    this.zoom.lay(picture.width, picture.height);
    this.parts.begin(picture);
    if (record?.box) this.parts.mark(record.box);
    this.#facts({...picture, tags: record?.tags});
    $("near").hidden = true;
    dialog.querySelector("[data-do=find]").hidden = !(state.like.length + state.more.length);
    dialog.querySelector("[data-do=previous]").hidden = this.place <= 0;
    dialog.querySelector("[data-do=next]").hidden = this.place < 0 || this.place + 1 >= this.wall.total;
    if (document.activeElement === document.body) $("viewer-name").focus();
    this.marked();
  }

  /** Load the picture as sharp as it is shown, once the small copy is there. */
  #sharpen() {
    if (!this.picture) return;
    const shown = Math.max(this.zoom.width, this.zoom.height) * this.zoom.scale * devicePixelRatio;
    const wanted = shown > LARGE ? LARGEST : LARGE;
    if (wanted <= this.large || shown <= 512) return;
    this.large = wanted;
    const source = image(state.index, this.picture.id, wanted, "view");
    const {id} = this.picture;
    const sharp = new Image();
    sharp.onload = () => { if (this.picture?.id === id) { $("large").onload = null; $("large").src = source; } };
    sharp.src = source;
  }

  #zoomed() {
    $("zoomed").textContent = this.zoom.isWhole ? "Whole" : `${Math.round(100 * this.zoom.scale)} %`;
    $("stage").classList.toggle("near", !this.zoom.isWhole);
    this.#sharpen();
  }

  #facts(known) {
    const rows = [];
    const row = (name, ...values) => rows.push(make("dt", {}, name), make("dd", {}, ...values));
    const tags = (known.tags ?? []).map(tag => make("a", {className: "tag", href: href({
      picture: "", view: "wall", like: [], more: [], less: [], words: [tag.word], without: [], text: ""})}, tag.word));
    if (tags.length) row("Tags", ...tags.flatMap(tag => [tag, " "]));
    row("Folder", make("a", {href: href({picture: "", view: "wall", folders: [known.folder]})}, known.folder ? named(known.folder) : "the top folder"));
    if (known.width) row("Size", `${known.width} × ${known.height}${known.bytes ? `, ${size(known.bytes)}` : ""}`);
    if (known.taken) row("Taken", day(known.taken, true));
    if (known.camera) row("Camera", named(known.camera));
    if (known.changed) row("Changed", day(known.changed, true));
    if (known.format) row("Format", printable(known.format));
    row("Path", make("span", {className: "path"}, named(known.path)),
      make("button", {type: "button", className: "quiet", onclick: () => this.copyPath()}, icon("copy"), "Copy"));
    row("File", make("a", {href: original(state.index, known.id), target: "_blank", rel: "noopener"}, "Open the file"));
    $("facts").replaceChildren(...rows);
  }

  #near(matches) {
    $("near").hidden = !matches.length;
    $("near").querySelector("ul").replaceChildren(...matches.map(({picture, score}) => make("li", {},
      make("a", {className: "frame", href: href({picture: picture.sha256.slice(0, DIGITS)}), title: placeOf(picture),
        "aria-label": `${placeOf(picture)}, score ${score.toFixed(3)}`}, make("img", {alt: "", src: image(state.index, picture.id, 128)})))));
  }

  /** Say anew how the picture is judged and whether it is in the basket. */
  marked() {
    if (!this.picture) return;
    const judged = judgement(this.picture);
    const marks = {more: judged === "more", less: judged === "less", basket: has(this.picture)};
    for (const [name, isSo] of Object.entries(marks)) dialog.querySelector(`[data-do=${name}]`).setAttribute("aria-pressed", String(isSo));
  }

  async copyPath() {
    await copy(this.picture.path);
    $("stage-note").textContent = "The path is copied.";
  }

  /** Go to the picture before or after. */
  async step(by) {
    if (this.place < 0) return;
    const record = await this.wall.at(this.place + by).catch(error => void wrong(error));
    if (!record) return;
    this.place += by;
    go({picture: refOf(record.picture).sha256}, {replace: true, note: {place: this.place}});
  }

  /** Close: back to the step before, where nothing but the picture came since. */
  close() {
    if (history.state?.isOpened) history.back();
    else go({picture: ""});
  }

  #closed() {
    this.asking?.abort();
    dialog.close();
    this.picture = null;
    $("large").removeAttribute("src");
    // what was looked at last has the focus then, wherever it is in the wall
    if (state.view === "wall" && this.place >= 0) this.wall.focus(this.place);
  }
}

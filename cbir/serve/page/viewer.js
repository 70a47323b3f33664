// A picture large: what is known of it, what can be asked by it, and the ones before and after it.
import {call, image, of, original} from "./api.js";
import {has, toggle} from "./basket.js";
import {figureElements} from "./card.js";
import {$, copy, counted, day, folderName, icon, isModified, make, named, placeOf, press, printable, size} from "./dom.js";
import {wrong} from "./notices.js";
import {MODES, Parts, tell} from "./parts.js";
import {pictureLink, thumbnail} from "./pictures.js";
import {anew, askAnew, go, href, isAsked, judge, judgement, refOf, state} from "./state.js";
import {STEPS, Zoom} from "./zoom.js";

const dialog = $("viewer"), large = $("large");
/** Sizes of copies, and the factor that a press zooms by. */
const SMALL = 512, LARGE = 2048, LARGEST = 4096, CLOSER = 1.5;

const buttonOf = doing => dialog.querySelector(`[data-do=${doing}]`);

/** The dialog of the large picture. */
export class Viewer {
  picture = null;
  place = -1;
  asking = new AbortController();

  /** `wall` has the pictures before and after. */
  constructor(wall) {
    this.wall = wall;
    this.zoom = new Zoom($("stage"), $("sheet"), () => this.#zoomed());
    this.parts = new Parts(this.zoom, part => askAnew({like: [{...refOf(this.picture), ...part}]}));
    this.doings = {
      close: () => this.close(), previous: () => this.step(-1), next: () => this.step(1),
      in: () => this.zoom.by(CLOSER), out: () => this.zoom.by(1 / CLOSER), whole: () => this.zoom.whole(),
      alone: () => askAnew({like: [refOf(this.picture)]}), basket: () => toggle(this.picture),
    };
    for (const kind of ["more", "less"]) this.doings[kind] = () => judge(this.picture, kind);
    for (const mode of MODES) this.doings[mode] = () => this.parts.toggle(mode);
    dialog.onclick = event => { if (this.picture) this.doings[event.target.closest("[data-do]")?.dataset.do]?.(); };
    dialog.oncancel = event => { event.preventDefault(); this.close(); };
    dialog.onkeydown = event => { if (this.picture && !isModified(event) && this.#key(event)) event.preventDefault(); };
  }

  /** Do what a key says; tell whether it says anything. */
  #key(event) {
    const {key, target} = event;
    const isButton = target.closest("button, a, [role=button]");
    const [across, down] = STEPS[key] ?? [];
    const its = dialog.querySelector(`[data-keys~="${CSS.escape(key)}"]:not([hidden])`);
    if (this.parts.key(event)) return true;
    if (STEPS[key] && !this.zoom.isWhole) this.zoom.pan(-80 * across, -80 * down);
    else if (across) this.step(across);
    else if (key === "Enter" && !isButton) return this.parts.enter();
    else if (key === " " && !isButton) this.doings.basket();
    else if (its) its.click();
    else return false;
    return true;
  }

  /** Show the picture of the state, or none. */
  async show() {
    const {picture: sha256} = state;
    if (!sha256) return this.#closed();
    this.place = history.state?.place ?? this.place;
    if (!this.wall.records[this.place]?.picture.sha256.startsWith(sha256)) this.place = this.wall.placeOf(sha256);
    if (this.picture?.sha256.startsWith(sha256)) return this.marked();
    const record = this.wall.records[this.place];
    if (!dialog.open) dialog.showModal();
    this.asking.abort();
    this.asking = new AbortController();
    const {signal} = this.asking;
    if (record) this.#fill(record.picture, record);
    else {
      large.removeAttribute("src");
      $("viewer-name").textContent = "…";
      $("facts").replaceChildren();
    }
    try {
      const known = await call(of(state.index, `pictures/${record?.picture.id ?? sha256}`), {signal});
      if (!record) this.#fill(known, null);
      this.#facts(known);
      const {matches} = await call(of(state.index, `pictures/${known.id}/duplicates`), {signal});
      this.#near(matches.filter(one => one.picture.id !== known.id));
    } catch (error) {
      wrong(error);
      if (!this.picture && !signal.aborted) this.close();
    }
  }

  #fill(picture, record) {
    const {place, wall, zoom} = this;
    this.picture = picture;
    const name = $("viewer-name");
    name.replaceChildren(named(picture.name));
    name.title = large.alt = placeOf(picture);
    name.focus();
    $("viewer-rank").replaceChildren(...(record ? [
      make("span.rank", `${place + 1} of ${counted(wall.total, "picture")}`), ...figureElements(record, wall.figures)] : []));
    this.shown = 0;
    large.onload = () => {
      if (!picture.width) zoom.lay(large.naturalWidth, large.naturalHeight);
      this.#sharpen();
    };
    large.onerror = () => tell("This picture cannot be shown.");
    large.src = image(state.index, picture.id, SMALL);
    zoom.lay(picture.width, picture.height);
    this.parts.begin(picture, this.asking.signal);
    if (record?.box) this.parts.mark(record.box);
    if (record?.objects) this.parts.showObjects(record.objects);
    this.#facts({...picture, tags: record?.tags});
    $("near").hidden = true;
    buttonOf("find").hidden = !(state.like.length + state.more.length);
    buttonOf("previous").hidden = place <= 0;
    buttonOf("next").hidden = place < 0 || place + 1 >= wall.total;
    this.marked();
  }

  /** Load the picture as sharp as it is shown, once the small copy is there. */
  #sharpen() {
    const {picture, zoom} = this;
    if (!picture) return;
    const pixels = Math.max(zoom.width, zoom.height) * zoom.scale * devicePixelRatio;
    const wanted = pixels > LARGE ? LARGEST : LARGE;
    if (wanted <= this.shown || pixels <= SMALL) return;
    this.shown = wanted;
    const sharp = make("img", {src: image(state.index, picture.id, wanted, "view")});
    sharp.onload = () => { if (this.picture === picture) Object.assign(large, {onload: null, src: sharp.src}); };
  }

  #zoomed() {
    $("zoomed").textContent = this.zoom.isWhole ? "Whole" : `${Math.round(100 * this.zoom.scale)} %`;
    $("stage").classList.toggle("near", !this.zoom.isWhole);
    this.#sharpen();
  }

  #facts({tags, objects, faces, folder, width, height, bytes, taken, camera, changed, format, path, id}) {
    this.parts.objects = objects ?? [];
    buttonOf("objects").hidden = !objects?.length;
    const link = (changes, ...children) => make("a", {href: href({view: "wall", picture: "", ...changes})}, ...children);
    const tagLinks = (changesOf, names) => (names ?? []).flatMap(name => [Object.assign(link(anew(changesOf(name)), name), {className: "tag"}), " "]);
    const rows = {
      Tags: tagLinks(word => ({words: [word]}), tags?.map(tag => tag.word)),
      Objects: tagLinks(name => ({objects: [name]}), [...new Set(objects?.map(one => one.class))]),
      "Same person": tagLinks(face => ({like: [{...refOf(this.picture), face}]}), faces?.map(one => one.number)),
      Folder: [link({folders: [folder]}, named(folderName(folder)))],
      Size: width && [`${width} × ${height}`, bytes && `, ${size(bytes)}`],
      Taken: taken && [day(taken, true)],
      Camera: camera && [named(camera)],
      Changed: changed && [day(changed, true)],
      Format: format && [printable(format)],
      Path: [make("span.path", named(path)), make("button.quiet", {type: "button", "data-keys": "c", onclick: () => copy(path).then(() => tell("The path is copied."))}, icon("copy"), "Copy")],
      File: [make("a", {href: original(state.index, id), target: "_blank", rel: "noopener"}, "Open the file")],
    };
    $("facts").replaceChildren(...Object.entries(rows).filter(([, values]) => values?.length)
      .flatMap(([name, values]) => [make("dt", name), make("dd", ...values)]));
  }

  #near(matches) {
    $("near").hidden = !matches.length;
    $("near").querySelector("ul").replaceChildren(...matches.map(({picture, score}) =>
      make("li", pictureLink(picture, `${placeOf(picture)}, score ${score.toFixed(3)}`, thumbnail(picture.id, 128)))));
  }

  /** Say anew how the picture is judged and whether it is in the basket. */
  marked() {
    if (!this.picture) return;
    for (const kind of ["more", "less"]) press(buttonOf(kind), judgement(this.picture) === kind);
    press(buttonOf("basket"), has(this.picture));
    Object.assign($("why"), {href: `why?${href({}).slice(1)}`, hidden: !isAsked()});
  }

  /** Go to the picture before or after. */
  async step(by) {
    if (this.place < 0) return;
    const record = await this.wall.at(this.place + by);
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
    if (!dialog.open) return;
    this.asking.abort();
    dialog.close();
    this.picture = null;
    large.removeAttribute("src");
    // what was looked at last has the focus then, wherever it is in the wall
    if (state.view === "wall" && this.place >= 0) this.wall.focus(this.place);
  }
}

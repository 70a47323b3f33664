// The wall: pictures in rows of one width. Only what is near the window is in the document, so 10,000 scroll as 100 do.
import {fillCard, load, makeCard, mark} from "./card.js";
import {$} from "./dom.js";

const GAP = 10, CAPTION = 58;
// pictures that are very wide or narrow are shown whole within these bounds
const NARROWEST = 0.75, WIDEST = 2.4;
// a row that would be lower than this share of what it should be has one picture less
const LOWEST = 0.8;
/** A picture that was passed sooner than this, in milliseconds, is not loaded. */
const GLANCE = 90;

/** Return how high a row is to be in a window of some width. */
const heightOf = width => (width < 500 ? 140 : width < 1000 ? 165 : 190);
const ratioOf = ({picture: {width, height}}) =>
  Math.min(WIDEST, Math.max(NARROWEST, width > 0 && height > 0 ? width / height : 4 / 3));

export class Wall {
  records = [];
  keys = [];
  figures = [];
  total = 0;
  active = 0;
  /** Rows have their top, height, first picture, and the places (left, width) of all. */
  rows = [];
  /** Elements by what is shown in them. */
  cards = new Map();
  lastTop = 0;

  /** `more` returns the records from a place on, `stale` loads all anew. */
  constructor({more, stale}) {
    Object.assign(this, {more, stale, list: $("wall")});
    new ResizeObserver(() => this.#resized()).observe(this.list);
    addEventListener("scroll", () => this.#later(), {passive: true});
    this.list.addEventListener("focusin", event => {
      const card = event.target.closest(".card");
      if (card) this.#activate(card.place);
    });
  }

  /**
   * Show other matches. Pictures that were there already keep their elements, and move to where they belong. If `isNew`,
   * something else was asked, and the first is the one for the keys.
   */
  replace({matches, total, figures}, isNew) {
    const held = this.list.contains(document.activeElement) ? this.keys[this.active] : null;
    Object.assign(this, {records: [], keys: [], rows: [], total, figures});
    this.#add(matches);
    const stays = held === null ? -1 : this.keys.indexOf(held);
    this.active = Math.max(0, stays >= 0 || !isNew ? stays : 0);
    this.list.classList.add("moving");
    setTimeout(() => this.list.classList.remove("moving"), 400);
    this.render();
    if (held !== null && stays < 0) this.focus(0);
  }

  #add(records) {
    const seen = new Set(this.keys);
    // a file may be there twice for a moment, when another state of the index answers
    const added = records.filter(({picture}) => !seen.has(picture.path));
    this.records.push(...added);
    this.keys.push(...added.map(({picture}) => picture.path));
    if (!records.length) this.total = this.records.length;
    this.#lay();
  }

  /** Lay out the rows that are not yet, beginning with the last, which may not have been full. */
  #lay() {
    const {records, list: {clientWidth: width}} = this;
    if (!width) return;
    this.width = width;
    let {top, first} = this.rows.pop() ?? {top: 0, first: 0};
    const target = heightOf(width);
    while (first < records.length) {
      const ratios = [];
      let sum = 0;
      const room = () => width - GAP * (ratios.length - 1);
      while (first + ratios.length < records.length && sum * target < room()) {
        ratios.push(ratioOf(records[first + ratios.length]));
        sum += ratios.at(-1);
      }
      if (ratios.length > 1 && room() / sum < LOWEST * target) sum -= ratios.pop();
      // the last row of all is not blown up to the width
      const isLast = first + ratios.length >= records.length;
      const exact = isLast ? Math.min(target, room() / sum) : room() / sum;
      let left = 0;
      const places = ratios.map(ratio => {
        const place = {left, width: Math.floor(Math.min(ratio * exact, width))};
        left += place.width + GAP;
        return place;
      });
      const height = Math.round(exact);
      this.rows.push({top, height, first, places});
      top += height + CAPTION + GAP;
      first += ratios.length;
    }
    // the rest is as high as what is known, so that the scrollbar tells how much there is
    this.list.style.height = `${Math.ceil(records.length ? top * Math.max(1, this.total / records.length) : 0)}px`;
  }

  #resized() {
    const {clientWidth} = this.list;
    if (!clientWidth || clientWidth === this.width) return;
    // the picture at the top stays there
    const at = this.#rowAt("top", scrollY - this.#offset());
    this.rows = [];
    this.#lay();
    if (at && scrollY > this.#offset()) scrollTo(0, this.#offset() + this.#rowAt("first", at.first).top);
    this.render();
  }

  #offset() {
    return this.list.getBoundingClientRect().top + scrollY;
  }

  /** Return the last row whose `name`, "top" or "first", is not beyond a value; the first row if there is none. */
  #rowAt(name, value) {
    return this.rows.findLast(row => row[name] <= value) ?? this.rows[0];
  }

  #later() {
    this.frame ??= requestAnimationFrame(() => this.render());
  }

  /** Have in the document what is near the window, and the picture of the focus, in order. */
  render() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    if (!this.list.clientWidth) return;
    const top = scrollY - this.#offset();
    const isFast = Math.abs(top - this.lastTop) > innerHeight;
    this.lastTop = top;
    const held = this.#rowAt("first", this.active);
    const wanted = this.rows.flatMap(row => {
      const isWithin = (from, to) => row.top + row.height > top + from * innerHeight && row.top < top + to * innerHeight;
      // what is seen is loaded before what is near
      const priority = isWithin(0, 1) ? "high" : "low";
      return row === held || isWithin(-0.6, 1.6) ? row.places.map((_, place) => this.#card(row, place, priority)) : [];
    });
    const kept = new Set(wanted);
    for (const [key, card] of this.cards) if (!kept.has(card)) this.#drop(key, card);
    this.#order(wanted);
    clearTimeout(this.glance);
    // what is seen comes first
    const show = () => wanted.forEach(card => load(card, card.isSeen, this.stale));
    if (isFast) this.glance = setTimeout(show, GLANCE);
    else show();
    this.#fill(top);
  }

  #card(row, at, priority) {
    const place = row.first + at, {left, width} = row.places[at];
    const key = this.keys[place];
    if (!this.cards.has(key)) this.cards.set(key, makeCard());
    const card = this.cards.get(key);
    fillCard(card, this.records[place], place, this);
    card.style.transform = `translate(${left}px, ${row.top}px)`;
    card.style.width = `${width}px`;
    card.link.style.height = `${row.height}px`;
    card.pixels = Math.max(width, row.height);
    card.img.fetchPriority = priority;
    this.#reach(card, place === this.active);
    return card;
  }

  /** Drop an element; what it still loads is not waited for. */
  #drop(key, card) {
    if (!card.img.complete) card.img.removeAttribute("src");
    card.remove();
    this.cards.delete(key);
  }

  /** Put elements in order without moving the one that has the focus, which would lose it. */
  #order(wanted) {
    const pivot = wanted.findIndex(card => card.contains(document.activeElement));
    const put = (cards, end) => cards.reduceRight((next, card) => {
      if (card.parentNode !== this.list || card.nextSibling !== next) this.list.insertBefore(card, next);
      return card;
    }, end);
    put(wanted.slice(pivot + 1), null);
    if (pivot >= 0) put(wanted.slice(0, pivot), wanted[pivot]);
  }

  async #fill(top) {
    const end = this.rows.at(-1)?.top ?? 0;
    if (this.isLoading || this.records.length >= this.total || top + 3 * innerHeight < end) return;
    this.isLoading = true;
    await this.#more().catch(() => {}).finally(() => { this.isLoading = false; });
  }

  async #more() {
    const {records} = this;
    const more = await this.more(records.length);
    if (records === this.records) this.#add(more);
    this.#later();
  }

  /** One picture is a stop of the Tab key, with its buttons. */
  #reach(card, isActive) {
    for (const one of [card.link, ...card.buttons]) one.tabIndex = isActive ? 0 : -1;
  }

  #activate(place) {
    this.active = place;
    for (const card of this.cards.values()) this.#reach(card, card.place === place);
  }

  /** Give a picture the focus, wherever it is. */
  focus(place) {
    if (!this.records.length) return $("main").focus();
    const at = Math.min(this.records.length - 1, Math.max(0, place));
    this.#activate(at);
    this.reveal(at);
    this.render();
    this.cards.get(this.keys[at]).link.focus({preventScroll: true});
  }

  /** Scroll until a picture is in the window. */
  reveal(place) {
    const row = this.#rowAt("first", place);
    const head = Math.max(0, document.querySelector("header").getBoundingClientRect().bottom + 8);
    const top = this.#offset() + row.top - head;
    const end = top + head + row.height + CAPTION + 8 - innerHeight;
    if (top < scrollY) scrollTo(0, top);
    else if (end > scrollY) scrollTo(0, end);
  }

  /** Return the place that a key leads to from a picture; null where it leads nowhere. */
  step(key, place) {
    const end = this.records.length - 1;
    const lines = {ArrowUp: -1, ArrowDown: 1, PageUp: -3, PageDown: 3}[key];
    if (!lines) return {ArrowLeft: Math.max(0, place - 1), ArrowRight: Math.min(end, place + 1), Home: 0, End: end}[key] ?? null;
    const row = this.#rowAt("first", place);
    const at = this.rows.indexOf(row);
    const other = this.rows[Math.min(this.rows.length - 1, Math.max(0, at + lines))];
    if (other === row) return lines < 0 ? 0 : end;
    const middle = ({left, width}) => left + width / 2;
    const from = middle(row.places[place - row.first]);
    const away = other.places.map(one => Math.abs(middle(one) - from));
    return other.first + away.indexOf(Math.min(...away));
  }

  /** Say anew how pictures are judged and chosen. */
  marked() {
    for (const card of this.cards.values()) mark(card);
  }

  /** Return the place of a picture by the first digits of its SHA-256, -1 where it is not among those that are here. */
  placeOf(sha256) {
    return this.records.findIndex(record => record.picture.sha256.startsWith(sha256));
  }

  /** Return the record at a place, which is loaded where it is not yet here; nothing past the end. */
  async at(place) {
    if (place >= this.records.length && place < this.total && !this.isLoading) await this.#more();
    return this.records[place];
  }
}

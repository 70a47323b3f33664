// The wall: pictures in rows of one width. Only what is near the window is in the document, so 10,000 scroll as 100 do.
import {fillCard, makeCard, mark, show, thumbnail} from "./card.js";
import {$} from "./dom.js";

const GAP = 10;
const CAPTION = 58;
// pictures that are very wide or narrow are shown whole within these bounds
const NARROWEST = 0.75, WIDEST = 2.4;
// a row that would be lower than this share of what it should be has one picture less
const LOWEST = 0.8;
/** A picture that was passed sooner than this is not loaded. */
const GLANCE = 90;

/** Pictures that a row would be as high as, in a window of some width. */
const heightOf = width => (width < 500 ? 140 : width < 1000 ? 165 : 190);
const ratioOf = ({picture: {width, height}}) =>
  Math.min(WIDEST, Math.max(NARROWEST, width > 0 && height > 0 ? width / height : 4 / 3));

/** Rows of pictures in one width, and which are in the document. */
export class Wall {
  /** @param {{more: (from: number) => Promise<any[]>, stale: () => void}} given what loads more, and what loads anew */
  constructor({more, stale}) {
    this.list = $("wall");
    this.more = more;
    this.stale = stale;
    this.records = [];
    this.figures = [];
    this.total = 0;
    this.active = 0;
    /** @type {{top: number, height: number, first: number, lefts: number[], widths: number[]}[]} */
    this.rows = [];
    /** @type {Map<string, any>} elements by what is shown in them */
    this.cards = new Map();
    this.keys = [];
    this.lastTop = 0;
    new ResizeObserver(() => this.#resized()).observe(this.list);
    addEventListener("scroll", () => this.#later(), {passive: true});
    this.list.addEventListener("focusin", event => {
      const card = event.target.closest(".card");
      if (card && card.place !== this.active) this.#activate(card.place);
    });
  }

  /**
   * Show other matches. Pictures that were there already keep their elements, and move to where they belong.
   * @param {any} result @param {boolean} isNew whether something else was asked: then the first is the one for the keys
   */
  replace(result, isNew) {
    const held = this.list.contains(document.activeElement) ? this.keys[this.active] : null;
    this.records = [];
    this.keys = [];
    this.rows = [];
    this.total = result.total;
    this.figures = result.figures;
    this.#add(result.matches);
    const stays = held === null ? -1 : this.keys.indexOf(held);
    this.active = Math.max(0, stays >= 0 || !isNew ? stays : 0);
    this.list.classList.add("moving");
    setTimeout(() => this.list.classList.remove("moving"), 400);
    this.render();
    if (held !== null && stays < 0) this.focus(0);
  }

  #add(records) {
    const seen = new Set(this.keys);
    for (const record of records) {
      // a file may be there twice for a moment, when another state of the index answers
      if (seen.has(record.picture.path)) continue;
      this.records.push(record);
      this.keys.push(record.picture.path);
    }
    if (records.length === 0) this.total = this.records.length;
    this.#lay();
  }

  /** Lay out the rows that are not yet, beginning with the last, which may not have been full. */
  #lay() {
    const width = this.list.clientWidth;
    if (!width) return;
    this.width = width;
    const last = this.rows.pop();
    let [top, first] = last ? [last.top, last.first] : [0, 0];
    const target = heightOf(width);
    while (first < this.records.length) {
      const ratios = [];
      let sum = 0;
      while (first + ratios.length < this.records.length && sum * target + GAP * (ratios.length - 1) < width) {
        ratios.push(ratioOf(this.records[first + ratios.length]));
        sum += ratios[ratios.length - 1];
      }
      if (ratios.length > 1 && (width - GAP * (ratios.length - 1)) / sum < LOWEST * target) sum -= ratios.pop();
      const full = (width - GAP * (ratios.length - 1)) / sum;
      // the last row of all is not blown up to the width
      const height = Math.round(Math.min(full, first + ratios.length >= this.records.length ? target : full));
      let left = 0;
      const lefts = [], widths = [];
      for (const ratio of ratios) {
        lefts.push(left);
        widths.push(Math.floor(Math.min(ratio * (full <= height + 1 ? full : height), width)));
        left += widths[widths.length - 1] + GAP;
      }
      this.rows.push({top, height, first, lefts, widths});
      top += height + CAPTION + GAP;
      first += ratios.length;
    }
    // the rest is as high as what is known, so that the scrollbar tells how much there is
    const perPicture = this.records.length ? top / this.records.length : 0;
    this.list.style.height = `${Math.ceil(top + perPicture * Math.max(0, this.total - this.records.length))}px`;
  }

  #resized() {
    if (!this.list.clientWidth || this.list.clientWidth === this.width) return;
    // the picture at the top stays there
    const at = this.rows[this.#rowAt(scrollY - this.#offset())];
    this.rows = [];
    this.#lay();
    if (at && scrollY > this.#offset()) scrollTo(0, this.#offset() + this.rows[this.#rowOf(at.first)].top);
    this.render();
  }

  #offset() {
    return this.list.getBoundingClientRect().top + scrollY;
  }

  /** The row that is at a height. */
  #rowAt(top) {
    let low = 0, high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.rows[middle].top <= top) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  /** The row of a picture. */
  #rowOf(place) {
    let low = 0, high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.rows[middle].first <= place) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  #later() {
    this.frame ??= requestAnimationFrame(() => this.render());
  }

  /** Have in the document what is near the window, and the picture of the focus, in order. */
  render() {
    cancelAnimationFrame(this.frame ?? 0);
    this.frame = null;
    if (!this.list.clientWidth) return;
    const top = scrollY - this.#offset();
    const isFast = Math.abs(top - this.lastTop) > innerHeight;
    this.lastTop = top;
    const places = new Set();
    if (this.rows.length) {
      const last = this.#rowAt(top + 1.6 * innerHeight);
      for (let at = this.#rowAt(top - 0.6 * innerHeight); at <= last; at += 1) {
        const row = this.rows[at];
        row.widths.forEach((_, place) => places.add(row.first + place));
      }
      places.add(Math.min(this.active, this.records.length - 1));
    }
    const wanted = [...places].sort((one, other) => one - other).map(place => this.#card(place));
    const kept = new Set(wanted);
    for (const [key, card] of this.cards) if (!kept.has(card)) this.#drop(key, card);
    this.#order(wanted);
    clearTimeout(this.glance);
    const load = () => { for (const card of kept) show(card.img, card.source, this.stale); };
    if (isFast) this.glance = setTimeout(load, GLANCE);
    else load();
    this.#fill(top);
  }

  #card(place) {
    const key = this.keys[place];
    let card = this.cards.get(key);
    if (!card) this.cards.set(key, card = makeCard());
    const record = this.records[place];
    fillCard(card, record, {place, total: this.total, figures: this.figures});
    const row = this.rows[this.#rowOf(place)];
    const [left, width] = [row.lefts[place - row.first], row.widths[place - row.first]];
    card.style.transform = `translate(${left}px, ${row.top}px)`;
    card.style.width = `${width}px`;
    card.link.style.height = `${row.height}px`;
    card.source = thumbnail(record, Math.max(width, row.height));
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
    const place = (cards, end) => {
      for (const card of cards.reverse()) {
        if (card.parentNode !== this.list || card.nextSibling !== end) this.list.insertBefore(card, end);
        end = card;
      }
    };
    place(wanted.slice(pivot + 1), null);
    if (pivot >= 0) place(wanted.slice(0, pivot), wanted[pivot]);
  }

  #fill(top) {
    if (this.isLoading || this.records.length >= this.total) return;
    const last = this.rows[this.rows.length - 1];
    const end = last ? last.top + last.height : 0;
    if (top + 3 * innerHeight < end) return;
    const {records} = this;
    this.isLoading = true;
    this.more(records.length).then(more => {
      this.isLoading = false;
      if (records !== this.records) return this.#later();
      this.#add(more);
      this.render();
    }, () => { this.isLoading = false; });
  }

  /** One picture is a stop of the Tab key, with its buttons. */
  #reach(card, isActive) {
    for (const one of [card.link, ...card.buttons]) one.tabIndex = isActive ? 0 : -1;
  }

  #activate(place) {
    const before = this.cards.get(this.keys[this.active]);
    if (before) this.#reach(before, false);
    this.active = place;
    const card = this.cards.get(this.keys[place]);
    if (card) this.#reach(card, true);
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
    const row = this.rows[this.#rowOf(place)];
    if (!row) return;
    const head = document.querySelector("header").getBoundingClientRect().bottom + 8;
    const top = this.#offset() + row.top;
    const end = top + row.height + CAPTION;
    if (top < scrollY + Math.max(0, head)) scrollTo(0, top - Math.max(0, head));
    else if (end > scrollY + innerHeight) scrollTo(0, end - innerHeight + 8);
  }

  /** The place that a key leads to from a picture; null where it leads nowhere. */
  step(key, place) {
    const at = this.#rowOf(place);
    const row = this.rows[at];
    const end = this.records.length - 1;
    const rows = {ArrowUp: -1, ArrowDown: 1, PageUp: -3, PageDown: 3}[key];
    if (rows) {
      const other = this.rows[Math.min(this.rows.length - 1, Math.max(0, at + rows))];
      if (other === row) return rows < 0 ? 0 : end;
      const middle = row.lefts[place - row.first] + row.widths[place - row.first] / 2;
      const away = other.lefts.map((left, one) => Math.abs(left + other.widths[one] / 2 - middle));
      return other.first + away.indexOf(Math.min(...away));
    }
    return {ArrowLeft: Math.max(0, place - 1), ArrowRight: Math.min(end, place + 1), Home: 0, End: end}[key] ?? null;
  }

  /** Say anew how pictures are judged and chosen. */
  marked() {
    for (const card of this.cards.values()) mark(card);
  }

  /** The place of a picture by the first digits of its SHA-256, -1 where it is not among those that are here. */
  placeOf(sha256) {
    return this.records.findIndex(record => record.picture.sha256.startsWith(sha256));
  }

  /** The record at a place, which is loaded where it is not yet here; undefined past the end. */
  async at(place) {
    const {records} = this;
    if (place >= records.length && place < this.total && place >= 0 && !this.isLoading) {
      const more = await this.more(records.length);
      if (records === this.records) this.#add(more);
    }
    return this.records[place];
  }
}

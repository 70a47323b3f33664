// A picture of the wall: its small copy, what can be done with it, and what is said of it.
import {image} from "./api.js";
import {has, toggle} from "./basket.js";
import {day, iconButton, make, named, placeOf, press, printable} from "./dom.js";
import {judge, judgement, linkTo, state} from "./state.js";

/** Figures that there is room for; the others are in the hint, and beside the large picture. */
const SHOWN = 2;
const DIGITS = {percentile: 2, relevance: 2};

/** Return the figures of a match that people are shown: pairs of name and number. */
const figuresOf = (record, names) => names
  .map(name => [name, record[name] ?? (name === "likeness" ? record.probability : null)])
  .filter(([, value]) => value !== null)
  .map(([name, value]) => [name, Number(value).toFixed(DIGITS[name] ?? 3)]);

/** Make elements of figures: their names are grey. */
export const figureElements = (record, names) => figuresOf(record, names)
  .map(([name, value]) => make("span.figure", make("span.label", name), ` ${value}`));

const tagsOf = ({tags}) => (tags ?? []).map(tag => tag.word).join(", ");

/** Return a picture as a screen reader says it. */
function spoken(record, figures) {
  const {name, folder} = record.picture;
  const judged = judgement(record.picture);
  return [printable(name), folder && `in ${printable(folder)}`, ...figuresOf(record, figures.slice(0, 1)).map(pair => pair.join(" ")),
    tagsOf(record), judged && `${judged} like this`].filter(Boolean).join(", ");
}

/** Make the element of a picture, still empty. */
export function makeCard() {
  const img = make("img", {alt: "", decoding: "async", draggable: false});
  const link = make("a.frame", {tabIndex: -1}, img);
  const doing = (name, label, does) => iconButton(name, label, () => does(card.record.picture), {tabIndex: -1});
  const buttons = [
    doing("more", "More like this (m)", picture => judge(picture, "more")),
    doing("less", "Less like this (l)", picture => judge(picture, "less")),
    doing("basket", "Basket (space)", toggle)];
  const card = make("li.card", link, make("div.actions", ...buttons), make("p.figures"), make("p"), make("p.place"));
  return Object.assign(card, {img, link, buttons});
}

/** Say on an element how its picture is judged, and whether it is in the basket. */
export function mark(card) {
  const judged = judgement(card.record.picture);
  const marks = [judged === "more", judged === "less", has(card.record.picture)];
  ["right", "wrong", "taken"].forEach((name, place) => card.classList.toggle(name, marks[place]));
  card.buttons.forEach((button, place) => press(button, marks[place]));
}

/** Fill an element with a match at its place among all, from 0. */
export function fillCard(card, record, place, {total, figures}) {
  const {picture} = record;
  Object.assign(card, {ariaPosInSet: place + 1, ariaSetSize: total, place});
  if (card.record !== record) {
    card.record = record;
    const [, , numbers, words, folder] = card.children;
    numbers.replaceChildren(make("span.rank", String(place + 1)), ...figureElements(record, figures.slice(0, SHOWN)));
    numbers.title = figuresOf(record, figures).map(pair => pair.join(" ")).join(", ");
    if (!figures.length) numbers.append(picture.why ?? day(picture.taken));
    words.textContent = words.title = tagsOf(record);
    folder.replaceChildren(named(picture.folder || picture.name));
    folder.title = placeOf(picture);
  }
  Object.assign(card.link, {ariaLabel: spoken(record, figures), href: linkTo(picture)});
  mark(card);
}

/** Load an element's picture, as large as it is shown, unless it is there; `failed` is called where that cannot be. */
export function load(card, pixels, failed) {
  const {img} = card;
  const source = image(state.index, card.record.picture.id, pixels * devicePixelRatio > 270 ? 512 : 256);
  if (img.getAttribute("src") === source) return;
  img.onerror = () => { card.link.classList.add("gone"); failed(); };
  img.onload = () => card.link.classList.remove("gone");
  img.src = source;
}

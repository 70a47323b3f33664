// A picture of the wall: its small copy, what can be done with it, and what is said of it.
import {image} from "./api.js";
import {has, toggle} from "./basket.js";
import {day, iconButton, make, named, placeOf, printable} from "./dom.js";
import {href, judge, judgement, refOf, state} from "./state.js";

/** Figures that there is room for; the others are in the hint, and beside the large picture. */
const SHOWN = 2;
const DIGITS = {percentile: 2, relevance: 2};

/** @returns {[string, string][]} the figures of a match that people are shown, with their names */
export const figuresOf = (record, names) => names
  .map(name => [name, record[name] ?? (name === "likeness" ? record.probability : null)])
  .filter(([, value]) => value !== null)
  .map(([name, value]) => [name, Number(value).toFixed(DIGITS[name] ?? 3)]);

/** @returns {any[]} figures as elements: their names in grey */
export const figureElements = (record, names) => figuresOf(record, names)
  .map(([name, value]) => make("span", {className: "figure"}, make("span", {className: "label"}, name), ` ${value}`));

/** @returns {string} a picture as a screen reader says it */
function spoken(record, figures) {
  const {name, folder} = record.picture;
  const words = (record.tags ?? []).map(tag => tag.word);
  const said = [printable(name), folder && `in ${printable(folder)}`,
    ...figuresOf(record, figures.slice(0, 1)).map(pair => pair.join(" ")), words.length && words.join(", ")];
  const judged = judgement(record.picture);
  return [...said, judged && `${judged} like this`].filter(Boolean).join(", ");
}

/** Load a picture into an element, unless it is there; one that cannot be loaded says so. */
export function show(img, source, failed) {
  if (img.getAttribute("src") === source) return;
  img.onerror = () => {
    if (img.getAttribute("src") !== source) return;
    img.closest(".frame")?.classList.add("gone");
    failed?.();
  };
  img.onload = () => img.closest(".frame")?.classList.remove("gone");
  img.src = source;
}

/** Make the element of a picture, still empty. */
export function makeCard() {
  const img = make("img", {alt: "", decoding: "async", draggable: false});
  const card = make("li", {className: "card"},
    make("a", {className: "frame", tabIndex: -1}, img),
    make("div", {className: "actions"},
      iconButton("more", "More like this (m)", {tabIndex: -1, onclick: () => judge(card.record.picture, "more")}),
      iconButton("less", "Less like this (l)", {tabIndex: -1, onclick: () => judge(card.record.picture, "less")}),
      iconButton("basket", "Basket (space)", {tabIndex: -1, onclick: () => toggle(card.record.picture)})),
    make("p", {className: "figures"}), make("p", {className: "words"}), make("p", {className: "place"}));
  [card.link] = card.children;
  card.img = img;
  card.buttons = [...card.querySelectorAll("button")];
  return card;
}

/** Say on an element how its picture is judged, and whether it is in the basket. */
export function mark(card) {
  const judged = judgement(card.record.picture);
  const marks = [judged === "more", judged === "less", has(card.record.picture)];
  ["right", "wrong", "taken"].forEach((name, place) => card.classList.toggle(name, marks[place]));
  card.buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(marks[place])));
}

/**
 * Fill an element with a match.
 * @param {any} card @param {any} record
 * @param {{place: number, total: number, figures: string[]}} given its place among all, from 0
 */
export function fillCard(card, record, {place, total, figures}) {
  const {picture} = record;
  card.setAttribute("aria-posinset", String(place + 1));
  card.setAttribute("aria-setsize", String(total));
  card.place = place;
  if (card.record !== record) {
    card.record = record;
    const [, , numbers, words, folder] = card.children;
    numbers.replaceChildren(make("span", {className: "rank"}, String(place + 1)), ...figureElements(record, figures.slice(0, SHOWN)));
    numbers.title = figuresOf(record, figures).map(pair => pair.join(" ")).join(", ");
    if (!figures.length) numbers.append(day(picture.taken));
    const tags = (record.tags ?? []).map(tag => tag.word).join(", ");
    words.textContent = tags;
    words.title = tags;
    folder.replaceChildren(named(picture.folder || picture.name));
    folder.title = placeOf(picture);
  }
  card.link.setAttribute("aria-label", spoken(record, figures));
  card.link.href = href({picture: refOf(picture).sha256});
  mark(card);
}

/** The address of a match's small copy, as large as it is shown. */
export const thumbnail = (record, pixels) =>
  image(state.index, record.picture.id, pixels * devicePixelRatio > 270 ? 512 : 256);

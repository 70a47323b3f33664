// What is searched for, as chips that can be taken away.
import {call, image, of} from "./api.js";
import {$, copy, icon, make, named, printable} from "./dom.js";
import {notify} from "./notices.js";
import {FILTERS, QUESTION, go, href, isAsked, isFiltered, state} from "./state.js";
import {copyOf} from "./uploads.js";

/** Pictures by the first digits of their SHA-256, as the server told of them. @type {Map<string, Promise<any>>} */
const known = new Map();

/** Remember pictures that came with matches, so that nobody has to be asked for them. */
export function know(records) {
  for (const {picture} of records) known.set(picture.sha256.slice(0, 16), Promise.resolve(picture));
}

/** @returns {Promise<any>} the picture of a SHA-256 */
function pictureOf(sha256) {
  let found = known.get(sha256);
  if (!found) {
    found = call(of(state.index, `pictures/by-sha256/${sha256}`)).then(one => one.picture ?? one);
    found.catch(() => known.delete(sha256));
    known.set(sha256, found);
  }
  return found;
}

/** Forget pictures: their numbers are those of another state of the index. */
export const forget = () => known.clear();

const KINDS = {like: ["", ""], more: ["more", "more like "], less: ["less", "less like "]};
const part = ref => (ref.region ? "a region of " : ref.segment !== undefined ? `segment ${ref.segment} of ` : "");

function pictureChip(kind, ref, place) {
  const [sign, spoken] = KINDS[kind];
  const frame = make("span", {className: "frame"});
  const name = make("span", {className: "name"}, ref.name ? named(ref.name) : "…");
  const chip = makeChip(kind, place, [sign && icon(sign), frame, make("span", {className: "unseen"}, spoken), part(ref), name]);
  const fill = (source, text, link) => {
    if (source) frame.append(make("img", {src: source, alt: "", onerror: event => event.target.remove()}));
    else frame.append(icon("picture"));
    name.replaceChildren(link ? make("a", {href: link}, named(text)) : named(text));
    name.title = printable(text);
    chip.querySelector("button").setAttribute("aria-label", `Take away: ${spoken}${part(ref)}${printable(text)}`);
  };
  if (ref.vector) fill(copyOf(ref), ref.name || "a picture");
  else {
    pictureOf(ref.sha256).then(
      picture => fill(image(state.index, picture.id, 128), picture.name, href({picture: ref.sha256})),
      () => fill("", "not in this index any more"));
  }
  return chip;
}

/** @param {string} name the part of the state @param {number} place in it, -1 of one that is no list */
function makeChip(name, place, children, text = "") {
  const isJudged = {more: " right", less: " wrong", without: " wrong"}[name] ?? "";
  const filters = name in FILTERS ? " filter" : "";
  return make("li", {className: `chip${isJudged}${filters}`}, ...children,
    make("button", {type: "button", "aria-label": `Take away: ${printable(text)}`, onclick: event => takeAway(event, name, place)}, icon("close")));
}

function takeAway(event, name, place) {
  // a chip may be taken away as often as it stands there: its place is that in the state it was made for
  const at = [...$("chips").children].indexOf(event.currentTarget.closest("li"));
  go({[name]: place < 0 ? "" : state[name].filter((_, one) => one !== place)});
  const rest = $("chips").querySelectorAll("li > button");
  (rest[Math.min(at, rest.length - 1)] ?? $("words")).focus();
}

const textChip = (name, place, before, text) => makeChip(name, place, [before, named(text, {className: "name", title: printable(text)})], before + text);

/** Show the chips of the state. */
export function showChips() {
  const chips = [];
  for (const kind of ["like", "more", "less"]) state[kind].forEach((ref, place) => chips.push(pictureChip(kind, ref, place)));
  state.words.forEach((word, place) => chips.push(textChip("words", place, "", word)));
  state.without.forEach((word, place) => chips.push(textChip("without", place, "without ", word)));
  if (state.text) chips.push(textChip("text", -1, "", state.text));
  state.folders.forEach((folder, place) => chips.push(textChip("folders", place, "in ", folder || "the top folder")));
  state.tags.forEach((tag, place) => chips.push(textChip("tags", place, "tag ", tag)));
  for (const [name, words] of [["since", "from "], ["until", "until "], ["score", "score ≥ "], ["probability", "probability ≥ "]]) {
    if (state[name]) chips.push(textChip(name, -1, words, state[name]));
  }
  $("chips").replaceChildren(...chips);
  $("conversation").hidden = !chips.length;
}

/** Make the buttons beside the chips work. */
export function startChips() {
  $("clear").onclick = () => { go({...structuredClone({...QUESTION, ...FILTERS}), view: "wall"}); $("words").focus(); };
  $("share").onclick = async () => {
    await copy(location.href);
    notify("copied", "The link is copied: it leads to this search, for whoever can reach this server.");
  };
}

/** Say that nothing was found, and what to try. */
export function showNothing(isNothing) {
  const box = $("nothing");
  box.hidden = !isNothing;
  if (!isNothing) return;
  const what = isAsked()
    ? "Take a chip away, ask for fewer words at once, or search by a picture that shows what you mean."
    : "Take away a filter: no picture passes all of them.";
  box.replaceChildren(make("p", {}, make("b", {}, "Nothing was found.")), make("p", {}, what));
  if (isFiltered()) box.append(make("button", {type: "button", onclick: () => { go(structuredClone(FILTERS)); $("main").focus(); }}, "Without the filters"));
}

// What is searched for, as chips that can be taken away.
import {call, of} from "./api.js";
import {$, copy, folderName, icon, iconButton, make, named, printable, takeOut} from "./dom.js";
import {notify} from "./notices.js";
import {thumbnail} from "./pictures.js";
import {FILTERS, NOTHING, go, isAsked, isFiltered, linkTo, refOf, state} from "./state.js";
import {copyOf} from "./uploads.js";

/** Pictures by the first digits of their SHA-256, as the server told of them. */
const known = new Map();

/** Remember pictures that came with matches, so that nobody has to be asked for them. */
export function know(records) {
  for (const {picture} of records) known.set(refOf(picture).sha256, Promise.resolve(picture));
}

/** Forget pictures: their numbers are those of another state of the index. */
export const forget = () => known.clear();

function pictureOf(sha256) {
  if (!known.has(sha256)) {
    const found = call(of(state.index, `pictures/${sha256}`));
    found.catch(() => known.delete(sha256));
    known.set(sha256, found);
  }
  return known.get(sha256);
}

/** How chips of each part of the state are marked, and what stands before what they are of. */
const KINDS = {
  like: ["", ""], more: ["right", "more like "], less: ["wrong", "less like "],
  words: ["", ""], without: ["wrong", "without "], texts: ["", ""], not_texts: ["wrong", "without "],
  folders: ["filter", "in "], tags: ["filter", "tag "], objects: ["filter", "shows "],
  not_objects: ["wrong", "shows no "], since: ["filter", "from "], until: ["filter", "until "],
  score: ["filter", "score ≥ "], probability: ["filter", "probability ≥ "], learnt: ["filter", "likeness "],
};

/** Make a chip of the state's part `kind`, at a place of it where it is a list. */
function makeChip(kind, place, spoken, ...children) {
  const take = () => go({[kind]: place < 0 ? "" : state[kind].toSpliced(place, 1)});
  const close = iconButton("close", "", event => takeOut(event, take, $("words")), {title: ""});
  const chip = make("li.chip", ...children, close);
  if (KINDS[kind][0]) chip.classList.add(KINDS[kind][0]);
  chip.speak = text => { close.ariaLabel = `Take away: ${printable(KINDS[kind][1] + text)}`; };
  chip.speak(spoken);
  return chip;
}

const textChip = (kind, place, text) =>
  makeChip(kind, place, text, KINDS[kind][1], named(text, {className: "name", title: printable(text)}));

function pictureChip(kind, place, ref) {
  const part = ref.region ? "a region of " : ref.face ? `face ${ref.face} of ` : ref.segment !== undefined ? `segment ${ref.segment} of ` : "";
  const frame = make("span.frame");
  const name = make("span.name", "…");
  const chip = makeChip(kind, place, "", kind !== "like" && icon(kind), frame, make("span.unseen", KINDS[kind][1]), part, name);
  const fill = (picture, content, text = content) => {
    frame.append(picture);
    name.replaceChildren(content);
    name.title = printable(text);
    chip.speak(part + text);
  };
  if (ref.vector) {
    const source = copyOf(ref);
    fill(source ? make("img", {src: source, alt: ""}) : icon("picture"), named(ref.name || "a picture"), ref.name || "a picture");
  } else {
    pictureOf(ref.sha256).then(
      picture => fill(thumbnail(picture.id, 128), make("a", {href: linkTo(picture)}, named(picture.name)), picture.name),
      () => fill(icon("picture"), "not in this index any more"));
  }
  return chip;
}

/** Show the chips of the state. */
export function showChips() {
  const chips = Object.keys(KINDS).flatMap(kind => {
    const value = state[kind];
    if (!Array.isArray(value)) return value ? [textChip(kind, -1, value)] : [];
    return value.map((one, place) => (typeof one === "object" ? pictureChip(kind, place, one)
      : textChip(kind, place, folderName(one))));
  });
  $("chips").replaceChildren(...chips);
  $("conversation").hidden = !chips.length;
}

/** Make the buttons beside the chips work. */
export function startChips() {
  $("clear").onclick = () => { go(NOTHING); $("words").focus(); };
  $("without-filters").onclick = () => { go(FILTERS); $("main").focus(); };
  $("share").onclick = async () => {
    await copy(location.href);
    notify("copied", "The link is copied: it leads to this search, for whoever can reach this server.");
  };
}

/** Say that nothing was found, and what to try; or say nothing. */
export function showNothing(isNothing) {
  $("nothing").hidden = !isNothing;
  $("fewer").hidden = !isAsked();
  $("unfiltered").hidden = isAsked();
  $("without-filters").hidden = !isFiltered();
}

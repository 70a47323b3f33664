// The search field: completes words and pictures' names while one types. "-" before a word asks for what is without it.
import {call, image, of} from "./api.js";
import {$, counted, make, named, printable} from "./dom.js";
import {wrong} from "./notices.js";
import {askAnew, go, refOf, state} from "./state.js";

const PAUSE = 90;
const field = $("words");
const list = $("completions");
/** @type {any[]} */
let offers = [];
let chosen = -1;
/** @type {AbortController | null} */
let asking = null;
let timer = 0;
/** What the index has, to know what an entered text can mean. */
let about = {has: {}};

/** Begin with an index. */
export function completeFor(index) {
  about = index;
  close();
}

const parts = () => {
  const typed = field.value.trim();
  const isWithout = typed.startsWith("-") && typed.length > 1;
  return {isWithout, typed: isWithout ? typed.slice(1).trim() : typed};
};

function close() {
  asking?.abort();
  clearTimeout(timer);
  list.hidden = true;
  list.replaceChildren();
  offers = [];
  chosen = -1;
  field.setAttribute("aria-expanded", "false");
  field.removeAttribute("aria-activedescendant");
}

async function offer() {
  const {isWithout, typed} = parts();
  if (!typed) return close();
  asking?.abort();
  asking = new AbortController();
  const {signal} = asking;
  const asked = rest => call(of(state.index, `${rest}?prefix=${encodeURIComponent(typed)}&count=8`), {signal});
  const none = error => { if (error.name === "AbortError") throw error; return {}; };
  try {
    const [words, files] = await Promise.all([
      about.has.words === false ? {} : asked("words").catch(none), isWithout ? {} : asked("files").catch(none)]);
    signal.throwIfAborted();
    offers = [
      ...(words.words ?? []).map(one => ({word: one.word, element: wordOption(one, isWithout)})),
      ...(files.files ?? []).map(one => ({file: one, element: fileOption(one)})),
    ];
    if (!offers.length) return close();
  } catch {
    return; // something else was typed since
  }
  chosen = -1;
  field.removeAttribute("aria-activedescendant");
  offers.forEach(({element}, place) => {
    element.id = `completion-${place}`;
    element.onpointerdown = event => { event.preventDefault(); take(offers[place]); };
  });
  list.replaceChildren(...offers.map(one => one.element));
  list.hidden = false;
  field.setAttribute("aria-expanded", "true");
}

const option = (...children) => make("li", {role: "option", "aria-selected": "false"}, ...children);
const wordOption = ({word, meaning, pictures}, isWithout) => option(
  make("span", {className: "word"}, isWithout ? `without ${word}` : word), make("span", {className: "meaning"}, meaning ?? ""),
  make("span", {className: "count"}, pictures ? counted(pictures, "picture") : "none here"));
const fileOption = ({path, id}) => option(
  make("img", {src: image(state.index, id, 128), alt: "", width: 32, height: 32}),
  named(path.slice(path.lastIndexOf("/") + 1), {className: "word", title: printable(path)}),
  named(path.slice(0, Math.max(0, path.lastIndexOf("/"))), {className: "meaning"}));

function choose(place) {
  offers[chosen]?.element.setAttribute("aria-selected", "false");
  chosen = place;
  const element = offers[chosen]?.element;
  if (!element) return field.removeAttribute("aria-activedescendant");
  element.setAttribute("aria-selected", "true");
  element.scrollIntoView({block: "nearest"});
  field.setAttribute("aria-activedescendant", element.id);
}

/** Add a word to what is asked. */
function addWord(word, isWithout) {
  const name = isWithout ? "without" : "words";
  go({view: "wall", picture: "", [name]: [...state[name].filter(one => one !== word), word]});
}

async function take(taken) {
  const {isWithout} = parts();
  close();
  field.value = "";
  if (taken.word) return addWord(taken.word, isWithout);
  try {
    const found = await call(of(state.index, `pictures/${taken.file.id}`));
    askAnew({like: [refOf(found.picture ?? found)]});
  } catch (error) {
    wrong(error);
  }
}

/** Search by what stands in the field, though it was not chosen among the completions. */
function enter() {
  const {isWithout, typed} = parts();
  if (!typed) return;
  const asIs = offers.find(one => one.word?.toLowerCase() === typed.toLowerCase());
  if (asIs) return take(asIs);
  close();
  field.value = "";
  // a text is for networks that take in texts; others say which words they know
  if (about.has.text && !isWithout) go({view: "wall", picture: "", text: typed});
  else addWord(typed, isWithout);
}

/** Make the field work. */
export function startCompletion() {
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(offer, PAUSE); });
  field.addEventListener("blur", close);
  field.addEventListener("keydown", event => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) return event.key === "ArrowDown" ? offer() : undefined;
      const way = event.key === "ArrowDown" ? 1 : -1;
      // through all, and then to what was typed
      choose((chosen + 1 + way + offers.length + 1) % (offers.length + 1) - 1);
    } else if (event.key === "Escape") {
      if (list.hidden) field.blur();
      else close();
      event.stopPropagation();
    }
  });
  $("search").addEventListener("submit", event => {
    event.preventDefault();
    clearTimeout(timer);
    if (chosen >= 0) take(offers[chosen]);
    else enter();
  });
}

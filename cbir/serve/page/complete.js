// The search field: completes words and pictures' names while one types, and takes sentences. "-" before a word asks for what is without it.
import {call, of} from "./api.js";
import {$, counted, make, named, printable} from "./dom.js";
import {thumbnail} from "./pictures.js";
import {askAnew, go, refOf, state} from "./state.js";

/** Milliseconds without a key until completions are asked for. */
const PAUSE = 90;
const field = $("words"), list = $("completions");
let offers = [], chosen = -1, timer = 0;
let asking = new AbortController();
/** What the index has, to know what an entered text can mean. */
let has = {};

/** Begin with an index. */
export function completeFor(index) {
  ({has} = index);
  close();
}

function typed() {
  const [, minus, text] = /^(-?)\s*(.*)$/s.exec(field.value.trim());
  return text ? {text, isWithout: Boolean(minus)} : {text: minus};
}

function close() {
  asking.abort();
  clearTimeout(timer);
  show([]);
}

/** Show offers, none of which is chosen yet. */
function show(some) {
  offers = some;
  list.replaceChildren(...offers.map(offer => offer.element));
  list.hidden = !offers.length;
  field.ariaExpanded = !list.hidden;
  chosen = -1;
  field.removeAttribute("aria-activedescendant");
}

async function offer() {
  const {text, isWithout} = typed();
  if (!text) return close();
  asking.abort();
  asking = new AbortController();
  const {signal} = asking;
  const ask = (what, isWanted) => (isWanted
    ? call(of(state.index, `${what}?prefix=${encodeURIComponent(text)}&count=8`), {signal}).catch(() => ({})) : {});
  const [{words = []}, {files = []}] = await Promise.all([ask("words", has.words), ask("files", !isWithout)]);
  if (signal.aborted) return; // something else was typed since
  const option = (number, taken, ...children) => ({...taken, element: make("li", {
    id: `completion-${number}`, role: "option", ariaSelected: "false",
    onpointerdown: event => { event.preventDefault(); take(taken); }}, ...children)});
  show([
    ...words.map(({word, meaning, pictures}, number) => option(number, {word},
      make("span.word", isWithout ? `without ${word}` : word), make("span.meaning", meaning),
      make("span.count", pictures ? counted(pictures, "picture") : "none here"))),
    ...files.map(({path, id}, number) => {
      const [, folder, name] = /^(.*?)\/?([^/]*)$/s.exec(path);
      return option(words.length + number, {id}, thumbnail(id, 128, {width: 32, height: 32}),
        named(name, {className: "word", title: printable(path)}), named(folder, {className: "meaning"}));
    })]);
}

function choose(place) {
  const before = offers[chosen]?.element, element = offers[place]?.element;
  chosen = place;
  if (before) before.ariaSelected = "false";
  if (!element) return field.removeAttribute("aria-activedescendant");
  element.ariaSelected = "true";
  element.scrollIntoView({block: "nearest"});
  field.setAttribute("aria-activedescendant", element.id);
}

/** Search by a word or a picture that was offered, or by a text. */
async function take({word, id, text}) {
  const name = typed().isWithout ? "without" : "words";
  close();
  field.value = "";
  const {texts, words, not_texts, without} = state;
  if (text || (word && texts.length + not_texts.length)) {
    // words beside a text are texts
    const said = {texts: [...texts, ...words], not_texts: [...not_texts, ...without]};
    const kind = name === "without" ? "not_texts" : "texts";
    return go({view: "wall", picture: "", words: [], without: [], ...said, [kind]: [...said[kind], text ?? word]});
  }
  if (word) return go({view: "wall", picture: "", [name]: [...state[name].filter(one => one !== word), word]});
  askAnew({like: [refOf(await call(of(state.index, `pictures/${id}`)))]});
}

/** Search by what stands in the field, though it was not chosen among the completions. */
function enter() {
  const {text, isWithout} = typed();
  if (!text) return;
  const offered = offers.find(one => one.word?.toLowerCase() === text.toLowerCase());
  // of a text without a network that reads it, the nouns are looked for; of a word it says which it knows
  take(offered ?? (has.text || (/\s/.test(text) && !isWithout) ? {text} : {word: text}));
}

/** Make the field work. */
export function startCompletion() {
  field.oninput = () => { clearTimeout(timer); timer = setTimeout(offer, PAUSE); };
  field.onblur = close;
  field.onkeydown = event => {
    const way = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (event.isComposing) return;
    if (way) {
      event.preventDefault();
      // through all, and then to what was typed
      if (!list.hidden) choose((chosen + 1 + way + offers.length + 1) % (offers.length + 1) - 1);
      else if (way > 0) offer();
    } else if (event.key === "Escape") {
      if (list.hidden) field.blur();
      else close();
      event.stopPropagation();
    }
  };
  $("search").onsubmit = event => {
    event.preventDefault();
    if (chosen >= 0) take(offers[chosen]);
    else enter();
  };
}

// The page of `cbir serve`: what is asked, by the address, and what is shown of it.
import {call, loginByAddress, of} from "./api.js";
import {readBasket, showBasket, startBasket, toggle} from "./basket.js";
import {forget, know, showChips, showNothing, startChips} from "./chips.js";
import {completeFor, startCompletion} from "./complete.js";
import {$, counted, isModified, isTyping, make, printable, thousands} from "./dom.js";
import {showDuplicates, startDuplicates} from "./duplicates.js";
import {filtersFor, showFilters, startFilters} from "./filters.js";
import {showMap, startMap} from "./map.js";
import {dismiss, notify, wrong} from "./notices.js";
import {askedFor, haveNotions, isAsking, showNotions, startNotions} from "./notions.js";
import {FILTERS, NOTHING, QUESTION, begin, go, href, isAsked, isByWords, isFiltered, judge, onStep, refOf, search, state} from "./state.js";
import {startUploads} from "./uploads.js";
import {Viewer} from "./viewer.js";
import {Wall} from "./wall.js";

/** Pictures of the first answer, and of each that goes on. */
const FIRST = 60, NEXT = 240;
/** How often the server is asked whether an index has changed, in milliseconds. */
const ASK_EACH = 2500;
const NO_MATCHES = {matches: [], total: 0, figures: []};
const SHOW = {duplicates: showDuplicates, map: showMap, basket: showBasket};

/** The index that is shown, as the server told of it. */
let index = null;
/** The state of it that the wall is of. */
let shown = {state: "", pictures: 0};
let asking = new AbortController();

const wall = new Wall({
  more: async offset => {
    const result = await find(offset, NEXT);
    if (result.state === shown.state) return result.matches;
    refresh();
    throw new DOMException("another state", "AbortError");
  },
  // numbers of pictures are those of a state: when it is gone, all are asked for anew
  stale: () => { if (index.state !== shown.state) refresh(); },
});
const viewer = new Viewer(wall);

async function find(offset, count) {
  const {signal} = asking;
  const result = isAsking() ? await askedFor(signal) : await call(of(index.name, "search"), {body: {...search(), offset, count}, signal});
  signal.throwIfAborted();
  know(result.matches);
  return result;
}

/** Search by what is asked now, and show it. */
async function refresh(isNew = false) {
  asking.abort();
  asking = new AbortController();
  const slow = setTimeout(() => { $("status").textContent = "Searching …"; }, 400);
  try {
    const result = await find(0, FIRST);
    dismiss("error");
    dismiss("new");
    shown = {state: result.state ?? index.state, pictures: index.pictures};
    wall.replace(result, isNew);
    const [title, order] = isAsking() ? ["Which are alike?", "whose labels would teach most"]
      : isAsked() ? ["Found", "most alike first"]
      : [isFiltered() ? "Filtered pictures" : "All pictures", state.objects.length + state.not_objects.length ? "surest first" : "newest first"];
    $("wall-title").textContent = title;
    const most = result.exact === false ? "at most " : "";
    $("status").textContent = result.total ? `${most}${counted(result.total, "picture")}, ${order}` : "Nothing was found.";
    showNothing(!result.total);
    if (state.learnt && isByWords()) notify("words", `Words are searched for without a notion: ${state.learnt} waits for pictures.`);
    else dismiss("words");
    for (const notice of result.notices) notify(`notice ${notice}`, notice);
    if (isNew) scrollTo(0, history.state?.scroll ?? 0);
  } catch (error) {
    if (error.name === "AbortError") return;
    wall.replace(NO_MATCHES, true);
    $("status").textContent = "";
    showNothing(false);
    if (error.type?.endsWith("no-such-index")) gone();
    else wrong(error);
  } finally {
    clearTimeout(slow);
  }
}

/** Return what the wall depends on. Judgements of pictures that are asked about leave it as it is. */
const asked = one => JSON.stringify(
  ["learnt", "ask", ...(one.learnt && one.ask ? [] : Object.keys({...QUESTION, ...FILTERS}))].map(name => one[name]));

/** Show what a step leads to. */
async function step(now, before) {
  if (now.index !== index?.name) return open(now.index);
  showChips();
  showFilters();
  showNotions();
  document.body.dataset.view = now.view;
  for (const link of document.querySelectorAll("[data-view]:is(a)")) {
    link.href = href({view: link.dataset.view, picture: ""});
    link.ariaCurrent = link.dataset.view === now.view ? "page" : null;
  }
  SHOW[now.view]?.(index.state);
  const isOther = before && now.view !== before.view;
  if (now.view === "wall" && (!before || asked(now) !== asked(before) || !shown.state)) await refresh(true);
  else {
    wall.render();
    wall.marked();
    if (isOther) scrollTo(0, history.state?.scroll ?? 0);
  }
  await viewer.show();
  if (isOther && document.activeElement === document.body) $(`${now.view}-title`).focus();
}

/** Have the index's newest state, and offer what it has. */
async function look(name) {
  index = await call(of(name));
  forget();
  $("people").hidden = !index.has.faces;
  $("people").href = `people/${encodeURIComponent(name)}`;
  completeFor(index);
  filtersFor(index);
  await haveNotions(name);
}

/** Open an index: the one that is asked for, or the first. */
async function open(name) {
  // what is there, and what is still asked for, is of another index, where its numbers are other pictures
  asking.abort();
  wall.replace(NO_MATCHES, true);
  try {
    const {indexes} = await call("indexes");
    if (!indexes.length) return notify("error", "This server has no index to show. In a shell, cbir index makes one.", {isWrong: true});
    const one = indexes.find(its => its.name === name);
    if (!one) {
      if (name) notify("error", `There is no index ${name} here: this is ${indexes[0].name}.`);
      return go({index: indexes[0].name}, {replace: true});
    }
    if (!one.state) gone(name);
    await look(name);
    $("choose-index").hidden = indexes.length < 2;
    $("indexes").replaceChildren(...indexes.map(its => make("option", {value: its.name, selected: its.name === name},
      `${printable(its.name)} (${thousands(its.pictures ?? 0)})`)));
    document.title = `${printable(name)} – cbir`;
    shown = {state: "", pictures: 0};
    // links are made only where the server was started with a folder for them
    document.querySelector("[data-format=links]").hidden = !index.has.links;
    readBasket();
    await step(state, null);
  } catch (error) {
    wrong(error);
  }
}

function gone(name = index.name) {
  notify("gone-index", `The index ${name} went away. It is shown again when it is back.`, {isWrong: true});
}

/** Ask whether the index has changed, went away or came back. */
async function watch() {
  if (document.hidden || !index) return;
  const {indexes} = await call("health");
  const now = indexes.find(one => one.name === index.name);
  if (!now?.state) return gone();
  dismiss("gone-index");
  if (now.state === index.state) return;
  await look(index.name);
  if (!shown.state) return refresh(true);
  const more = index.pictures - shown.pictures;
  notify("new", more > 0 ? `${counted(more, "new picture")}.` : "The index has changed.", {action: ["Show", () => {
    SHOW[state.view]?.(index.state);
    refresh();
  }]});
}

async function keepWatching() {
  for (;;) {
    await new Promise(done => setTimeout(done, ASK_EACH));
    await watch().catch(error => (error.status === 404 ? gone() : wrong(error)));
  }
}

/** Do what a key says, and tell whether it says anything; those of a field, a dialog or a button are theirs. */
function key(event) {
  const {key, target} = event;
  if (isModified(event) || isTyping(event)) return false;
  if (key === "?" && !$("keys").open && !$("login").open) $("keys").showModal();
  else if (document.querySelector("dialog[open]")) return false;
  else if (key === "/") $("words").select();
  else if (state.view !== "wall") return false;
  else return wallKey(key, target);
  return true;
}

function wallKey(key, target) {
  const card = target.closest("#wall .card");
  // from nowhere, arrows lead into the wall
  const isLoose = [document.body, $("main")].includes(target) && wall.records.length;
  const to = card ? wall.step(key, card.place) : isLoose && /Arrow(Down|Right)/.test(key) ? wall.active : null;
  const kind = {m: "more", l: "less"}[key];
  if (to !== null) wall.focus(to);
  else if (!card) return false;
  else if (kind) judge(card.record.picture, kind);
  else if (key === " " && !target.closest("button")) toggle(card.record.picture);
  else return false;
  return true;
}

function start() {
  startCompletion();
  startUploads();
  startChips();
  startFilters();
  startNotions(async () => {
    await look(index.name);
    showNotions();
    await refresh();
  });
  startBasket(() => { wall.marked(); viewer.marked(); });
  startMap();
  startDuplicates(() => index.state);
  onStep(step);
  addEventListener("keydown", event => { if (key(event)) event.preventDefault(); });
  // what goes wrong in answering to a click or a key
  addEventListener("unhandledrejection", event => { event.preventDefault(); wrong(event.reason); });
  addEventListener("server-back", () => { if (index && !wall.records.length) refresh(true); });
  $("indexes").onchange = () => go({...NOTHING, index: $("indexes").value});
  $("help-button").onclick = () => $("keys").showModal();
  $("home").onclick = event => { event.preventDefault(); go(NOTHING); };
  // an ordinary click opens a picture with its place in the wall; any other is the link's
  $("wall").onclick = event => {
    const card = event.target.closest("a.frame")?.parentElement;
    if (!card || isModified(event)) return;
    event.preventDefault();
    go({picture: refOf(card.record.picture).sha256}, {note: {place: card.place, isOpened: true}});
  };
  begin();
  keepWatching();
}

await loginByAddress();
start();

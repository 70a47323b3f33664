// The page of `cbir serve`: what is asked, by the address, and what is shown of it.
import {call, loginByAddress, of} from "./api.js";
import {onBasket, readBasket, showBasket, startBasket, toggle} from "./basket.js";
import {forget, know, showChips, showNothing, startChips} from "./chips.js";
import {completeFor, startCompletion} from "./complete.js";
import {$, counted, isTyping, make, printable, thousands} from "./dom.js";
import {showDuplicates, startDuplicates} from "./duplicates.js";
import {filtersFor, showFilters, startFilters} from "./filters.js";
import {showMap, startMap} from "./map.js";
import {dismiss, notify, wrong} from "./notices.js";
import {FILTERS, QUESTION, begin, go, href, isAsked, isFiltered, judge, onStep, search, state} from "./state.js";
import {startUploads} from "./uploads.js";
import {Viewer} from "./viewer.js";
import {Wall} from "./wall.js";

/** Pictures of the first answer, and of each that goes on. */
const FIRST = 60, NEXT = 240;
/** How often the server is asked whether an index has changed, in milliseconds. */
const ASK_EACH = 2500;

/** The index that is shown, as the server told of it. @type {any} */
let index = null;
/** The state of it that the wall is of. */
let shown = {state: "", pictures: 0};
/** @type {AbortController} */
let asking = new AbortController();

const wall = new Wall({
  more: async offset => {
    const {signal} = asking;
    const result = await find(offset, NEXT, signal);
    if (result.state !== shown.state) {
      refresh();
      throw new DOMException("another state", "AbortError");
    }
    return result.matches;
  },
  // numbers of pictures are those of a state: when it is gone, all are asked for anew
  stale: () => { if (index && index.state !== shown.state) refresh(); },
});
const viewer = new Viewer(wall);

async function find(offset, count, signal) {
  const result = await call(of(index.name, "search"), {body: {...search(), offset, count, tags: true}, signal});
  know(result.matches);
  return result;
}

/** Search by what is asked now, and show it. */
async function refresh(isNew = false) {
  asking.abort();
  asking = new AbortController();
  const {signal} = asking;
  const slow = setTimeout(() => { $("status").textContent = "Searching …"; }, 400);
  try {
    const result = await find(0, FIRST, signal);
    signal.throwIfAborted();
    dismiss("error");
    dismiss("new");
    shown = {state: result.state, pictures: index.pictures};
    wall.replace(result, isNew);
    const total = result.total ?? result.matches.length;
    const order = isAsked() ? "most alike first" : "newest first";
    $("wall-title").textContent = isAsked() ? "Found" : isFiltered() ? "Filtered pictures" : "All pictures";
    $("status").textContent = total ? `${counted(total, "picture")}, ${order}` : "Nothing was found.";
    showNothing(!total);
    for (const notice of result.notices ?? []) notify(`notice ${notice}`, notice);
    if (isNew) scrollTo(0, history.state?.scroll ?? 0);
  } catch (error) {
    if (error.name === "AbortError") return;
    wall.replace({matches: [], total: 0, figures: []}, true);
    $("status").textContent = "";
    showNothing(false);
    if (error.status === 404 && !error.type.includes("picture")) return gone();
    wrong(error);
  } finally {
    clearTimeout(slow);
  }
}

const asked = one => JSON.stringify([...Object.keys(QUESTION), ...Object.keys(FILTERS)].map(name => one[name]));

/** Show what a step leads to. */
async function step(now, before) {
  if (now.index !== index?.name) return open(now.index);
  showChips();
  showFilters();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.dataset.is !== now.view;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    link.href = href({view: link.dataset.view, picture: ""});
    if (link.dataset.view === now.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.view = now.view;
  if (now.view === "duplicates") showDuplicates(index.state);
  if (now.view === "map") showMap(index.state);
  if (now.view === "basket") showBasket();
  const isNew = !before || asked(now) !== asked(before) || !shown.state;
  if (now.view === "wall" && isNew) await refresh(true);
  else {
    wall.render();
    wall.marked();
    if (before && now.view !== before.view) scrollTo(0, history.state?.scroll ?? 0);
  }
  await viewer.show();
  if (before && now.view !== before.view && document.activeElement === document.body) $(`${now.view}-title`).focus?.();
}

/** Open an index: the one that is asked for, or the first. */
async function open(name) {
  try {
    const {indexes} = await call("indexes");
    if (!indexes.length) return notify("error", "This server has no index to show. In a shell, cbir index makes one.", {wrong: true});
    const one = indexes.find(its => its.name === name);
    if (!one) {
      if (name) notify("error", `There is no index ${name} here: this is ${indexes[0].name}.`);
      return go({index: indexes[0].name}, {replace: true});
    }
    if (!one.state) gone(name);
    index = await call(of(name));
    $("choose-index").hidden = indexes.length < 2;
    $("indexes").replaceChildren(...indexes.map(its => make("option", {value: its.name, selected: its.name === name},
      `${printable(its.name)} (${thousands(its.pictures)})`)));
    $("indexes").onchange = () => go({index: $("indexes").value, picture: "", ...structuredClone({...QUESTION, ...FILTERS})});
    document.title = `${printable(name)} – cbir`;
    shown = {state: "", pictures: 0};
    forget();
    completeFor(index);
    filtersFor(index);
    // links are made only where the server was started with a folder for them
    $("formats").querySelector("[data-format=links]").hidden = !index.has.links;
    readBasket();
    await step(state, null);
  } catch (error) {
    wrong(error);
  }
}

function gone(name = index.name) {
  notify("gone-index", `The index ${name} went away. It is shown again when it is back.`, {wrong: true});
}

/** Ask whether the index has changed, went away or came back, again and again while the page is seen. */
async function watch() {
  for (;;) {
    await new Promise(done => setTimeout(done, ASK_EACH));
    if (document.hidden || !index) continue;
    try {
      const {indexes} = await call("health");
      const now = indexes.find(one => one.name === index.name);
      if (!now?.state) {
        gone();
        continue;
      }
      dismiss("gone-index");
      if (now.state === index.state) continue;
      index = await call(of(index.name));
      forget();
      completeFor(index);
      filtersFor(index);
      if (!shown.state) { await refresh(true); continue; }
      const more = index.pictures - shown.pictures;
      const text = more > 0 ? `${thousands(more)} new picture${more > 1 ? "s" : ""}.` : "The index has changed.";
      if (index.state !== shown.state) notify("new", text, {action: ["Show", () => {
        if (state.view === "duplicates") showDuplicates(index.state);
        if (state.view === "map") showMap(index.state);
        refresh();
      }]});
    } catch (error) {
      if (error.status !== 404) wrong(error);
      else gone();
    }
  }
}

/** Keys of the page; those of a field, a dialog or a button are theirs. */
function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
  if (event.key === "?") {
    if (!$("keys").open && !$("login").open) $("keys").showModal();
    return event.preventDefault();
  }
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "/") {
    $("words").focus();
    $("words").select();
    return event.preventDefault();
  }
  if (state.view !== "wall") return;
  const card = event.target.closest?.("#wall .card");
  const isLoose = event.target === document.body || event.target === $("main");
  // from nowhere, arrows lead into the wall
  if (!card && isLoose && ["ArrowDown", "ArrowRight"].includes(event.key) && wall.records.length) {
    wall.focus(wall.active);
    return event.preventDefault();
  }
  if (!card) return;
  const to = wall.step(event.key, card.place);
  if (to !== null) wall.focus(to);
  else if (event.key === "m") judge(card.record.picture, "more");
  else if (event.key === "l") judge(card.record.picture, "less");
  else if (event.key === " " && !event.target.closest("button")) toggle(card.record.picture);
  else return;
  event.preventDefault();
}

function start() {
  startCompletion();
  startUploads();
  startChips();
  startFilters();
  startBasket();
  startMap();
  startDuplicates(() => index?.state);
  onBasket(() => { wall.marked(); viewer.marked(); });
  onStep(step);
  addEventListener("keydown", key);
  addEventListener("server-back", () => { if (index && !wall.records.length) refresh(true); });
  $("help-button").onclick = () => $("keys").showModal();
  $("home").onclick = event => { event.preventDefault(); go({view: "wall", picture: "", ...structuredClone({...QUESTION, ...FILTERS})}); };
  // an ordinary click opens a picture with its place in the wall; any other is the link's
  $("wall").addEventListener("click", event => {
    const link = event.target.closest("a.frame");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const card = link.closest(".card");
    go({picture: card.record.picture.sha256.slice(0, 16)}, {note: {place: card.place, isOpened: true}});
  });
  begin();
  watch();
}

await loginByAddress();
start();

// Duplicates: groups side by side, the ones to keep marked, and the list saved. Nothing is deleted.
import {callUntilDone, image, of} from "./api.js";
import {$, counted, make, named, placeOf, printable, save, thousands} from "./dom.js";
import {wrong} from "./notices.js";
import {DIGITS, href, state} from "./state.js";

const PAGE = 100;
/** @type {AbortController | null} */
let asking = null;
let shownOf = "";
/** @type {any[][]} */
let groups = [];
let total = 0;
/** Pictures that the reader marked otherwise, by their numbers. @type {Map<string, boolean>} */
const marks = new Map();

const isKept = member => marks.get(member.picture.id) ?? member.keep;

function status() {
  const members = groups.flat();
  const spare = members.filter(one => !isKept(one)).length;
  $("duplicates-status").textContent = total
    ? `${counted(total, "group")}${groups.length < total ? `, ${thousands(groups.length)} shown` : ""}; ${counted(spare, "picture")} not kept`
    : "No duplicates were found.";
  for (const id of ["save-paths", "save-csv"]) $(id).disabled = !total;
}

function memberElement(member) {
  const {picture} = member;
  const button = make("button", {type: "button", className: "keep"});
  const item = make("li", {className: "card"},
    make("a", {className: "frame", href: href({picture: picture.sha256.slice(0, DIGITS)}), "aria-label": placeOf(picture)},
      make("img", {src: image(state.index, picture.id, 256), alt: "", loading: "lazy", decoding: "async",
        onerror: event => event.target.parentElement?.classList.add("gone")})),
    button,
    make("p", {className: "figures"}, picture.width ? `${picture.width} × ${picture.height}` : "",
      member.score < 1 || !member.keep ? make("span", {className: "figure"}, make("span", {className: "label"}, " score "), member.score?.toFixed(3) ?? "") : ""),
    make("p", {className: "place", title: placeOf(picture)}, named(picture.name)),
    make("p", {className: "place label"}, named(picture.folder || "")));
  item.show = () => {
    const keeps = isKept(member);
    item.classList.toggle("right", keeps);
    button.textContent = keeps ? "✓ kept" : "not kept";
    button.setAttribute("aria-pressed", String(keeps));
    button.setAttribute("aria-label", `Keep ${printable(picture.name)}`);
  };
  item.change = () => { marks.set(picture.id, !isKept(member)); item.show(); status(); };
  button.onclick = item.change;
  item.show();
  return item;
}

function groupElement(members, number) {
  const id = `group-${number}`;
  return make("section", {className: "group", "aria-labelledby": id},
    make("h3", {id}, `${number + 1}. ${counted(members.length, "picture")}`),
    make("ul", {className: "cards", role: "list", "aria-labelledby": id}, ...members.map(memberElement)));
}

const address = (offset, count) =>
  of(state.index, `duplicates?offset=${offset}&count=${count}${$("alike").value ? `&min_score=${$("alike").value}` : ""}`);

async function load() {
  const {signal} = asking;
  const progress = done => { $("duplicates-done").hidden = false; $("duplicates-done").value = done; $("duplicates-status").textContent = "Looking for duplicates …"; };
  try {
    const found = await callUntilDone(address(groups.length, PAGE), signal, progress);
    total = found.total;
    const more = found.groups.map(group => group.members);
    $("groups").querySelector(".next")?.remove();
    $("groups").append(...more.map((members, place) => groupElement(members, groups.length + place)));
    groups.push(...more);
    if (more.length && groups.length < total) {
      $("groups").append(make("button", {type: "button", className: "next", onclick: next}, "More groups"));
    }
    status();
  } catch (error) {
    if (error.name !== "AbortError") { $("duplicates-status").textContent = ""; wrong(error); }
  }
  if (!signal.aborted) $("duplicates-done").hidden = true;
}

async function next() {
  const first = groups.length;
  await load();
  /** @type {any} */ (document.querySelector(`#groups .group:nth-of-type(${first + 1}) a`))?.focus();
}

/** Show the groups of an index's state, unless they are shown. */
export function showDuplicates(indexState) {
  const now = `${state.index} ${indexState} ${$("alike").value}`;
  if (now === shownOf) return;
  shownOf = now;
  asking?.abort();
  asking = new AbortController();
  groups = [];
  total = 0;
  marks.clear();
  $("groups").replaceChildren();
  load();
}

/** All members, those not yet shown too, with whether they are kept. */
async function all() {
  while (groups.length < total) {
    const before = groups.length;
    await load();
    if (groups.length === before) break;
  }
  return groups.flatMap((members, group) => members.map(one => ({group: group + 1, keep: isKept(one), path: one.picture.path})));
}

// a cell that begins like a formula is none to the programs that open it
const cell = value => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

/** Make the view's buttons and its key work. */
export function startDuplicates(indexState) {
  $("save-paths").onclick = async () => {
    const paths = (await all()).filter(one => !one.keep).map(one => one.path);
    save(new Blob([paths.map(path => `${path}\n`).join("")], {type: "text/plain"}), "not-kept.txt");
  };
  $("save-csv").onclick = async () => {
    const lines = (await all()).map(one => `${one.group},${one.keep ? "keep" : ""},${cell(one.path)}\r\n`);
    save(new Blob(["group,keep,path\r\n", ...lines], {type: "text/csv"}), "duplicates.csv");
  };
  $("alike").onchange = () => showDuplicates(indexState());
  $("groups").addEventListener("keydown", event => {
    if (event.key !== "k" || event.ctrlKey || event.metaKey || event.altKey) return;
    event.target.closest(".card")?.change();
  });
}

// Duplicates: groups side by side, the ones to keep marked, and the list saved. Nothing is deleted.
import {callLong, of} from "./api.js";
import {figureElements} from "./card.js";
import {$, button, counted, isModified, make, named, placeOf, press, printable, save, thousands} from "./dom.js";
import {wrong} from "./notices.js";
import {pictureLink} from "./pictures.js";
import {state} from "./state.js";

const PAGE = 100;
let asking = new AbortController();
/** What the groups are of: index, state, likeness. */
let of_ = "";
let groups = [], total = 0;
/** Whether pictures are kept, by their numbers, where the reader said so. */
const marks = new Map();

const isKept = ({picture, keep}) => marks.get(picture.id) ?? keep;

function tell() {
  const spare = groups.flat().filter(one => !isKept(one)).length;
  const shown = groups.length < total ? `, ${thousands(groups.length)} shown` : "";
  $("duplicates-status").textContent = total
    ? `${counted(total, "group")}${shown}; ${counted(spare, "picture")} not kept` : "No duplicates were found.";
  for (const id of ["save-paths", "save-csv"]) $(id).disabled = !total;
}

function memberElement(member) {
  const {picture, score} = member;
  const change = () => { marks.set(picture.id, !isKept(member)); show(); tell(); };
  const keep = button("button.keep", change);
  keep.ariaLabel = `Keep ${printable(picture.name)}`;
  const item = make("li.card", pictureLink(picture), keep,
    make("p.figures", picture.width && `${picture.width} × ${picture.height}`,
      ...(score < 1 || !member.keep ? figureElements(member, ["score"]) : [])),
    make("p.place", {title: placeOf(picture)}, named(picture.name)),
    make("p.place.label", named(picture.folder)));
  const show = () => {
    item.classList.toggle("right", isKept(member));
    keep.textContent = isKept(member) ? "✓ kept" : "not kept";
    press(keep, isKept(member));
  };
  show();
  return Object.assign(item, {change});
}

function groupElement(members, number) {
  const id = `group-${number}`;
  return make("section.group", {"aria-labelledby": id},
    make("h3", {id}, `${number + 1}. ${counted(members.length, "picture")}`),
    make("ul.cards", {role: "list", "aria-labelledby": id}, ...members.map(memberElement)));
}

async function load() {
  const alike = $("alike").value && `&min_score=${$("alike").value}`;
  const path = of(state.index, `duplicates?offset=${groups.length}&count=${PAGE}${alike}`);
  try {
    const found = await callLong(path, "duplicates", "Looking for duplicates …", asking.signal);
    const more = found.groups.map(group => group.members);
    total = more.length ? found.total : groups.length;
    $("groups").querySelector(".next")?.remove();
    $("groups").append(...more.map((members, place) => groupElement(members, groups.length + place)));
    groups.push(...more);
    if (groups.length < total) $("groups").append(button("button.next", next, "More groups"));
    tell();
  } catch (error) {
    wrong(error);
    return false;
  }
  return true;
}

async function next() {
  const first = groups.length;
  await load();
  $("groups").querySelectorAll(".group")[first]?.querySelector("a").focus();
}

/** Show the groups of an index's state, unless they are shown. */
export function showDuplicates(indexState) {
  const now = `${state.index} ${indexState} ${$("alike").value}`;
  if (now === of_) return;
  of_ = now;
  asking.abort();
  asking = new AbortController();
  [groups, total] = [[], 0];
  marks.clear();
  $("groups").replaceChildren();
  load();
}

/** Return all members, those not yet shown too. */
async function all() {
  while (groups.length < total && await load());
  return groups.flatMap((members, group) => members.map(one => ({group: group + 1, keep: isKept(one), path: one.picture.path})));
}

// a cell that begins like a formula is none to the programs that open it
const cell = value => `"${value.replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

/** Make the view's buttons and its key work; `indexState` returns the state of the index that is shown. */
export function startDuplicates(indexState) {
  $("save-paths").onclick = async () => {
    const spare = (await all()).filter(one => !one.keep);
    save(spare.map(({path}) => `${path}\n`), "not-kept.txt", "text/plain");
  };
  $("save-csv").onclick = async () => {
    const lines = (await all()).map(({group, keep, path}) => `${group},${keep ? "keep" : ""},${cell(path)}\r\n`);
    save(["group,keep,path\r\n", ...lines], "duplicates.csv", "text/csv");
  };
  $("alike").onchange = () => showDuplicates(indexState());
  $("groups").onkeydown = event => {
    if (event.key === "k" && !isModified(event)) event.target.closest(".card")?.change();
  };
}

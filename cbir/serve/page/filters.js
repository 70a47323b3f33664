// Filters by folder, tag, date and score: their fields add to the state, where chips show them.
import {$, day, make, printable, thousands} from "./dom.js";
import {go, state} from "./state.js";

const options = (select, first, all, name, label) => select.replaceChildren(
  make("option", {value: ""}, first),
  ...all.map((one, place) => make("option", {value: String(place)}, `${printable(label(one[name]))} (${thousands(one.pictures)})`)));

/** Offer what an index has to choose from. */
export function filtersFor({folders, tags, dates, has}) {
  const add = (select, name, values) => {
    select.onchange = () => {
      const value = values[Number(select.value)];
      if (value !== undefined && !state[name].includes(value)) go({view: "wall", [name]: [...state[name], value]});
      select.value = "";
    };
    select.closest("label").hidden = !values.length;
  };
  options($("f-folders"), "any", folders, "folder", folder => folder || "the top folder");
  add($("f-folders"), "folders", folders.map(one => one.folder));
  options($("f-tags"), "any", tags, "tag", tag => tag);
  add($("f-tags"), "tags", tags.map(one => one.tag));
  for (const [id, name] of [["f-since", "since"], ["f-until", "until"]]) {
    const input = $(id);
    input.closest("label").hidden = !dates?.known;
    input.min = dates?.first?.slice(0, 10) ?? "";
    input.max = dates?.last?.slice(0, 10) ?? "";
    input.title = dates?.known ? `The photos are from ${day(dates.first)} to ${day(dates.last)}.` : "";
    input.onchange = () => { if (input.validity.valid || !input.value) go({view: "wall", [name]: input.value}); };
  }
  for (const [id, name] of [["f-score", "score"], ["f-probability", "probability"]]) {
    const input = $(id);
    input.onchange = () => { if (input.validity.valid || !input.value) go({view: "wall", [name]: input.value}); };
  }
  $("f-probability").closest("label").hidden = has.words === false;
}

/** Show what the state has, in fields that show one value. */
export function showFilters() {
  for (const name of ["since", "until", "score", "probability"]) $(`f-${name}`).value = state[name];
}

/** Make the button work. */
export function startFilters() {
  const button = $("filter-button");
  button.onclick = () => {
    const isOpen = $("filters").hidden;
    $("filters").hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) $("filters").querySelector("label:not([hidden]) :is(select, input)")?.focus();
  };
}

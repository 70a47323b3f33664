// Filters by folder, tag, object, date and score: their fields add to the state, where chips show them.
import {$, day, folderName, make, printable, thousands} from "./dom.js";
import {go, state} from "./state.js";

const FIELDS = ["since", "until", "score", "probability"];

/** Offer an index's values of one kind, of which any number can be chosen. */
function offer(kind, all) {
  const select = $(`f-${kind}`);
  select.closest("label").hidden = !all.length;
  select.replaceChildren(make("option", {value: ""}, "any"), ...all.map(([value, pictures], place) =>
    make("option", {value: place}, `${printable(folderName(value))} (${thousands(pictures)})`)));
  select.onchange = () => {
    const [value] = all[select.value];
    select.value = "";
    if (!state[kind].includes(value)) go({view: "wall", [kind]: [...state[kind], value]});
  };
}

/** Offer what an index has to choose from. */
export function filtersFor({dates, has, ...index}) {
  for (const kind of ["folders", "tags", "objects", "not_objects"]) offer(kind, (index[kind] ?? index.objects).map(Object.values));
  for (const name of FIELDS) {
    const input = $(`f-${name}`);
    input.onchange = () => { if (input.validity.valid) go({view: "wall", [name]: input.value}); };
    if (input.type !== "date") continue;
    input.closest("label").hidden = !dates;
    input.min = dates?.first.slice(0, 10) ?? "";
    input.max = dates?.last.slice(0, 10) ?? "";
    input.title = dates ? `The photos are from ${day(dates.first)} to ${day(dates.last)}.` : "";
  }
  $("f-probability").closest("label").hidden = !has.words;
}

/** Show what the state has, in fields that show one value. */
export function showFilters() {
  for (const name of FIELDS) $(`f-${name}`).value = state[name];
}

/** Make the button work. */
export function startFilters() {
  const button = $("filter-button"), panel = $("filters");
  button.onclick = () => {
    panel.hidden = !panel.hidden;
    button.ariaExpanded = !panel.hidden;
    panel.querySelector("label:not([hidden]) :is(select, input)")?.focus();
  };
}

// The basket: chosen pictures of an index, kept by this browser; all its tabs have the same.
import {download, of} from "./api.js";
import {$, counted, iconButton, make, named, placeOf, printable, save, takeOut} from "./dom.js";
import {notify, wrong} from "./notices.js";
import {pictureLink, thumbnail} from "./pictures.js";
import {state} from "./state.js";

const KEPT = ["sha256", "folder", "name"];
const ENDINGS = {paths: "txt", sheet: "jpg"};

const key = () => `cbir basket ${state.index}`;
/** Pictures by SHA-256. */
let chosen = new Map();
let told = () => {};

/** Read what is kept: another index has another basket. What is kept there wrongly counts as nothing. */
export function readBasket() {
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(key()));
  } catch { /* kept nowhere: this page has its own */ }
  const isChosen = one => KEPT.every(name => typeof one?.[name] === "string");
  chosen = new Map((Array.isArray(kept) ? kept : []).filter(isChosen).map(one => [one.sha256, one]));
  tell();
}

function write(now) {
  chosen = now;
  try {
    localStorage.setItem(key(), JSON.stringify([...chosen.values()]));
  } catch { /* full, or forbidden: the basket is that of this page */ }
  tell();
}

function tell() {
  $("in-basket").textContent = chosen.size;
  $("in-basket").hidden = !chosen.size;
  told();
  if (state.view === "basket") showBasket();
}

export const has = picture => chosen.has(picture.sha256);

/** Put a picture into the basket, or take it out. */
export function toggle(picture) {
  if (!chosen.delete(picture.sha256)) {
    chosen.set(picture.sha256, Object.fromEntries(KEPT.map(name => [name, picture[name]])));
  }
  write(chosen);
}

/** Show the basket's pictures, and what can be made of them. */
export function showBasket() {
  $("basket-status").textContent = counted(chosen.size, "picture");
  for (const button of $("formats").children) button.disabled = !chosen.size;
  $("basket").replaceChildren(...[...chosen.values()].map(item));
}

function item(one) {
  // its id may be of a state that is gone: what the server knows it by is its content
  const img = thumbnail(one.sha256, 256, {loading: "lazy"});
  return make("li.card", pictureLink(one, placeOf(one), img),
    make("div.actions", iconButton("close", `Take out ${printable(one.name)}`,
      event => takeOut(event, () => toggle(one), $("basket-title")))),
    make("p.place", {title: placeOf(one)}, named(one.name)));
}

/** Have the server make something of the basket, and save it here; links it makes there. */
async function convert(button) {
  const {format} = button.dataset;
  button.disabled = true;
  $("basket-status").textContent = `Making: ${button.textContent} …`;
  try {
    const {blob, name, made} = await download(of(state.index, "basket"), {pictures: [...chosen.keys()], format});
    if (blob) save([blob], name ?? `basket.${ENDINGS[format] ?? format}`);
    else notify("links", `${counted(made.links, "link")} made in ${made.directory}`);
  } catch (error) {
    wrong(error);
  }
  showBasket();
  if (document.activeElement === document.body) button.focus();
}

/** Make the basket's buttons work; `changed` is called when pictures come into it or leave it. */
export function startBasket(changed) {
  told = changed;
  for (const button of $("formats").querySelectorAll("[data-format]")) button.onclick = () => convert(button);
  $("empty").onclick = () => {
    const before = chosen;
    write(new Map());
    notify("emptied", "The basket is empty.", {action: ["Put all back", () => write(before)]});
    $("basket-title").focus();
  };
  addEventListener("storage", event => { if (event.key === key()) readBasket(); });
}

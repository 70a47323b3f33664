// The basket: chosen pictures of an index, kept by this browser; all its tabs have the same.
import {call, download, image, of} from "./api.js";
import {$, counted, iconButton, make, named, placeOf, printable, save} from "./dom.js";
import {notify, wrong} from "./notices.js";
import {DIGITS, href, state} from "./state.js";

/** @typedef {{sha256: string, folder: string, name: string, id: string}} Chosen */

const key = () => `cbir basket ${state.index}`;
/** @type {Map<string, Chosen>} by SHA-256 */
let chosen = new Map();
/** @type {(() => void)[]} */
const listeners = [];
/** Have a function called when pictures come into the basket or leave it. */
export const onBasket = listener => listeners.push(listener);

/** Read what is kept: another index has another basket. What is kept there wrongly counts as nothing. */
export function readBasket() {
  let kept = [];
  try {
    kept = JSON.parse(localStorage.getItem(key()) ?? "[]");
  } catch { /* kept nowhere: this page has its own */ }
  const isChosen = one => ["sha256", "folder", "name", "id"].every(name => typeof one?.[name] === "string");
  chosen = new Map((Array.isArray(kept) ? kept : []).filter(isChosen).map(one => [one.sha256, one]));
  told();
}

function write() {
  try {
    localStorage.setItem(key(), JSON.stringify([...chosen.values()]));
  } catch { /* full, or forbidden: the basket is that of this page */ }
  told();
}

function told() {
  $("in-basket").textContent = String(chosen.size);
  $("in-basket").hidden = !chosen.size;
  for (const listener of listeners) listener();
  if (state.view === "basket") showBasket();
}

export const has = picture => chosen.has(picture.sha256);

/** Put a picture into the basket, or take it out. */
export function toggle(picture) {
  if (!chosen.delete(picture.sha256)) {
    const {sha256, folder, name, id} = picture;
    chosen.set(sha256, {sha256, folder, name, id});
  }
  write();
}

/** Show the basket's pictures, and what can be made of them. */
export function showBasket() {
  $("basket-status").textContent = counted(chosen.size, "picture");
  $("basket-note").textContent = chosen.size
    ? "The basket is kept by this browser, for this index. It makes new files; the pictures stay where they are."
    : "Nothing is in it yet. Space, or the basket of a picture, puts it in.";
  for (const button of $("formats").querySelectorAll("button")) button.disabled = !chosen.size;
  const items = [...chosen.values()].map(one => {
    const img = make("img", {alt: "", loading: "lazy", decoding: "async"});
    // its id may be of a state that is gone: what the server knows it by is its content
    img.onerror = () => {
      img.onerror = null;
      call(of(state.index, `pictures/by-sha256/${one.sha256}`))
        .then(found => { img.src = image(state.index, found.picture?.id ?? found.id, 256); }, () => img.parentElement.classList.add("gone"));
    };
    img.src = image(state.index, one.id, 256);
    return make("li", {className: "card"},
      make("a", {className: "frame", href: href({picture: one.sha256.slice(0, DIGITS)}), "aria-label": placeOf(one)}, img),
      make("div", {className: "actions"},
        iconButton("close", `Take out ${printable(one.name)}`, {onclick: event => remove(event.currentTarget.closest("li"), one)})),
      make("p", {className: "place", title: placeOf(one)}, named(one.name)));
  });
  $("basket").replaceChildren(...items);
}

/** Take out a picture; the focus goes on to the next. */
function remove(item, one) {
  const place = [...$("basket").children].indexOf(item);
  toggle(one);
  const buttons = $("basket").querySelectorAll("button");
  (buttons[Math.min(place, buttons.length - 1)] ?? $("basket-title")).focus();
}

const ENDINGS = {paths: "txt", csv: "csv", json: "json", sheet: "jpg", zip: "zip"};

/** Have the server make something of the basket, and save it here; links it makes there. */
async function make_(button) {
  const {format} = button.dataset;
  button.disabled = true;
  $("basket-status").textContent = `Making: ${button.textContent} …`;
  try {
    const {blob, name, made} = await download(of(state.index, "basket"), {pictures: [...chosen.keys()], format});
    if (blob) save(blob, name ?? `basket.${ENDINGS[format]}`);
    else notify("links", `${counted(made.links, "link")} made in ${made.directory}`);
  } catch (error) {
    wrong(error);
  }
  showBasket();
  if (document.activeElement === document.body) button.focus();
}

/** Make the basket's buttons work. */
export function startBasket() {
  for (const button of $("formats").querySelectorAll("[data-format]")) button.onclick = () => make_(button);
  $("empty").onclick = () => {
    const before = chosen;
    chosen = new Map();
    write();
    notify("emptied", "The basket is empty.", {action: ["Put all back", () => { chosen = before; write(); }]});
    $("basket-title").focus();
  };
  addEventListener("storage", event => { if (event.key === key()) readBasket(); });
}

// Elements, and texts of strangers in them: text content only, never markup.

export const $ = id => document.getElementById(id);

/**
 * Make an element: `make("li.card", {title}, child, …)`. What is given is set as a property where there is one of that
 * name, else as an attribute, and left out where it is nothing, as children are.
 */
export function make(what, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  const given = children[0]?.constructor === Object ? children.shift() : {};
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

/** Make an element of SVG. */
export function draw(tag, given, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Make an icon: one of the symbols of the page. */
export const icon = name => draw("svg", {class: "icon", "aria-hidden": "true"}, draw("use", {href: `#i-${name}`}));

export const button = (what, onclick, ...children) => make(what, {type: "button", onclick}, ...children);

/** Make a button with an icon alone, whose words are read out and shown as a hint. */
export const iconButton = (name, label, onclick, given = {}) =>
  make("button", {type: "button", title: label, ariaLabel: label, onclick, ...given}, icon(name));

/** Say whether a button that stays down is down. */
export const press = (element, isSo) => { element.ariaPressed = isSo; };

// control characters have no width, or that of the font: each is shown as a sign that stands for it
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Show a text of strangers in one line: control characters and halves of characters as signs. */
export const printable = text => String(text).toWellFormed()
  .replace(CONTROLS, sign => (sign < " " ? String.fromCharCode(0x2400 + sign.charCodeAt(0)) : "\ufffd"));

/** Make a name of strangers, whose direction stays its own. */
export const named = (text, given = {}) => make("bdi", given, printable(text));

/** Return where a picture is within its index, in one line. */
export const placeOf = ({folder, name}) => printable(folder ? `${folder}/${name}` : name);

export const folderName = folder => folder || "the top folder";

export const thousands = number => Number(number).toLocaleString("en-GB");

export const counted = (number, noun) => `${thousands(number)} ${noun}${number === 1 ? "" : "s"}`;

/** Return a day as people write it, of an ISO 8601 date; empty of none. */
export function day(iso, withTime = false) {
  const date = new Date(iso ?? "");
  return isNaN(date) ? "" : date.toLocaleString("en-GB", {dateStyle: "medium", timeStyle: withTime ? "short" : undefined});
}

const SIZES = new Intl.NumberFormat("en-GB", {notation: "compact", style: "unit", unit: "byte", unitDisplay: "narrow"});
/** Return bytes as people read them. */
export const size = bytes => SIZES.format(bytes);

/** Save a file on the reader's computer. */
export function save(parts, name, type) {
  const link = make("a", {href: URL.createObjectURL(new Blob(parts, {type})), download: name});
  link.click();
  // the download has begun by then
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Copy a text: pages that are neither from this computer nor over TLS have no clipboard, so an old way is the other. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea.unseen", {value: text});
    const held = document.activeElement;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    held?.focus();
  }
}

/** Do what takes an item out of its list, by the button of an event; the next one's has the focus then. */
export function takeOut(event, take, otherwise) {
  const item = event.currentTarget.closest("li"), list = item.parentNode;
  const place = [...list.children].indexOf(item);
  take();
  const left = list.querySelectorAll("li button");
  (left[Math.min(place, left.length - 1)] ?? otherwise).focus();
}

/** Tell whether what is typed goes into a field. */
export const isTyping = ({target}) => target.matches?.("input:not([type=checkbox], [type=radio]), select, textarea");

/** Tell whether a key or a click is the browser's. */
export const isModified = event =>
  event.ctrlKey || event.metaKey || event.altKey || (event.type === "click" && event.shiftKey);

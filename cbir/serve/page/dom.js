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
  make("button", {type: "button", title: label, "aria-label": label, onclick, ...given}, icon(name));

/** Say whether a button that stays down is down. */
export const press = (element, isSo) => element.setAttribute("aria-pressed", String(isSo));

// control characters have no width, or that of the font: each is shown as a sign that stands for it
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Show a text of strangers in one line: control characters and halves of characters as signs. */
export const printable = text => String(text)
  .replace(CONTROLS, sign => (sign < " " ? String.fromCharCode(0x2400 + sign.charCodeAt(0)) : "\ufffd"))
  .replace(LONE, "\ufffd");

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
  const time = withTime && {hour: "2-digit", minute: "2-digit"};
  return isNaN(date) ? "" : date.toLocaleString("en-GB", {day: "numeric", month: "short", year: "numeric", ...time});
}

/** Return bytes as people read them. */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 1000 && unit < 3) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

/** Save a file on the reader's computer. */
export function save(blob, name) {
  const link = make("a", {href: URL.createObjectURL(blob), download: name});
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

/** Focus what is at a place in a list, or what is last; `otherwise` in an empty one. */
export const focusOn = (list, place, otherwise) => (list[Math.min(place, list.length - 1)] ?? otherwise).focus();

/** Tell whether what is typed goes into a field. */
export const isTyping = ({target}) => target.matches?.("input:not([type=checkbox], [type=radio]), select, textarea");

/** Tell whether a key or a click is the browser's. */
export const isModified = event =>
  event.ctrlKey || event.metaKey || event.altKey || (event.type === "click" && event.shiftKey);

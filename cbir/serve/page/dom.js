// Elements, and texts of strangers in them: text content only, never markup.

/** @param {string} id @returns {any} the element of that id */
export const $ = id => document.getElementById(id);

/**
 * Make an element. Properties are set as properties where there are such, else as attributes; `on…` are listeners.
 * @param {string} tag @param {Object<string, any>} [given] @param {...any} children nodes, texts, or nothing
 * @returns {any}
 */
export function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.startsWith("aria")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== undefined && child !== null && child !== ""));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an element of SVG with attributes. */
export function draw(tag, given = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(given)) element.setAttribute(name, value);
  return element;
}

/** Make an icon: one of the symbols of the page. */
export function icon(name) {
  const svg = draw("svg", {class: "icon", "aria-hidden": "true"});
  svg.append(draw("use", {href: `#i-${name}`}));
  return svg;
}

/** Make a button with an icon alone, whose words are read out and shown as a hint. */
export function iconButton(name, label, given = {}) {
  return make("button", {type: "button", title: label, "aria-label": label, ...given}, icon(name));
}

// control characters have no width, or that of the font: each is shown as what it is called in a picture of it
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Show a text of strangers in one line: control characters and halves of characters as signs. */
export const printable = text => String(text).replace(CONTROLS, sign => {
  const code = sign.charCodeAt(0);
  return code < 32 ? String.fromCharCode(0x2400 + code) : "\ufffd";
}).replace(LONE, "\ufffd");

/** Make a name of strangers, whose direction stays its own. */
export const named = (text, given = {}) => make("bdi", given, printable(text));

/** @returns {string} where a picture is within its index, in one line */
export const placeOf = ({folder, name}) => printable(folder ? `${folder}/${name}` : name);

/** @returns {string} a number with its thousands apart, as the shell prints it */
export const thousands = number => Number(number).toLocaleString("en-GB");

/** @returns {string} "1 picture", "2,000 pictures" */
export const counted = (number, noun) => `${thousands(number)} ${noun}${number === 1 ? "" : "s"}`;

/** @returns {string} a day as people write it, of an ISO 8601 date; empty of none */
export function day(iso, withTime = false) {
  const date = iso ? new Date(iso) : null;
  if (!date || isNaN(+date)) return "";
  const how = {day: "numeric", month: "short", year: "numeric", ...(withTime && {hour: "2-digit", minute: "2-digit"})};
  return date.toLocaleString("en-GB", how);
}

/** @returns {string} bytes as people read them */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 1000 && unit < 3) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

/** Save a file on the reader's computer. */
export function save(blob, name) {
  const link = make("a", {href: URL.createObjectURL(blob), download: name});
  document.body.append(link);
  link.click();
  link.remove();
  // the download has begun by then
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Copy a text: pages that are not from this computer and not over TLS have no clipboard, so an old way is the other. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", {value: text, className: "unseen"});
    const held = document.activeElement;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    /** @type {any} */ (held)?.focus();
  }
}

/** Tell whether what is typed goes into a field. */
export const isTyping = event => event.target instanceof Element
  && event.target.matches("input:not([type=checkbox]):not([type=radio]), select, textarea");

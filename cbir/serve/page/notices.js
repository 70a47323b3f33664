// Messages above the pictures: what went wrong, what is new. Each has a key, under which there is one at a time.
import {$, iconButton, make, printable} from "./dom.js";

/** @type {Map<string, any>} */
const shown = new Map();

/**
 * Show a message. `action`, a label and what it does, becomes a button; errors are read out at once.
 * @param {string} key @param {string} text @param {{action?: [string, () => void], wrong?: boolean}} [given]
 */
export function notify(key, text, {action, wrong = false} = {}) {
  const said = printable(text);
  const before = shown.get(key);
  if (before?.dataset.said === said) return;
  before?.remove();
  const notice = make("div", {className: wrong ? "notice wrong" : "notice", role: wrong ? "alert" : "status"}, said,
    action && make("button", {type: "button", onclick: () => { dismiss(key); action[1](); }}, action[0]),
    iconButton("close", "Dismiss", {className: "quiet", onclick: () => { dismiss(key); $("main").focus({preventScroll: true}); }}));
  notice.dataset.said = said;
  shown.set(key, notice);
  $("notices").append(notice);
}

/** Take a message away, if it is there. */
export function dismiss(key) {
  shown.get(key)?.remove();
  shown.delete(key);
}

/** Tell of an error: what the server says of it, or the error itself. Requests that were given up are none. */
export function wrong(error, key = "error") {
  if (error?.name === "AbortError") return;
  notify(key, error?.detail || error?.message || String(error), {wrong: true});
}

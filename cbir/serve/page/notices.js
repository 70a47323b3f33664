// Messages above the pictures: what went wrong, what is new. Each has a key, under which there is one at a time.
import {$, button, iconButton, make, printable} from "./dom.js";

const shown = new Map();

/** Show a message, and return it. `action`, a label and what it does, becomes a button; errors are read out at once. */
export function notify(key, text, {action, isWrong = false} = {}) {
  const said = printable(text);
  if (shown.get(key)?.dataset.said === said) return shown.get(key);
  dismiss(key);
  const notice = make("div.notice", {role: isWrong ? "alert" : "status"}, make("span", said),
    action && button("button", () => { dismiss(key); action[1](); }, action[0]),
    iconButton("close", "Dismiss", () => { dismiss(key); $("main").focus({preventScroll: true}); }, {className: "quiet"}));
  notice.classList.toggle("wrong", isWrong);
  notice.dataset.said = said;
  shown.set(key, notice);
  $("notices").append(notice);
  return notice;
}

export function dismiss(key) {
  shown.get(key)?.remove();
  shown.delete(key);
}

/** Tell of an error. Requests that were given up are none. */
export function wrong(error) {
  if (error.name !== "AbortError") notify("error", error.message, {isWrong: true});
}

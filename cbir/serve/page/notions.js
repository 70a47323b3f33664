// Notions: likenesses of the reader's own, learnt from judgements. One is chosen, kept, asked for labels, forgotten.
import {call, of} from "./api.js";
import {$, counted, make, press, printable} from "./dom.js";
import {dismiss, notify} from "./notices.js";
import {go, state} from "./state.js";

/** Pictures that are asked about at a time. */
const ASKED = 20;

let notions = [];
let changed = () => {};

const pathOf = (name, rest = "") => of(state.index, `notions${name && `/${encodeURIComponent(name)}`}${rest}`);

/** Have the notions of an index, and offer them. */
export async function haveNotions(index) {
  ({notions} = await call(of(index, "notions")));
  const note = ({stale, verdict}) => (stale ? " (to be learnt anew)" : verdict === "weak" ? " (weak)" : "");
  const option = (value, text = "") => make("option", {value}, printable(text));
  $("learnt").replaceChildren(option("", "plain"), ...notions.map(one => option(one.name, one.name + note(one))));
  $("notion-names").replaceChildren(...notions.map(one => option(one.name)));
}

/** Show which notion the state has, and what can be done with it. */
export function showNotions() {
  const {learnt, like, more, less} = state;
  $("likeness").hidden = !notions.length;
  $("learnt").value = learnt;
  const notion = notions.find(one => one.name === learnt);
  $("ask").hidden = notion?.of !== "pictures";
  $("forget").hidden = !notion;
  press($("ask"), isAsking());
  $("wall").classList.toggle("asking", isAsking());
  $("keep").hidden = !(more.length + less.length + parts(like).length);
  $("keep-words").textContent = isAsking() ? `Teach ${printable(learnt)}` : "Keep as a notion";
}

/** Tell whether the wall asks about pictures, instead of answering. */
export const isAsking = () => Boolean(state.learnt && state.ask);

/** Return the pictures whose labels would teach the notion most, as a search returns matches. */
export async function askedFor(signal) {
  const {pictures} = await call(pathOf(state.learnt, "/ask"), {body: {count: ASKED}, signal});
  return {matches: pictures.map(picture => ({picture})), total: pictures.length, figures: [], notices: []};
}

/** Return the boxes among pictures of a query: a notion of these is of parts of pictures. */
const parts = refs => refs.filter(ref => ref.sha256 && ref.region);

/** Have the server keep the judgements, or the box that was searched by, under a name, beside those that it has. */
async function keep(name) {
  const {like, more, less, ask} = state;
  const whole = refs => refs.filter(ref => ref.sha256 && !ref.region && ref.segment === undefined);
  const isOfParts = parts(like).length > 0;
  const body = {
    name,
    alike: isOfParts ? parts(like) : whole(isAsking() ? more : [...like, ...more]),
    unlike: isOfParts ? [] : whole(less),
    add: notions.some(one => one.name === name),
  };
  const {labels, verdict} = await call(pathOf(""), {body});
  const how = isOfParts
    ? "search by more boxes, and keep them under the same name."
    : "Ask me shows pictures whose labels would teach it most.";
  const advice = verdict === "weak" ? ` It is weak yet: ${how}` : "";
  notify("notion", `${name} is learnt from ${counted(labels, "label")}.${advice}`);
  // what was asked about is answered; in a conversation the judgements stay
  go(isAsking() ? {more: [], less: [], ask: String(Number(ask) + 1)} : {learnt: name});
  await changed();
}

async function forget(name) {
  await call(pathOf(name), {method: "DELETE"});
  notify("notion", `${name} is forgotten.`);
  go({learnt: "", ask: ""});
  await changed();
  $("main").focus();
}

/** Make the choice, the buttons and the dialog work; `then` is called when the index has other notions. */
export function startNotions(then) {
  changed = then;
  const dialog = $("notion"), field = $("notion-name"), problem = $("notion-problem");
  $("learnt").onchange = () => go({view: "wall", learnt: $("learnt").value, ask: ""});
  $("ask").onclick = () => { dismiss("notion"); go({view: "wall", ask: isAsking() ? "" : "1"}); };
  $("forget").onclick = () => {
    const {learnt} = state;
    const action = ["Forget it", () => forget(learnt)];
    notify("forget", `Forget ${learnt}, with all its labels?`, {action}).querySelector("button").focus();
  };
  $("keep").onclick = () => {
    if (isAsking()) return keep(state.learnt);
    field.value = state.learnt;
    problem.textContent = "";
    dialog.showModal();
  };
  $("notion-cancel").onclick = () => dialog.close();
  $("notion-form").onsubmit = async event => {
    event.preventDefault();
    try {
      await keep(field.value.trim());
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
}

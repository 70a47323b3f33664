// The state of the conversation. It is in the address's fragment, so that back, forward and links lead to it.
//
// A picture of a query (`like`, `more`, `less`) is {sha256} by its first digits, perhaps with a `region` or a `segment`
// or a `face` of it, or {vector, name}: a feature in base64 and what its file was called.

export const QUESTION = {like: [], more: [], less: [], words: [], without: [], texts: [], not_texts: []};
export const FILTERS = {folders: [], tags: [], objects: [], not_objects: [], since: "", until: "", score: "", probability: ""};
/** Nothing asked, looked at or chosen: plain likeness too. */
export const NOTHING = {view: "wall", picture: "", learnt: "", ask: "", ...QUESTION, ...FILTERS};
const EMPTY = {index: "", ...NOTHING};
const REFS = ["like", "more", "less"];
const VIEWS = ["wall", "duplicates", "map", "basket"];

// addresses are of whole characters; names may have halves of some
const escaped = text => JSON.stringify(text).slice(1, -1);
const unescaped = text => {
  try {
    return JSON.parse(`"${text}"`);
  } catch {
    return text;
  }
};

function written({sha256, vector, name = "", region, segment, face}) {
  if (vector) return `v:${vector}:${escaped(name)}`;
  return sha256 + (region ? `@${region}` : segment !== undefined ? `@s${segment}` : face ? `@f${face}` : "");
}

function read(text) {
  const [, vector, name] = /^v:([\w+/=]+):(.*)$/s.exec(text) ?? [];
  if (vector) return {vector, name: unescaped(name)};
  const [, sha256, segment, face, region] = /^([0-9a-f]{16})[0-9a-f]{0,48}(?:@s(\d+)|@f(\d+)|@([\d.,%-]+))?$/.exec(text) ?? [];
  if (!sha256) return null;
  return {sha256, ...(segment && {segment: Number(segment)}), ...(face && {face: Number(face)}), ...(region && {region})};
}

/** Return the address of a step, for links. */
export function href(changes) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries({...state, ...changes})) {
    const told = [value].flat().filter(one => one !== EMPTY[name]);
    for (const one of told) pairs.append(name, REFS.includes(name) ? written(one) : escaped(one));
  }
  return `#${pairs}`;
}

/** Return the state that a fragment tells; what it tells wrong counts as not told. */
function parse(text) {
  const found = structuredClone(EMPTY);
  for (const [key, value] of new URLSearchParams(text.slice(1))) {
    const name = key === "text" ? "texts" : key; // as it was when there could be one
    if (!Object.hasOwn(EMPTY, name)) continue;
    const one = REFS.includes(name) ? read(value) : unescaped(value);
    if (!Array.isArray(found[name])) found[name] = one;
    else if (one !== null) found[name].push(one);
  }
  if (!VIEWS.includes(found.view)) found.view = "wall";
  return found;
}

export let state = structuredClone(EMPTY);
let current = null;

const listeners = [];
/** Have a function called after each step, with the state and the one before. */
export const onStep = listener => listeners.push(listener);

function arrive() {
  if (location.hash === current) return;
  const before = state;
  current = location.hash;
  state = parse(current);
  for (const listener of listeners) listener(state, before);
}

/** Begin with what the address says. */
export function begin() {
  addEventListener("popstate", arrive);
  addEventListener("hashchange", arrive);
  history.scrollRestoration = "manual";
  arrive();
}

/** Go a step: change some of the state. `note` is kept with the step, for what comes back to it. */
export function go(changes, {replace = false, note = null} = {}) {
  const next = href(changes);
  if (next === href({}) && !replace) return;
  if (replace) history.replaceState({...history.state, ...note}, "", next);
  else {
    // where the reader was comes back with the step
    history.replaceState({...history.state, scroll: scrollY}, "");
    history.pushState({...note}, "", next);
  }
  arrive();
}

const hasAny = names => Object.keys(names).some(name => state[name].length);
/** Tell whether anything is asked, filters aside. */
export const isAsked = () => hasAny(QUESTION);
export const isFiltered = () => hasAny(FILTERS);

export const isByWords = () => hasAny({words: 0, without: 0, texts: 0, not_texts: 0});

/** Return the state as the body of a search. */
export function search() {
  const {like, more, less, words, without, objects, not_objects, texts, not_texts, folders, tags, since, until} = state;
  // words are searched for without a notion
  const learnt = isByWords() ? "" : state.learnt;
  const filter = {folders, tags, since, until, min_score: state.score, min_probability: state.probability};
  return {like, more, less, words, without, objects, not_objects, texts, not_texts, learnt, filter};
}

/** Return a picture of the index as one of a query. */
export const refOf = ({sha256}) => ({sha256: sha256.slice(0, 16)});

/** Return the address of a picture, large. */
export const linkTo = picture => href({picture: refOf(picture).sha256});

const has = (kind, ref) => state[kind].some(one => written(one) === ref.sha256);

/** Judge a picture as `kind`, "more" or "less", or take that judgement back. */
export function judge(picture, kind) {
  const ref = refOf(picture);
  const other = kind === "more" ? "less" : "more";
  const without = list => list.filter(one => written(one) !== ref.sha256);
  go({
    view: "wall", [kind]: has(kind, ref) ? without(state[kind]) : [...state[kind], ref], [other]: without(state[other]),
  });
}

/** Return how a picture is judged: "more", "less" or "". */
export const judgement = picture => ["more", "less"].find(kind => has(kind, refOf(picture))) ?? "";

/** Return what asks something new: filters and likeness stay. */
export const anew = changes => ({...QUESTION, view: "wall", picture: "", ask: "", ...changes});
export const askAnew = changes => go(anew(changes));

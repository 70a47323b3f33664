// The state of the conversation. It is in the address's fragment, so that back, forward and links lead to it.

/**
 * A picture of a query: by the first digits of its SHA-256, or by its feature; perhaps a part of it.
 * @typedef {{sha256?: string, vector?: string, name?: string, region?: string, segment?: number}} Ref
 *
 * @typedef {{index: string, view: string, picture: string, like: Ref[], more: Ref[], less: Ref[], words: string[],
 *   without: string[], folders: string[], tags: string[], text: string, since: string, until: string, score: string,
 *   probability: string}} State
 */

const REFS = ["like", "more", "less"];
const LISTS = ["words", "without", "folders", "tags"];
const TEXTS = ["index", "view", "picture", "text", "since", "until", "score", "probability"];

export const DIGITS = 16;
export const FILTERS = {folders: [], tags: [], since: "", until: "", score: "", probability: ""};
export const QUESTION = {like: [], more: [], less: [], words: [], without: [], text: ""};

/** @returns {State} */
const empty = () => structuredClone({index: "", view: "wall", picture: "", ...QUESTION, ...FILTERS});

// addresses are of whole characters; names may have halves of some
const escaped = text => JSON.stringify(text).slice(1, -1);
const unescaped = text => {
  try {
    return JSON.parse(`"${text}"`);
  } catch {
    return text;
  }
};

/** @param {Ref} ref */
function written(ref) {
  if (ref.vector) return `v:${ref.vector.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}:${escaped(ref.name ?? "")}`;
  return `${ref.sha256}${ref.region ? `@${ref.region}` : ""}${ref.segment !== undefined ? `@s${ref.segment}` : ""}`;
}

/** @param {string} text @returns {Ref | null} */
function read(text) {
  const vector = /^v:([\w-]+):(.*)$/s.exec(text);
  if (vector) {
    const base64 = vector[1].replaceAll("-", "+").replaceAll("_", "/");
    return {vector: base64.padEnd(Math.ceil(base64.length / 4) * 4, "="), name: unescaped(vector[2])};
  }
  const picture = /^([0-9a-f]{16,64})(?:@s(\d+)|@([\d.,%-]+))?$/.exec(text);
  if (!picture) return null;
  const ref = {sha256: picture[1].slice(0, DIGITS)};
  if (picture[2]) return {...ref, segment: Number(picture[2])};
  return picture[3] ? {...ref, region: picture[3]} : ref;
}

/** @param {State} state @returns {string} the fragment */
export function fragment(state) {
  const pairs = new URLSearchParams();
  const plain = empty();
  for (const name of TEXTS) if (state[name] && state[name] !== plain[name]) pairs.append(name, escaped(state[name]));
  for (const name of REFS) for (const ref of state[name]) pairs.append(name, written(ref));
  for (const name of LISTS) for (const text of state[name]) pairs.append(name, escaped(text));
  return `#${pairs}`;
}

/** @returns {State} the state that a fragment tells; what it tells wrong counts as not told */
export function parse(text) {
  const state = empty();
  for (const [name, value] of new URLSearchParams(text.replace(/^#/, ""))) {
    if (TEXTS.includes(name)) state[name] = unescaped(value);
    else if (LISTS.includes(name)) state[name].push(unescaped(value));
    else if (REFS.includes(name)) {
      const ref = read(value);
      if (ref) state[name].push(ref);
    }
  }
  if (!["wall", "duplicates", "map", "basket"].includes(state.view)) state.view = "wall";
  return state;
}

/** @type {State} */
export let state = empty();
let current = "";

/** @type {((after: State, before: State) => void)[]} */
const listeners = [];
/** Have a function called after each step. */
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
  current = "none yet";
  arrive();
}

/**
 * Go a step: change some of the state. `note` is kept with the step, for what comes back to it.
 * @param {Partial<State>} changes @param {{replace?: boolean, note?: any}} [given]
 */
export function go(changes, {replace = false, note = null} = {}) {
  const next = fragment({...state, ...changes});
  if (next === fragment(state) && !replace) return;
  // where the reader was comes back with the step
  if (!replace) history.replaceState({...history.state, scroll: scrollY}, "");
  history[replace ? "replaceState" : "pushState"](replace ? {...history.state, ...note} : {...note}, "", next);
  arrive();
}

/** @returns {string} the address of a step, for links */
export const href = changes => fragment({...state, ...changes});

/** Tell whether anything is asked, filters aside. */
export const isAsked = () => Object.keys(QUESTION).some(name => state[name].length > 0);
export const isFiltered = () => Object.keys(FILTERS).some(name => state[name].length > 0);

/** @returns {any} the state as the body of a search */
export function search() {
  const number = text => (text === "" || isNaN(Number(text)) ? undefined : Number(text));
  const {like, more, less, words, without, text, folders, tags, since, until, score, probability} = state;
  return {
    like, more, less, words, without, text: text || undefined,
    filter: {
      folders, tags, since: since || undefined, until: until || undefined,
      min_score: number(score), min_probability: number(probability),
    },
  };
}

/** @param {Ref} one @param {Ref} other */
export const same = (one, other) => written(one) === written(other);

/** @returns {Ref} a picture of the index */
export const refOf = picture => ({sha256: picture.sha256.slice(0, DIGITS)});

/** Judge a picture as `kind`, "more" or "less", or take that judgement back; at once. */
export function judge(picture, kind) {
  const ref = refOf(picture);
  const other = kind === "more" ? "less" : "more";
  const without = list => list.filter(one => !same(one, ref));
  const had = state[kind].some(one => same(one, ref));
  go({view: "wall", [kind]: had ? without(state[kind]) : [...state[kind], ref], [other]: without(state[other])});
}

/** @returns {"more" | "less" | ""} how a picture is judged */
export function judgement(picture) {
  const ref = refOf(picture);
  return /** @type {any} */ (["more", "less"].find(kind => state[kind].some(one => same(one, ref))) ?? "");
}

/** Ask something new: filters stay. */
export const askAnew = changes => go({...structuredClone(QUESTION), view: "wall", picture: "", ...changes});

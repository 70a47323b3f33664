// Requests to the server. They wait while it is gone or busy and while it asks for its token; problems are thrown.
import {$} from "./dom.js";
import {dismiss, notify} from "./notices.js";

const BASE = new URL("../api/v1/", import.meta.url);
const LONGEST_WAIT = 10000;

/** An error that the server tells, as RFC 9457 has it. */
class Problem extends Error {
  constructor(status, {type = "", title, detail}) {
    super(detail || title || `The server answered ${status}.`);
    Object.assign(this, {status, type: String(type)});
  }
}

async function pause(time, signal) {
  await new Promise(done => setTimeout(done, time));
  signal?.throwIfAborted();
}

/** Have some work done once at a time: who asks for it meanwhile waits for the same. */
function shared(work) {
  let running = null;
  return () => (running ??= work().finally(() => { running = null; }));
}

const whenBack = shared(async () => {
  for (let wait = 1000; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    notify("gone", `The server does not answer. Trying again in ${Math.round(wait / 1000)} s.`, {isWrong: true});
    await pause(wait);
    if (await fetch(new URL("health", BASE), {cache: "no-store"}).catch(() => null)) break;
  }
  dismiss("gone");
  dispatchEvent(new Event("server-back"));
});

const login = token => fetch(new URL("login", BASE), {
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({token}),
}).catch(() => null);

/** Ask the reader for the token until it is the right one. */
const whenLetIn = shared(() => new Promise(done => {
  const dialog = $("login"), problem = $("login-problem"), field = $("token");
  dialog.oncancel = event => event.preventDefault();
  $("login-form").onsubmit = async event => {
    event.preventDefault();
    const answer = await login(field.value);
    field.value = "";
    if (answer?.ok) {
      dialog.close();
      return done();
    }
    problem.textContent = answer ? "That is not the token." : "The server does not answer.";
    field.focus();
  };
  problem.textContent = "";
  dialog.showModal();
}));

/** Take the token out of the address, where it must not stay, and log in by it. */
export async function loginByAddress() {
  const found = /(?:^#|&)token=([^&]*)/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.hash.replace(found[0], "").replace(/^&/, "#"));
  await login(decodeURIComponent(found[1]));
}

/** Leave out empty texts of a request, unless they are items of a list, as the top folder is. */
const withoutEmpty = (key, value) => (value === "" && isNaN(key) ? undefined : value);

/** Send a request until it is answered. An object as its body goes as JSON, a form as it is. */
async function send(path, {body, method = body ? "POST" : "GET", signal} = {}) {
  const isJson = body && !(body instanceof FormData);
  const request = {
    signal, method, body: isJson ? JSON.stringify(body, withoutEmpty) : body,
    headers: isJson ? {"Content-Type": "application/json"} : {},
  };
  for (;;) {
    let answer;
    try {
      answer = await fetch(new URL(path, BASE), request);
    } catch (error) {
      if (signal?.aborted) throw error;
      await whenBack();
      signal?.throwIfAborted();
      continue;
    }
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    if (answer.status === 401) await whenLetIn();
    else if (answer.status === 503) await pause(waitOf(answer), signal);
    else throw new Problem(answer.status, problem);
  }
}

const waitOf = answer => 1000 * (Number(answer.headers.get("Retry-After")) || 1);

/** Return what the server answers: an object, or nothing where it has nothing to say. */
export async function call(path, given) {
  const answer = await send(path, given);
  return answer.status === 204 ? null : answer.json();
}

/** Return what the server answers as a file with its name, or `made`, what it made instead. */
export async function download(path, body) {
  const answer = await send(path, {body});
  if (answer.status === 201) return {made: await answer.json()};
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
  return {blob: await answer.blob(), name};
}

/** Return an answer that takes its time. Meanwhile a view's status has `words`, and its bar tells how far it is. */
export async function callLong(path, view, words, signal) {
  const bar = $(`${view}-done`), status = $(`${view}-status`);
  try {
    for (;;) {
      const answer = await send(path, {signal});
      const body = await answer.json();
      if (answer.status !== 202) return body;
      bar.hidden = false;
      bar.value = body.done ?? 0;
      status.textContent = words;
      await pause(Math.min(waitOf(answer), 2000), signal);
    }
  } catch (error) {
    if (!signal.aborted) status.textContent = "";
    throw error;
  } finally {
    if (!signal.aborted) bar.hidden = true;
  }
}

/** Return the path of an index, or of something of it. */
export const of = (index, rest = "") => `indexes/${encodeURIComponent(index)}${rest && `/${rest}`}`;

/** Return where a copy of a picture is: small, or large, `what` being "view". */
export const image = (index, id, pixels, what = "thumbnail") =>
  new URL(`${of(index, `pictures/${id}/${what}`)}?size=${pixels}`, BASE).href;

export const original = (index, id) => new URL(of(index, `pictures/${id}/original`), BASE).href;

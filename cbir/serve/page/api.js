// Requests to the server. They wait while it is gone or busy and while it asks for its token; problems are thrown.
import {$} from "./dom.js";
import {dismiss, notify} from "./notices.js";

const BASE = new URL("../api/v1/", import.meta.url);
const LONGEST_WAIT = 10000;

/** An answer that tells of an error, as RFC 9457 has it. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.type = String(body.type ?? "");
    this.detail = this.message;
    this.body = body;
  }
}

const pause = (time, signal) => new Promise((done, failed) => {
  const timer = setTimeout(done, time);
  signal?.addEventListener("abort", () => { clearTimeout(timer); failed(signal.reason); }, {once: true});
});

/** @type {Promise<void> | null} while the server is gone, when it is there again */
let gone = null;

/** Ask for the server until it answers; all that wait for it wait for the same. */
function return_() {
  gone ??= (async () => {
    for (let wait = 1000; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      notify("gone", `The server does not answer. Trying again in ${Math.round(wait / 1000)} s.`, {wrong: true});
      await pause(wait);
      try {
        await fetch(new URL("health", BASE), {cache: "no-store"});
        break;
      } catch { /* still gone */ }
    }
    dismiss("gone");
    gone = null;
    dispatchEvent(new Event("server-back"));
  })();
  return gone;
}

/** @type {Promise<void> | null} */
let asking = null;

const login = token => fetch(new URL("login", BASE), {
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({token}),
});

/** Ask the reader for the token until it is the right one. */
function ask() {
  asking ??= new Promise(done => {
    const dialog = $("login");
    dialog.oncancel = event => event.preventDefault();
    $("login-form").onsubmit = async event => {
      event.preventDefault();
      const answer = await login($("token").value).catch(() => null);
      $("token").value = "";
      if (answer?.ok) {
        dialog.close();
        asking = null;
        done();
      } else {
        $("login-problem").textContent = answer ? "That is not the token." : "The server does not answer.";
        $("token").focus();
      }
    };
    $("login-problem").textContent = "";
    dialog.showModal();
  });
  return asking;
}

/** Take the token out of the address, where it must not stay, and log in by it. */
export async function loginByAddress() {
  const found = /(?:^#|&)token=([^&]*)/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.hash.replace(found[0], "").replace(/^&/, "#"));
  await login(decodeURIComponent(found[1])).catch(() => null);
}

/**
 * Send a request until it is answered, and return the answer.
 * @param {string} path within the interface
 * @param {{body?: any, signal?: AbortSignal}} [given] an object is sent as JSON, a form as it is
 * @returns {Promise<Response>}
 */
async function send(path, {body, signal} = {}) {
  const isForm = body instanceof FormData;
  const request = {
    signal,
    method: body ? "POST" : "GET",
    headers: body && !isForm ? {"Content-Type": "application/json"} : {},
    body: body && !isForm ? JSON.stringify(body) : body,
  };
  for (;;) {
    let answer;
    try {
      answer = await fetch(new URL(path, BASE), request);
    } catch (error) {
      if (signal?.aborted) throw error;
      await return_();
      signal?.throwIfAborted();
      continue;
    }
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    if (answer.status === 401) await ask();
    else if (answer.status === 503) await pause(1000 * (Number(answer.headers.get("Retry-After")) || 1), signal);
    else throw new Problem(answer.status, problem);
  }
}

/** Return what the server answers as an object. */
export const call = async (path, given) => (await send(path, given)).json();

/** Return what the server answers as a file, and the name that it gives to it. */
export async function download(path, body) {
  const answer = await send(path, {body});
  const isFile = answer.status !== 201;
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
  return isFile ? {blob: await answer.blob(), name} : {made: await answer.json()};
}

/** Return an answer that takes its time: `progress` is told from 0 to 1 how far it is. */
export async function callUntilDone(path, signal, progress) {
  for (;;) {
    const answer = await send(path, {signal});
    const body = await answer.json();
    if (answer.status !== 202) return body;
    progress(body.done ?? 0);
    await pause(1000 * Math.min(Number(answer.headers.get("Retry-After")) || 1, 2), signal);
  }
}

/** @returns {string} the path of an index, or of something of it */
export const of = (index, rest = "") => `indexes/${encodeURIComponent(index)}${rest && `/${rest}`}`;

/** @returns {string} where a small copy of a picture is; or a large one, `what` being "view" */
export const image = (index, id, pixels, what = "thumbnail") =>
  new URL(`${of(index, `pictures/${id}/${what}`)}?size=${pixels}`, BASE).href;

/** @returns {string} where the file itself is */
export const original = (index, id) => new URL(of(index, `pictures/${id}/original`), BASE).href;

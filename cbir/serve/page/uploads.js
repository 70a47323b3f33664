// Pictures of the reader's: dropped, pasted or chosen. The server looks at each once and keeps none of it.
import {call, of} from "./api.js";
import {$, printable} from "./dom.js";
import {dismiss, notify, wrong} from "./notices.js";
import {askAnew, state} from "./state.js";

const MOST = 20;
/** Small copies of this page's uploads, by their features: an address has the feature alone. */
const copies = new Map();
/** @returns {string | undefined} the address of an upload's copy in this page */
export const copyOf = ref => copies.get(ref.vector);

async function searchBy(files) {
  const some = [...files].slice(0, MOST);
  if (!some.length) return;
  dismiss("error");
  const like = [];
  for (const [number, file] of some.entries()) {
    const which = some.length > 1 ? ` (${number + 1} of ${some.length})` : "";
    notify("upload", `Looking at ${printable(file.name).slice(0, 100)}${which} …`);
    const form = new FormData();
    form.append("file", file);
    try {
      const {vector} = await call(of(state.index, "encode"), {body: form});
      copies.set(vector, URL.createObjectURL(file));
      like.push({vector, name: file.name.slice(0, 200)});
    } catch (error) {
      wrong(error);
    }
  }
  dismiss("upload");
  if (files.length > MOST) notify("error", `Only the first ${MOST} pictures were taken.`);
  if (like.length) askAnew({like});
}

const hasFiles = event => event.dataTransfer?.types.includes("Files");

/** Make the button, the clipboard and dropping work. */
export function startUploads() {
  const input = $("file");
  $("choose").onclick = () => input.click();
  input.onchange = () => { searchBy([...input.files]); input.value = ""; };
  addEventListener("paste", event => {
    const files = event.clipboardData?.files ?? [];
    if (files.length) { event.preventDefault(); searchBy(files); }
  });
  addEventListener("dragover", event => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  addEventListener("dragleave", event => { if (!event.relatedTarget) $("drop").hidden = true; });
  addEventListener("drop", event => {
    $("drop").hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    searchBy(event.dataTransfer.files);
  });
}

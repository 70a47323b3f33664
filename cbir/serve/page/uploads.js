// Pictures of the reader's: dropped, pasted or chosen. The server looks at each once and keeps none of it.
import {call, of} from "./api.js";
import {$, printable} from "./dom.js";
import {dismiss, notify, wrong} from "./notices.js";
import {askAnew, state} from "./state.js";

const MOST = 20;
/** Small copies of this page's uploads, by their features: an address has the feature alone. */
const copies = new Map();
export const copyOf = ref => copies.get(ref.vector);

async function searchBy(files) {
  dismiss("error");
  const like = [];
  for (const [number, file] of files.slice(0, MOST).entries()) {
    const which = files.length > 1 ? ` (${number + 1} of ${Math.min(files.length, MOST)})` : "";
    notify("upload", `Looking at ${printable(file.name).slice(0, 100)}${which} …`);
    const body = new FormData();
    body.append("file", file);
    try {
      const {vector} = await call(of(state.index, "encode"), {body});
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

/** Make the button, the clipboard and dropping work. */
export function startUploads() {
  const input = $("file"), drop = $("drop");
  $("choose").onclick = () => input.click();
  input.onchange = () => { searchBy([...input.files]); input.value = ""; };
  const take = (event, data) => {
    if (!data?.types.includes("Files")) return;
    event.preventDefault();
    drop.hidden = event.type !== "dragover";
    if (data.files.length) searchBy([...data.files]);
  };
  addEventListener("paste", event => take(event, event.clipboardData));
  for (const type of ["dragover", "drop"]) addEventListener(type, event => take(event, event.dataTransfer));
  addEventListener("dragleave", event => { if (!event.relatedTarget) drop.hidden = true; });
}

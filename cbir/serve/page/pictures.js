// Pictures as they are shown everywhere: small copies, and links to them large.
import {image} from "./api.js";
import {make, placeOf} from "./dom.js";
import {linkTo, state} from "./state.js";

/** Make a small copy of a picture; one that cannot be loaded says so. */
export function thumbnail(id, pixels, given = {}) {
  const onerror = event => event.target.closest(".frame")?.classList.add("gone");
  return make("img", {alt: "", decoding: "async", draggable: false, onerror, ...given, src: image(state.index, id, pixels)});
}

/** Make a link to a picture, with its small copy in it. */
export const pictureLink = (picture, label = placeOf(picture), img = thumbnail(picture.id, 256, {loading: "lazy"})) =>
  make("a.frame", {href: linkTo(picture), title: placeOf(picture), ariaLabel: label}, img);

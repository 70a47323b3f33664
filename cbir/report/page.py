"""HTML pages: one file each, with everything in it, for which nothing has to be loaded or run."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cbir.errors import CbirError
from cbir.images.previews import Preview, Source, as_jpeg, cut_outs, thumbnails
from cbir.images.regions import Box
from cbir.images.sources.address import Address, Location
from cbir.report.card import Card, Group
from cbir.report.files import check_page_ending
from cbir.utils.marks import Mark
from cbir.utils.outputs import check_not_shown, write_output
from cbir.utils.printable import printable

if TYPE_CHECKING:
    from PIL import Image

#: The sizes of thumbnails, by how many a page has: (at most so many, pixels of the longer side).
_SIDES = ((300, 400), (1_500, 280), (6_000, 200), (20_000, 140))

#: Pixels of a side of what is shown of a part of a picture, at most.
_CROP = 200

_ADVICE = "Ask for fewer (-k), or make several pages."


@dataclass(frozen=True)
class Shown:
    """A card's thumbnail as a page has it: `src` is a data URI, empty where there is a `problem` instead."""

    src: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


class Pictures:
    """The thumbnails of a page's cards: a function from a card to what is shown of it."""

    def __init__(self, cards: Sequence[Card], *, advice: str = _ADVICE) -> None:
        shown = [card for card in cards if card.source is not None]
        side = next((side for most, side in _SIDES if len(shown) <= most), None)
        if side is None:
            raise CbirError(f"{len(shown):,} pictures are too many for one page. {advice}")
        boxes: dict[Source, set[tuple[Box, ...]]] = {}
        crops: dict[Source, dict[Box, None]] = {}
        for card in shown:
            if card.source is not None and card.crop is not None:
                crops.setdefault(card.source, {})[card.crop] = None
            elif card.source is not None:
                boxes.setdefault(card.source, set()).add(card.boxes)
        self._shown: dict[tuple[Source, tuple[Box, ...]], Shown] = {}
        self._crops: dict[tuple[Source, Box], Shown] = {}
        for source, cut in cut_outs(crops, min(side, _CROP)):
            self._crops.update({(source, box): _shown(preview, ()) for box, preview in cut.items()})
        for source, thumbnail in thumbnails(boxes, side):
            for its in boxes[source]:
                self._shown[source, its] = _shown(thumbnail, its)

    def __call__(self, card: Card) -> Shown:
        """Return the thumbnail of a card that has a source."""
        assert card.source is not None
        if card.crop is not None:
            return self._crops[card.source, card.crop]
        return self._shown[card.source, card.boxes]


def write_page(
    template: str,
    groups: Sequence[Group],
    path: Path,
    *,
    option: str = "--html",
    advice: str = _ADVICE,
    others: Iterable[Path] = (),
    force: bool = False,
    **values: Any,
) -> None:
    """Fill one of `templates/` with the groups and `values`, and write it to `path`.

    The template also has `picture`, a function from a card to its thumbnail. CbirError where there are too many
    pictures (its `advice` says what to do), where `path` is no HTML file, is one of the pictures or of `others` or,
    without `force`, any file that cbir did not make, or cannot be written. `option` is what named it.
    """
    check_page_ending(path, option)
    cards = [card for group in groups for card in group.all_cards]
    shown = [*(card.path for card in cards), *others]
    check_not_shown(path, shown, option)
    picture = Pictures(cards, advice=advice)
    pieces = environment().get_template(template).generate(groups=groups, picture=picture, **values)

    def write(file: IO[bytes]) -> None:
        for piece in pieces:
            file.write(piece.encode("utf-8"))

    write_output(path, write, option, "page", force=force, shown=shown)


@cache
def environment() -> Environment:
    """Return the templates. Whatever text a template is given is escaped, and made printable, wherever it stands."""
    made = Environment(
        loader=PackageLoader("cbir.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["uri"] = file_uri
    made.globals["mark"] = str(Mark("page"))
    return made


def file_uri(path: Location) -> Markup:
    """Return the address of a file, in which every byte of its name but the plainest is escaped as `%` and two digits.

    Bytes that are no UTF-8 are kept as such. A link stays a link: it is not followed. Of a picture elsewhere it is an
    address of the web, or leads nowhere: an index may be a stranger's, and a scheme a script.
    """
    if isinstance(path, Address):
        text = str(path)
        return Markup(quote(text, safe=_IN_ADDRESSES) if text.startswith(("http://", "https://")) else "#")
    return Markup(Path(os.path.abspath(path)).as_uri())


#: Characters of an address that are not escaped: those that part it, and what is escaped already.
_IN_ADDRESSES = "/:?&=%+,;@~"


def data_uri(content: bytes, kind: str) -> Markup:
    """Return a file's content as an address, `kind` being its media type."""
    return Markup(f"data:{kind};base64,{base64.b64encode(content).decode()}")


def jpeg_uri(image: Image.Image) -> Markup:
    """Return an RGB image as an address."""
    return data_uri(as_jpeg(image), "image/jpeg")


def _shown(thumbnail: Preview, boxes: tuple[Box, ...]) -> Shown:
    if thumbnail.image is None:
        return Shown(problem=thumbnail.problem)
    image = thumbnail.with_boxes(boxes)
    return Shown(jpeg_uri(image), image.width, image.height)


def _printable(value: Any) -> Any:
    """Text without control characters and without bytes that are no UTF-8, neither of which HTML can hold."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

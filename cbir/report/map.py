"""Writing the map of a collection: as a page, as a picture, or both from one reading of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from cbir.errors import CbirError
from cbir.map.collection import CollectionMap, MapCell
from cbir.map.labels import find_labels
from cbir.report.files import check_page_ending, check_place, check_png_ending, write_whole
from cbir.report.map_page import SIDE, MapPage
from cbir.report.map_picture import MapPicture
from cbir.report.thumbnails import thumbnails
from cbir.tagging import RowTags

#: What regions may be called by.
WORDS = ("tags", "folders", "none")


def write_map(
    whole: CollectionMap,
    *,
    html: Path | None,
    png: Path | None,
    words: str | None = None,
    watch: Callable[[Iterator[Any], int], Iterator[Any]] = lambda items, total: items,
) -> list[MapCell]:
    """Write a map to `html`, `png` or both, and return the cells whose pictures could not be read.

    `words`, one of WORDS, is what regions are called by; without it tags if the index has classes, else folders.
    Raises CbirError where a file cannot be written or would replace a picture, and where no picture can be read.
    """
    root = whole.index.root
    shown = [cell.path for cell in whole.cells]
    for path, option, check_ending in ((html, "--html", check_page_ending), (png, "--png", check_png_ending)):
        if path:
            check_ending(path, option)
            check_place(path, shown, option)
    tags = RowTags(whole.index).of([cell.row for cell in whole.cells])
    tag_words = [[tag.word for tag in its or ()] for its in tags]
    if words is None:
        words = "tags" if any(tag_words) else "folders"
    labels = find_labels(
        {
            (cell.column, cell.line): word
            for cell, its in zip(whole.cells, tag_words, strict=True)
            for word in _word(words, cell, root, its)
        },
        whole.grid,
    )
    picture = None if png is None else MapPicture(whole.grid)
    page = None if html is None else MapPage(whole)
    # pictures are cut to squares: of one that is half as wide again as it is high, that much must be left
    side = max(SIDE if page else 0, picture.cell if picture else 0) * 3 // 2
    missing = []
    small = thumbnails((cell.path for cell in whole.cells), side)
    for cell, its, (_, thumbnail) in zip(whole.cells, tag_words, watch(small, len(whole.cells)), strict=True):
        if thumbnail.image is None:
            missing.append(cell)
        if picture:
            picture.add(cell, _square(thumbnail.image, picture.cell))
        if page:
            page.add(cell, _square(thumbnail.image, SIDE), its, thumbnail.problem)
    if len(missing) == len(whole.cells):
        raise CbirError(
            f"None of the pictures could be read, {missing[0].path} for one: is the disk of {root} mounted? If they "
            f"have moved, say so with `cbir index --index {whole.index.directory.name} --root FOLDER`."
        )
    if page and html:
        text = page.finish(labels).encode()
        write_whole(html, lambda file: file.writelines([text]), "--html")
    if picture and png:
        image = picture.finish(labels)
        write_whole(png, lambda file: image.save(file, "PNG", compress_level=1), "--png")
    return missing


def _square(image: Image.Image | None, side: int) -> Image.Image | None:
    """The middle of a picture, `side` pixels wide and high."""
    return None if image is None else ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)


def _word(words: str, cell: MapCell, root: Path, tags: Sequence[str]) -> list[str]:
    """The word of a cell, if it has one."""
    if words == "tags":
        return list(tags[:1])
    folder = cell.path.relative_to(root).parent
    return [folder.name] if words == "folders" and folder.name else []

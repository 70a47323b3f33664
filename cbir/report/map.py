"""Writing the map of a collection: as a page, as a picture, or both from one reading of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from cbir.errors import CbirError
from cbir.images.previews import thumbnails
from cbir.images.sources.address import below
from cbir.map.collection import CollectionMap, MapCell
from cbir.map.labels import find_labels
from cbir.report.files import check_page_ending, check_png_ending
from cbir.report.map_page import SIDE, MapPage
from cbir.report.map_picture import MapPicture
from cbir.tags.learnt import classes_of_rows
from cbir.tags.tagger import RowTags
from cbir.utils.marks import Mark, picture_settings, source_of
from cbir.utils.outputs import Derived, Fill, Piece, check_not_shown, write_output

#: Sources of the names of regions.
WORDS = ("tags", "folders", "none")


def write_map(
    whole: CollectionMap,
    *,
    html: Path | None,
    png: Path | None,
    words: str | None = None,
    force: bool = False,
    keep_others: bool = False,
    watch: Callable[[Iterator[Any], int], Iterator[Any]] = lambda items, total: items,
) -> list[MapCell]:
    """Write a map to `html`, `png` or both, and return the cells whose pictures could not be read.

    `words`, one of WORDS, is what regions are called by; without it tags if there are any, else folders. Tags of a map
    by a notion are its classes. Raises CbirError where a file cannot be written or would replace a picture or, without
    `force`, any file that cbir did not make, and where no picture can be read; with `keep_others` also where it would
    replace another index's map.
    """
    shown = [cell.path for cell in whole.cells if isinstance(cell.path, Path)]
    for path, option, check_ending in ((html, "--html", check_page_ending), (png, "--png", check_png_ending)):
        if path:
            check_ending(path, option)
            check_not_shown(path, shown, option)
    tags = _tags(whole)
    labels = find_labels(_words(whole, tags, words or ("tags" if any(tags) else "folders")), whole.grid)
    picture = None if png is None else MapPicture(whole.grid)
    page = None if html is None else MapPage(whole)
    missing = _draw(whole, tags, picture, page, watch)

    def write(path: Path, fill: Fill, option: str, kind: str) -> None:
        source = source_of(whole.index.directory, path.parent) if keep_others else ""
        write_output(path, fill, option, kind, force=force, shown=shown, source=source)

    if page and html:
        text = page.finish(labels, Mark("page", source_of(whole.index.directory, html.parent))).encode()
        write(html, lambda file: file.write(text), "--html", "page")
    if picture and png:
        image = picture.finish(labels)
        settings = picture_settings("PNG", Mark("map", source_of(whole.index.directory, png.parent)))
        write(png, lambda file: image.save(file, "PNG", compress_level=1, **settings), "--png", "map")
    return missing


def _draw(
    whole: CollectionMap,
    tags: Sequence[Sequence[str]],
    picture: MapPicture | None,
    page: MapPage | None,
    watch: Callable[[Iterator[Any], int], Iterator[Any]],
) -> list[MapCell]:
    """Read each picture once, add it to both, and return the cells of those that could not be read."""
    # pictures are cut to squares: of one that is half as wide again as it is high, that much must be left
    side = max(SIDE if page else 0, picture.cell if picture else 0) * 3 // 2
    missing = []
    small = thumbnails((cell.path for cell in whole.cells), side)
    for cell, its, (_, thumbnail) in zip(whole.cells, tags, watch(small, len(whole.cells)), strict=True):
        if thumbnail.image is None:
            missing.append(cell)
        if picture:
            picture.add(cell, _square(thumbnail.image, picture.cell))
        if page:
            page.add(cell, _square(thumbnail.image, SIDE), its, thumbnail.problem)
    if len(missing) == len(whole.cells):
        raise CbirError(
            f"None of the pictures could be read, {missing[0].path} for one: is the disk of {whole.index.root} "
            "mounted? If they have moved, say so with "
            f"`cbir index --index {whole.index.directory.name} --root FOLDER`."
        )
    return missing


def map_names(index: Path, *, force: bool = False) -> tuple[Path, Path]:
    """Return the page and the picture of an index's map in the current folder: free names, or those of its map there.

    CbirError where they are files that cbir did not make, unless `force`.
    """
    endings = (".map.html", "page", "--html"), (".map.png", "map", "--png")
    pieces = [Piece(Path(), ending, kind, option) for ending, kind, option in endings]
    stem = Derived(force=force).stem(index, pieces, name=index.name)
    return Path(f"{stem}.map.html"), Path(f"{stem}.map.png")


def _square(image: Image.Image | None, side: int) -> Image.Image | None:
    """Return the middle of a picture, `side` pixels wide and high."""
    return None if image is None else ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)


def _tags(whole: CollectionMap) -> list[list[str]]:
    """Return the tags of each cell: of a map by a notion, the class that claims it."""
    rows = [cell.row for cell in whole.cells]
    if whole.notion is not None:
        return [[] if name is None else [name] for name in classes_of_rows(whole.index, whole.notion, rows)]
    return [[tag.word for tag in its or ()] for its in RowTags(whole.index).of(rows)]


def _words(whole: CollectionMap, tags: Sequence[Sequence[str]], by: str) -> dict[tuple[int, int], str]:
    """Return the word of each cell that has one, by its column and line: its first tag, or its folder's name."""
    found = {}
    for cell, its in zip(whole.cells, tags, strict=True):
        folder = below(cell.path, whole.index.root).parent.name
        if word := {"tags": its[0] if its else "", "folders": folder}.get(by, ""):
            found[cell.column, cell.line] = word
    return found

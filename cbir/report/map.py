"""Writing the map of a collection: as a page, as a picture, or both from one reading of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from cbir.errors import CbirError
from cbir.images.previews import thumbnails
from cbir.map.collection import CollectionMap, MapCell
from cbir.map.labels import find_labels
from cbir.report.files import check_page_ending, check_png_ending
from cbir.report.map_page import SIDE, MapPage
from cbir.report.map_picture import MapPicture
from cbir.tags.tagger import RowTags
from cbir.utils.marks import Mark, picture_settings, source_of
from cbir.utils.outputs import Derived, Piece, check_not_shown, write_output

#: What regions may be called by.
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

    `words`, one of WORDS, is what regions are called by; without it tags if the index has classes, else folders.
    Raises CbirError where a file cannot be written or would replace a picture or, without `force`, any file that cbir
    did not make, and where no picture can be read; with `keep_others` also where it would replace another index's map.
    """
    root = whole.index.root
    shown = [cell.path for cell in whole.cells]
    for path, option, check_ending in ((html, "--html", check_page_ending), (png, "--png", check_png_ending)):
        if path:
            check_ending(path, option)
            check_not_shown(path, shown, option)
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
        source = source_of(whole.index.directory, html.parent)
        text = page.finish(labels, Mark("page", source)).encode()
        write_output(
            html,
            lambda file: file.write(text),
            "--html",
            "page",
            force=force,
            shown=shown,
            source=source if keep_others else "",
        )
    if picture and png:
        image = picture.finish(labels)
        source = source_of(whole.index.directory, png.parent)
        settings = picture_settings("PNG", Mark("map", source))
        write_output(
            png,
            lambda file: image.save(file, "PNG", compress_level=1, **settings),
            "--png",
            "map",
            force=force,
            shown=shown,
            source=source if keep_others else "",
        )
    return missing


def map_names(index: Path, *, force: bool = False) -> tuple[Path, Path]:
    """The page and the picture of an index's map in the current folder: free names, or those of its map there.

    CbirError where they are files that cbir did not make, unless `force`.
    """
    endings = (".map.html", "page", "--html"), (".map.png", "map", "--png")
    pieces = [Piece(Path(), ending, kind, option) for ending, kind, option in endings]
    stem = Derived(force=force).stem(index, pieces, name=index.name)
    return Path(f"{stem}.map.html"), Path(f"{stem}.map.png")


def _square(image: Image.Image | None, side: int) -> Image.Image | None:
    """The middle of a picture, `side` pixels wide and high."""
    return None if image is None else ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)


def _word(words: str, cell: MapCell, root: Path, tags: Sequence[str]) -> list[str]:
    """The word of a cell, if it has one."""
    if words == "tags":
        return list(tags[:1])
    folder = cell.path.relative_to(root).parent
    return [folder.name] if words == "folders" and folder.name else []

"""Labelled folders: each is a class, or, of one alone, each of its subfolders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cbir.errors import CbirError, reason_of
from cbir.images.scan import pictures_in
from cbir.learn.pictures import Pictures, Skipped


def labels_of_folders(folders: Sequence[Path], pictures: Pictures) -> tuple[list[tuple[Path, str]], list[Skipped]]:
    """Return the pictures in folders and their classes, and what cannot be looked at.

    Folders below the index's root are those that the index knows; the disk is not asked. CbirError where a folder is
    none, or has no pictures.
    """
    found: list[tuple[Path, str]] = []
    skipped: list[Skipped] = []
    one = folders[0] if len(folders) == 1 else None
    for folder, name in zip(folders, _names(folders), strict=True):
        its = _of_index(folder, pictures)
        if its is None:
            its, problems = _of_disk(folder)
            skipped += problems
        if one is None:
            found += ((folder / path, name) for path in its)
        else:
            below = [path for path in its if "/" in path]
            # a folder of nothing but pictures is one class
            found += ((folder / path, path.split("/", 1)[0] if below else name) for path in below or its)
        if not its:
            raise CbirError(f"There are no pictures in {folder} that can be learnt from.")
    return found, skipped


def _names(folders: Sequence[Path]) -> list[str]:
    """Name each folder as it is called, with its parents where others are called the same."""
    parts = [Path(os.path.abspath(folder)).parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(set(parts)):
            break
    if doubles := [name for name, count in Counter(names).items() if count > 1]:
        raise CbirError(f"The folder {doubles[0]} is named twice: each is a class of its own.")
    return names


def _of_index(folder: Path, pictures: Pictures) -> list[str] | None:
    """Return the pictures that the index has below a folder, by their paths in it; None for a folder outside."""
    inside = pictures.inside(folder)
    if inside is None:
        return None
    prefix = "" if inside == "." else f"{inside}/"
    found = sorted(path[len(prefix) :] for path in pictures.paths if path.startswith(prefix))
    if not found:
        what = "has no pictures of" if folder.is_dir() else "knows no folder"
        raise CbirError(
            f"The index {what} {folder}: name a folder of pictures, which `cbir index` has taken in if it "
            "lies below the index's root."
        )
    return found


def _of_disk(folder: Path) -> tuple[list[str], list[Skipped]]:
    try:
        found = pictures_in(folder)
    except NotADirectoryError as error:
        raise CbirError(f"{folder} is no folder: name folders of pictures, or a list with --labels.") from error
    except OSError as error:
        raise CbirError(f"Cannot list the folder {folder}: {reason_of(error)}.") from error
    return [file.path for file in found.files], list(_problems(folder, found.problems, found.unreadable))


def _problems(folder: Path, problems: Sequence[tuple[str, str]], unreadable: Sequence[str]) -> Iterator[Skipped]:
    yield from (Skipped(folder / path, reason) for path, reason in problems)
    yield from (Skipped(folder / path, "the folder cannot be listed") for path in unreadable)

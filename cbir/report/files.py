"""Writing a report's file: whole or not at all, and never over a picture that it shows.

Nothing here imports NumPy: names are checked while the command line is read, before NumPy may be imported.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from cbir.errors import CbirError, reason_of

#: How the names of sheets and of pages may end.
SHEET_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
PAGE_ENDINGS = (".html", ".htm")


def check_sheet_ending(path: Path, option: str) -> None:
    """CbirError where the ending of a sheet's name, which `option` gave, is of no format that a sheet can have."""
    if path.suffix.lower() not in SHEET_ENDINGS:
        raise CbirError(f"A sheet is a .png, .jpg or .webp, and {path} is none: name another file with {option}.")


def check_page_ending(path: Path, option: str) -> None:
    """CbirError where a page's name, which `option` gave, does not end as one."""
    if path.suffix.lower() not in PAGE_ENDINGS:
        raise CbirError(f"A page is an .html file, and {path} is none: name another file with {option}.")


def check_png_ending(path: Path, option: str) -> None:
    """CbirError where the name of a map's picture, which `option` gave, does not end as a PNG."""
    if path.suffix.lower() != ".png":
        raise CbirError(f"A map's picture is a .png, and {path} is none: name another file with {option}.")


def check_folder(path: Path, option: str) -> None:
    """CbirError where a file could not be written to `path`, which `option` named: known before the work, not after."""
    reason = ""
    if path.is_dir():
        reason = "it is a folder"
    else:
        folder = next((parent for parent in path.absolute().parents if os.path.lexists(parent)), path)
        if not folder.is_dir():
            reason = f"{folder} is no folder"
        elif not os.access(folder, os.W_OK | os.X_OK):
            reason = f"nothing may be written to {folder}"
    if reason:
        raise CbirError(f"Cannot write {path}: {reason}. Name another file with {option}.")


def check_place(path: Path, shown: Iterable[Path | None], option: str) -> None:
    """CbirError where `path`, which `option` named, is one of the pictures that are `shown`."""
    try:
        target = path.stat()
    except OSError:  # nothing is there yet
        return
    for picture in dict.fromkeys(shown):
        try:
            is_shown = picture is not None and os.path.samestat(target, picture.stat())
        except OSError:
            continue
        if is_shown:
            raise CbirError(
                f"{path} would be written over, and it is one of the pictures to be shown: "
                f"name another file with {option}."
            )


def write_whole(path: Path, write: Callable[[IO[bytes]], None], option: str) -> None:
    """Have `write` fill a file that then becomes `path`; its folder is made if it is not there.

    Raises CbirError where that cannot be; `option` is what named the file. Nothing is left lying around.
    """
    name = ""
    try:
        check_folder(path, option)
        path.parent.mkdir(parents=True, exist_ok=True)
        # a link is followed, so that it stays one
        target = Path(os.path.realpath(path))
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".cbir-", suffix=".part", delete=False) as file:
            name = file.name
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(target))
        os.replace(name, target)
        name = ""
    except OSError as error:
        raise CbirError(f"Cannot write {path}: {reason_of(error)}. Name another file with {option}.") from error
    finally:
        if name:
            os.unlink(name)


def _mode(path: Path) -> int:
    """The permissions that a file has, or that a new one would get: a temporary file is its owner's alone."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask

"""The endings of the names of sheets, pages and maps.

Nothing here imports NumPy: names are checked while the command line is read, before NumPy may be imported.
"""

from __future__ import annotations

from pathlib import Path

from cbir.errors import CbirError

#: Endings of the names of sheets and of pages.
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
    """CbirError where the name of a map or a drawing, which `option` gave, does not end as a PNG."""
    if path.suffix.lower() != ".png":
        raise CbirError(f"The picture is a .png, and {path} is none: name another file with {option}.")

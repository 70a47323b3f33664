"""Pictures that were named, as outputs see them: where they are, what files are named after, their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from cbir.search.queries import ImageQuery


def path_of(picture: ImageQuery) -> Path | None:
    """Return the file of a picture; None for one that is none here."""
    return picture.source if isinstance(picture.source, Path) else None


def file_name_of(picture: ImageQuery) -> str:
    """Return what the files of a picture are named after: its own name, "stdin" for the one from there."""
    return "stdin" if isinstance(picture.source, bytes) else str(picture.source)


def image_of(picture: ImageQuery, *, apart: bool) -> Image.Image:
    """Read a picture, upright and RGB, in a process of its own if `apart`; ImageReadError where that cannot be."""
    from cbir.images.safely import decode, open_image

    if isinstance(picture.source, bytes):
        return decode(picture.source, name=picture.name)
    return open_image(picture.source, apart=apart)

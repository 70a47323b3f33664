"""Facts of one picture for people: its size, its format, when it was taken, and by which camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cbir.images import safely
from cbir.images.contents import read_bytes
from cbir.images.notes import Described
from cbir.images.pipe import Wanted
from cbir.images.views import Size

_WANTED = Wanted((Described(),))


@dataclass(frozen=True)
class Facts:
    """The facts that a picture's file tells of itself.

    `taken` is in seconds since 1970 of its own local time, None where nothing says so; `camera` may be empty; `format`
    is Pillow's name of it, as JPEG; `size` is the upright picture's width and height in pixels.
    """

    taken: int | None
    camera: str
    format: str
    size: Size


def facts_of(source: Path | bytes, name: str = "") -> Facts:
    """Return the facts of a picture file, or of its content, without decoding it; raises what `safely.view` does.

    It is read in a process of its own, whatever it is.
    """
    data = read_bytes(source) if isinstance(source, Path) else source
    viewed = safely.view(data, name or (str(source) if isinstance(source, Path) else ""), _WANTED, apart=True)
    arrays = viewed.arrays[Described.name]
    camera, kind = (arrays[key].tobytes().decode("utf-8", "replace") for key in ("camera", "format"))
    return Facts(int(arrays["seconds"][0]) if arrays["seconds"].size else None, camera, kind, viewed.size)

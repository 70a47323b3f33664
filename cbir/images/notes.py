"""Notes of a camera in a picture's file: when it was taken, and by which camera.

Of strangers' EXIF only these few fields are looked at, in two of its folders, whatever else it says it has.
"""

from __future__ import annotations

import calendar
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.images.views import Arrays, Layout, Notes

#: The years in which a photo can have been taken: the first one is of 1826, and clocks that are wrong say anything.
YEARS = range(1826, 2200)

#: Bytes of a camera's name, and of a format's, at most.
LONGEST_CAMERA, LONGEST_FORMAT = 96, 16

#: Where an opened picture's `info` has EXIF by which it is not to be turned.
EXIF_OF_NOTES = "exif of notes"

_MAKE, _MODEL, _CHANGED, _EXIF, _TAKEN, _DIGITIZED = 0x010F, 0x0110, 0x0132, 0x8769, 0x9003, 0x9004
_FIELDS = frozenset((_MAKE, _MODEL, _CHANGED, _TAKEN, _DIGITIZED))

# Types of EXIF's fields: text, and the address of another folder. A longer text is none of those that are wanted.
_TEXT, _ADDRESSES, _LONGEST = 2, (4, 13), 256

# As EXIF has it, or XMP, or what PNG's "Creation Time" often is; what follows, parts of seconds and zones, is left.
_DATE = re.compile(r"\s*(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?(?!\d)")
_XMP = re.compile(
    rb"(?:exif:DateTimeOriginal|photoshop:DateCreated|xmp:CreateDate)\s*(?:=\s*[\"']|>)\s*([0-9T: /-]{16,19})"
)
_MOST_XMP = 1 << 20


def notes_of(image: Image.Image, data: bytes = b"") -> Notes:
    """Return the notes of an opened picture, and of its file's content where that is EXIF itself: TIFF, raw photos."""
    info = image.info
    exif, xmp = info.get("exif") or info.get(EXIF_OF_NOTES), info.get("xmp") or info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode("utf-8", "replace")
    text = info.get("Creation Time")
    return Notes(
        data if data[:2] in (b"II", b"MM") else exif if isinstance(exif, bytes) else b"",
        xmp if isinstance(xmp, bytes) else b"",
        str(text)[:_LONGEST] if isinstance(text, str) else "",
        image.format or "",
    )


def moment_of(notes: Notes) -> int | None:
    """Return when a picture was taken, in seconds since 1970 of its own local time; None where nothing says so."""
    fields = _fields(notes.exif)
    found = _XMP.search(notes.xmp[:_MOST_XMP])
    texts = [fields.get(tag, "") for tag in (_TAKEN, _DIGITIZED)]
    texts += [found[1].decode("ascii") if found else "", fields.get(_CHANGED, ""), notes.text]
    return next((moment for text in texts if (moment := parse_date(text)) is not None), None)


def camera_of(notes: Notes) -> str:
    """Return make and model of the camera, or nothing."""
    fields = _fields(notes.exif)
    make, model = fields.get(_MAKE, ""), fields.get(_MODEL, "")
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()


def parse_date(text: str) -> int | None:
    """Return the seconds since 1970 of a local time; None where it is none, or of a year without photos."""
    found = _DATE.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(number or 0) for number in found.groups())
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59))
    except ValueError:
        return None
    return calendar.timegm(moment.timetuple()) if year in YEARS else None


def _fields(exif: bytes) -> dict[int, str]:
    """Return the texts of EXIF that are wanted, by their tags."""
    block = memoryview(exif)[6:] if exif[:6] == b"Exif\0\0" else memoryview(exif)
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    found: dict[int, str] = {}
    if order is None:
        return found
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        further = _folder(block, order, start, found)
        if further is not None:
            _folder(block, order, further, found)
    except struct.error:  # it ends too early; what was found before is sound
        pass
    return found


def _folder(block: memoryview, order: str, start: int, found: dict[int, str]) -> int | None:
    """Add the texts of one folder to `found`; return where EXIF's own begins, if it says so."""
    (count,) = struct.unpack_from(f"{order}H", block, start)
    further = None
    for tag, kind, length, at in _entries(block, order, start + 2, count):
        if tag == _EXIF and kind in _ADDRESSES:
            (further,) = struct.unpack_from(f"{order}I", block, at)
        elif tag in _FIELDS and kind == _TEXT and length <= _LONGEST:
            if length > 4:
                (at,) = struct.unpack_from(f"{order}I", block, at)
            text = bytes(block[at : at + length]).split(b"\0")[0].decode("utf-8", "replace").strip()
            found.setdefault(tag, text)
    return further


def _entries(block: memoryview, order: str, at: int, count: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield each entry's tag, type, length, and where its value is."""
    end = min(len(block), at + 12 * count)
    for place in range(at, end - 11, 12):
        yield (*struct.unpack_from(f"{order}HHI", block, place), place + 8)


@dataclass(frozen=True)
class Taken:
    """The view of when a picture was taken: `seconds` as `moment_of` has them, int64, empty where nothing says so."""

    name = "taken"
    layouts = {"seconds": Layout("<i8", (1,), (0,))}  # noqa: RUF012

    def read(self, notes: Notes) -> Arrays:
        """Find the moment in a picture's notes."""
        return {"seconds": _seconds(notes)}


@dataclass(frozen=True)
class Described:
    """The view of what a picture's file says of itself: `seconds` as in `Taken`, `camera` and `format` in UTF-8."""

    name = "described"
    layouts = {  # noqa: RUF012
        "seconds": Layout("<i8", (1,), (0,)),
        "camera": Layout("u1", (LONGEST_CAMERA,), (0,)),
        "format": Layout("u1", (LONGEST_FORMAT,), (0,)),
    }

    def read(self, notes: Notes) -> Arrays:
        """Find them in a picture's notes."""
        return {
            "seconds": _seconds(notes),
            "camera": _bytes(camera_of(notes), LONGEST_CAMERA),
            "format": _bytes(notes.format, LONGEST_FORMAT),
        }


def _seconds(notes: Notes) -> npt.NDArray[Any]:
    moment = moment_of(notes)
    return np.array([] if moment is None else [moment], dtype="<i8")


def _bytes(text: str, most: int) -> npt.NDArray[Any]:
    return np.frombuffer(text.encode("utf-8", "replace")[:most], dtype="u1")

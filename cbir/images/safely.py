"""Reading pictures as commands do: nothing that a file holds ends the run, or keeps it for longer than its limit.

An ordinary photo is decoded here, which saves the start of a process; anything else in processes of
their own, of which there are at most two, and none until it is needed. docs/method/decoding.md has the figures.
"""

from __future__ import annotations

import threading

import numpy as np
from PIL import Image

from cbir.images import read
from cbir.images.budget import budgets
from cbir.images.contents import read_bytes
from cbir.images.fit import Extent
from cbir.images.isolated import Decoders
from cbir.images.ordinary import is_ordinary
from cbir.images.pipe import MAX_PIXELS, Wanted
from cbir.images.source import ImageSource, image_in_memory, name_of, open_source
from cbir.images.views import Viewed

# Those of a run that is about a few pictures.
_PROCESSES = 2

_lock = threading.Lock()
_decoders: list[Decoders] = []
_all_apart: list[int] = []


def decode_all_apart(processes: int = _PROCESSES) -> None:
    """Decode ordinary photos elsewhere too, from now on, in up to so many processes: strangers may send them."""
    with _lock:
        _all_apart[:] = [max(processes, *_all_apart)] if _all_apart else [processes]


def start_decoders() -> None:
    """Start the processes that decode elsewhere, for which the first pictures wait otherwise. DecodersError."""
    _elsewhere().start()


def open_image(source: ImageSource, *, apart: bool = False) -> Image.Image:
    """Open an image as `images.read.open_image` does; `apart` decodes ordinary pictures elsewhere too, in long runs."""
    if isinstance(source, (Image.Image, np.ndarray)):
        return image_in_memory(source)
    content = open_source(source)
    return decode(content if isinstance(content, bytes) else read_bytes(content), name=name_of(source), apart=apart)


def decode(data: bytes, *, name: str, apart: bool = False) -> Image.Image:
    """Decode as `images.read.decode` does."""
    return _decode(data, name, None, apart)[0]


def decode_reduced(data: bytes, *, name: str, at_least: int) -> tuple[Image.Image, Extent]:
    """Decode as `images.read.decode_reduced` does."""
    image, box, _ = _decode(data, name, at_least)
    return image, box


def read_thumbnail(data: bytes, side: int, *, name: str) -> tuple[Image.Image, tuple[int, int]]:
    """Read a thumbnail as `images.read.read_thumbnail` does."""
    return read.thumbnail_of(*_decode(data, name, side), side)


def view(data: bytes, name: str, wanted: Wanted, *, apart: bool = False) -> Viewed:
    """Make the views that are `wanted` of a picture file's bytes, always elsewhere if `apart`.

    Raises what `Decoders.view` does.
    """
    if not (apart or _all_apart) and is_ordinary(data):
        return read.read_views(data, wanted.views, name=name, max_pixels=wanted.max_pixels)
    return _elsewhere().view(data, name, wanted)


def _decode(
    data: bytes, name: str, at_least: int | None, apart: bool = False
) -> tuple[Image.Image, Extent, tuple[int, int]]:
    if not apart and not _all_apart and is_ordinary(data):
        return read.decode_with_size(data, name=name, at_least=at_least)
    return _elsewhere().picture(data, name, Wanted(at_least=at_least, max_pixels=MAX_PIXELS))


def _elsewhere() -> Decoders:
    with _lock:
        if not _decoders:
            _decoders.append(Decoders(_all_apart[0] if _all_apart else _PROCESSES, budgets()[0]))
        return _decoders[0]

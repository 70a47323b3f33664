"""Views: a new one is a class that a decoding process finds by its module; nothing unasked for is taken from there."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.errors import ImageReadError
from cbir.images import isolated
from cbir.images.budget import Budget
from cbir.images.fingerprint import Fingerprint
from cbir.images.fit import Extent
from cbir.images.fitted import Fitted
from cbir.images.isolated import Decoders
from cbir.images.large import Large
from cbir.images.pipe import NotAskedFor, Wanted, pieces, receive_picture, receive_views
from cbir.images.read import decode, read_views
from cbir.images.views import Arrays, Layout, Size, Viewed, distinct

Folder = Callable[..., Path]


@dataclass(frozen=True)
class Brightest:
    """A toy: the brightest rows of an image, as many as it was made with, and where they are."""

    count: int

    name = "brightest"

    @property
    def layouts(self) -> Mapping[str, Layout]:
        return {"rows": Layout("<f4", (self.count, 3)), "where": Layout("<u4", (self.count,), (1,))}

    def at_least(self, size: Size | None) -> int | None:
        return 1000

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        rows = np.asarray(image, dtype=np.float32).mean(axis=1)
        where = np.argsort(-rows.sum(axis=1), kind="stable")[: self.count]
        return {"rows": rows[where], "where": where.astype("<u4")}


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    some = Decoders(1, Budget(1 << 30))
    yield some
    some.close()


def all_views(backbone: Backbone) -> tuple[Fitted, Fingerprint, Large, Brightest]:
    return Fitted(backbone.preprocessing), Fingerprint(), Large(), Brightest(5)


def test_a_view_of_anybodys_module_is_made_where_images_are_decoded(
    decoders: Decoders, photo_folder: Folder, bundled: Backbone
) -> None:
    data = (photo_folder(1, size=(1301, 1101)) / "img_000.jpg").read_bytes()
    views = all_views(bundled)
    there, here = decoders.view(data, "a", Wanted(views)), read_views(data, views, name="a")
    assert there.size == here.size == (1301, 1101)
    assert {name: list(arrays) for name, arrays in there.arrays.items()} == {
        "fitted": ["pixels"],
        "fingerprint": ["grey"],
        "large": ["pixels"],
        "brightest": ["rows", "where"],
    }
    for name, arrays in here.arrays.items():
        for key, array in arrays.items():
            assert np.array_equal(there.arrays[name][key], array)
    whole = np.asarray(decode(data, name="a"), dtype=np.float32).mean(axis=1)
    assert np.abs(there.arrays["brightest"]["rows"][0] - whole[whole.sum(axis=1).argmax()]).max() < 25


def test_no_view_depends_on_the_others(photo_folder: Folder, bundled: Backbone) -> None:
    data = (photo_folder(1, size=(1800, 1700)) / "img_000.jpg").read_bytes()
    # of whose pictures a JPEG of that size is decoded at a quarter, too small for the others
    fitted = Fitted(replace(bundled.preprocessing, resize=160, crop=128))
    views = (fitted, Brightest(5), Fingerprint(), Large())
    together = read_views(data, views, name="a").arrays
    for view in views:
        alone = read_views(data, [fitted, view] if view is not fitted else [fitted], name="a").arrays[view.name]
        assert all(np.array_equal(together[view.name][key], array) for key, array in alone.items()), view.name


def test_views_of_one_name_are_one() -> None:
    assert distinct([Brightest(2), Fingerprint(), Brightest(2)]) == (Brightest(2), Fingerprint())
    with pytest.raises(ValueError, match="two views are called brightest"):
        distinct([Brightest(2), Brightest(3)])


def answer(size: Size = (40, 30), **changes: np.ndarray) -> bytes:
    """What a decoder sends of a toy view, with other arrays in their places."""
    arrays = {"rows": np.zeros((2, 3), "<f4"), "where": np.zeros(2, "<u4"), **changes}
    return b"".join(bytes(piece) for piece in pieces(Viewed(size, {"brightest": arrays}), [Brightest(2)]))


def test_what_was_wanted_is_taken() -> None:
    wanted = Wanted((Brightest(2),))
    taken = receive_views(io.BytesIO(answer(where=np.array([7], "<u4"))), wanted)
    assert (taken.size, taken.arrays["brightest"]["where"].tolist()) == ((40, 30), [7])


@pytest.mark.parametrize(
    "data",
    [
        answer(size=(0, 30)),
        answer(size=(1 << 20, 1 << 20)),
        answer(rows=np.zeros((3, 3), "<f4")),
        answer(rows=np.zeros((2, 3), "<f8")),
        answer(rows=np.zeros((2, 3), ">f4")),
        answer(rows=np.zeros(6, "<f4")),
        answer(where=np.zeros(0, "<u4")),
        answer(where=np.zeros(3, "<u4")),
        answer().replace(b"brightest/where", b"brightest/nowhe"),
        answer().replace(b"<u4", b"|O8"),
        answer().replace(b"<u4", b"\xff\xfe\xfd"),
        answer()[:8] + struct.pack("<BBB", 0, 0, 255) + b"\xff" * 1020,
    ],
    ids=range(12),
)
def test_nothing_else_is_taken(data: bytes) -> None:
    with pytest.raises(NotAskedFor):
        receive_views(io.BytesIO(data), Wanted((Brightest(2),)))


def test_an_answer_that_ends_early_is_a_crash() -> None:
    for length in range(len(answer())):
        with pytest.raises(EOFError):
            receive_views(io.BytesIO(answer()[:length]), Wanted((Brightest(2),)))


@pytest.mark.parametrize(
    "head",
    [
        (0, 9, 0, 0, 1, 1, 9, 9),
        (1 << 31, 1 << 31, 0, 0, 1, 1, 9, 9),
        (9, 9, 0, 0, 10, 9, 9, 9),
        (9, 9, 0, float("nan"), 9, 9, 9, 9),
        (9, 9, 5, 0, 5, 9, 9, 9),
        (9, 9, 0, 0, 9, 9, 1 << 31, 1 << 31),
    ],
)
def test_no_picture_is_taken_that_cannot_be(head: tuple[float, ...]) -> None:
    with pytest.raises(NotAskedFor):
        receive_picture(io.BytesIO(struct.pack("<II4dII", *head) + bytes(300)), Wanted())


# A decoder that a file has taken over, which answers what it likes, and is whole for all other files.
TAKEN_OVER = """
import sys
sys.path[:] = sys.argv[1].split("\\n")
import cbir.images.child as child
real = child._answer
def answer(wanted, data, name, answers):
    if data.startswith(b"answer:"):
        answers.write(data[7:])
        answers.flush()
    else:
        real(wanted, data, name, answers)
child._answer = answer
child.main()
"""


@pytest.mark.parametrize(
    "sent",
    [
        b"+" + bytes(8) + answer(rows=np.zeros((999, 3), "<f4")),
        b"-" + (1 << 60).to_bytes(8, "little"),
        b"x" + bytes(8),
    ],
)
def test_a_decoder_that_is_taken_over_costs_one_file(
    decoders: Decoders, photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(isolated, "_CHILD", TAKEN_OVER)
    wanted = Wanted((Brightest(2),))
    with pytest.raises(ImageReadError, match="its decoder answered what it was not asked for"):
        decoders.view(b"answer:" + sent, "bad.jpg", wanted)
    good = (photo_folder(1) / "img_000.jpg").read_bytes()
    assert len(decoders.view(good, "good.jpg", wanted).arrays["brightest"]["rows"]) == 2


def test_a_view_that_cannot_be_imported_there_says_so(
    decoders: Decoders, photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lost = type("Lost", (Brightest,), {"__module__": __name__})
    monkeypatch.setattr(sys.modules[__name__], "Lost", Lost, raising=False)
    good = (photo_folder(1) / "img_000.jpg").read_bytes()
    with pytest.raises(ImageReadError, match=r"cannot be imported where it is decoded .*Lost") as caught:
        decoders.view(good, "good.jpg", Wanted((Lost(2),)))
    assert caught.value.transient
    assert decoders.view(good, "good.jpg", Wanted((Fingerprint(),))).size == Image.open(io.BytesIO(good)).size

"""The file of people: written the same each time, and read as a stranger's."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from cbir.errors import CbirError
from cbir.images.regions import Box
from cbir.people import album as album_module
from cbir.people.album import Album, Entry, Key, Placed, check_person_name, dump, is_person_name, load

ONE, OTHER = "1" * 64, "2" * 64

ALBUM = Album(
    {1: Entry("Ánna O'Neil (work)", True), 4: Entry(), 7: Entry("", True)},
    {
        ONE: (Placed(Box(1, 2, 30, 40), 1, True, (4, 7)), Placed(Box(50, 2, 30, 40), 4)),
        OTHER: (Placed(Box(0, 0, 1, 1), 0, False, (7,)),),
    },
    {OTHER: (Box(9, 9, 20, 20),)},
    8,
    "ab" * 32,
)


def test_what_is_written_is_read_again() -> None:
    data = dump(ALBUM)
    assert load(data) == ALBUM
    assert dump(load(data)) == data
    assert load(dump(Album())) == Album()


def test_many_people_take_no_more_time_to_read_than_many_faces_of_one() -> None:
    def seconds(people: int) -> float:
        pictures = {f"{one:064x}": (Placed(Box(1, 2, 30, 40), 1 + one % people),) for one in range(6000)}
        data = dump(Album({number: Entry() for number in range(1, people + 1)}, pictures, {}, people + 1))
        times = []
        for _ in range(3):
            start = time.process_time()
            load(data)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(6000) < 5 * seconds(1)


def test_the_order_in_which_things_were_said_does_not_show() -> None:
    turned = Album(
        dict(reversed(ALBUM.people.items())),
        {sha256: its[::-1] for sha256, its in reversed(ALBUM.pictures.items())},
        ALBUM.forgotten,
        8,
        "ab" * 32,
    )
    assert dump(turned) == dump(ALBUM)


@pytest.mark.parametrize("name", ["Anna", "Ánna O'Neil", "李", "Anna 2", "R2-D2", "a" * 64, "anna|b", "Dr. <b>"])
def test_names_of_people(name: str) -> None:
    check_person_name(name)


@pytest.mark.parametrize("name", ["", " Anna", "Anna ", "12", "a\nb", "a" * 65, "-x", "\x1b[31m", "\u202eanna", "٣"])
def test_names_that_nobody_has(name: str) -> None:
    assert not is_person_name(name)
    with pytest.raises(CbirError, match="cannot be called"):
        check_person_name(name)


def test_a_name_is_found_in_any_case_and_spelling() -> None:
    assert ALBUM.named("ÁNNA o'neil (WORK)") == 1
    assert ALBUM.named("A\u0301nna O'Neil (work)") == 1
    assert ALBUM.named("") is None
    assert ALBUM.named("Bob") is None


def test_a_face_that_is_put_otherwise_stands_once() -> None:
    changed = ALBUM.with_faces({Key(ONE, Box(50, 2, 30, 40)): Placed(Box(50, 2, 30, 40), 1)})
    assert [one.person for one in changed.pictures[ONE]] == [1, 1]
    assert len(list(changed.faces())) == 3


def _with(**changes: Any) -> bytes:
    return json.dumps({**json.loads(dump(ALBUM)), **changes}).encode()


PERSON = [[1, "Anna", True]]
FACE = [1, 2, 3, 4, 1, False, []]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        _with(format=2),
        _with(format=True),
        _with(next=7),
        _with(next=-1),
        _with(next=10**30),
        _with(arranged="x"),
        _with(people=[[0, "Anna", True]]),
        _with(people=[[1, "12", True]]),
        _with(people=[[1, "\x1b[2J", True]]),
        _with(people=[[1, "Anna", 1]]),
        _with(people=[[1, "Anna"]]),
        _with(people=[*PERSON, [1, "Bob", True]]),
        _with(people=[*PERSON, [2, "ANNA", True]]),
        _with(people={"1": 2}),
        _with(pictures=[]),
        _with(pictures={"x": []}),
        _with(pictures={ONE: [[1, 2, 3, 4, 99, False, []]]}),
        _with(pictures={ONE: [[1, 2, 3, 4, -1, False, []]]}),
        _with(pictures={ONE: [[1, 2, 3, 4, True, False, []]]}),
        _with(pictures={ONE: [[1, 2, 3, 4, [], False, []]]}),
        _with(pictures={ONE: [[1, 2, 3, 4, 1, 0, []]]}),
        _with(pictures={ONE: [[1, 2, 3, 4, 1, False, [99]]]}),
        _with(pictures={ONE: [[1, 2, 3, 4, 1, False, [0]]]}),
        _with(pictures={ONE: [[1, 2, 0, 4, 1, False, []]]}),
        _with(pictures={ONE: [[1, -2, 3, 4, 1, False, []]]}),
        _with(pictures={ONE: [[1.5, 2, 3, 4, 1, False, []]]}),
        _with(pictures={ONE: [[1, 2, 3, 1 << 40, 1, False, []]]}),
        _with(pictures={ONE: [FACE[:6]]}),
        _with(pictures={ONE: [FACE] * 2000}),
        _with(forgotten={"y": []}),
        _with(forgotten={ONE: [[1, 2, 3]]}),
        _with(forgotten=None),
        dump(ALBUM).replace(b'"next":8', b'"next":8,"next":8'),
        dump(ALBUM).replace(b'"next":8', b'"next":NaN'),
    ],
)
def test_what_a_stranger_wrote_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, RecursionError)):
        load(data)


def test_a_file_that_is_too_large_is_refused_and_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(album_module, "MOST_PEOPLE_BYTES", 100)
    with pytest.raises(CbirError, match="more than the 100 allowed"):
        dump(ALBUM)
    with pytest.raises(ValueError, match="bytes are more"):
        load(b" " * 101)

"""Albums of several indexes as one: names join people, the first counts, and what one forgot is forgotten."""

from __future__ import annotations

from cbir.images.regions import Box
from cbir.people.album import Album, Entry, Placed, dump, load
from cbir.people.joining import joined_albums

ONE, OTHER, THIRD = ("1" * 64, "2" * 64, "3" * 64)
LEFT, RIGHT = Box(0, 0, 50, 60), Box(100, 0, 50, 60)

FIRST = Album(
    {1: Entry("Anna", True), 4: Entry("", True)},
    {ONE: (Placed(LEFT, 1, True), Placed(RIGHT, 4))},
    {THIRD: (LEFT,)},
    7,
    "ab" * 32,
)
SECOND = Album(
    {1: Entry("Bob", True), 2: Entry("anna", True), 3: Entry()},
    {ONE: (Placed(Box(2, 1, 50, 60), 1),), OTHER: (Placed(LEFT, 2, False, (1,)), Placed(RIGHT, 3))},
    {THIRD: (LEFT, RIGHT), ONE: (Box(300, 0, 5, 5),)},
    4,
    "cd" * 32,
)


def test_people_of_one_name_are_one_and_the_others_get_numbers() -> None:
    joined = joined_albums([FIRST, SECOND])
    assert joined.people == {1: Entry("Anna", True), 4: Entry("", True), 7: Entry("Bob", True), 8: Entry()}
    assert joined.next_number == 9
    # the face that both know a little otherwise stays the first's
    assert joined.pictures[ONE] == FIRST.pictures[ONE]
    assert joined.pictures[OTHER] == (Placed(LEFT, 1, False, (7,)), Placed(RIGHT, 8))
    assert joined.forgotten == {THIRD: (LEFT, RIGHT), ONE: (Box(300, 0, 5, 5),)}
    assert joined.arranged == ""
    assert load(dump(joined)) == joined


def test_one_alone_stays_as_it_is_but_for_the_grouping() -> None:
    joined = joined_albums([FIRST])
    assert (joined.people, joined.pictures, joined.forgotten) == (FIRST.people, FIRST.pictures, FIRST.forgotten)
    assert joined.arranged == ""

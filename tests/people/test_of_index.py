"""People of an index: kept with it, brought up to date, and forgotten to the last byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError, IndexDamagedError, IndexLockedError
from cbir.index.columns.faces import FACES, FOUND, VECTORS
from cbir.index.format import load_meta
from cbir.index.lock import exclusive
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.people.album import NOBODY, Album
from cbir.people.arrange import Arranged
from cbir.people.edit import name_person
from cbir.people.forget import forget
from cbir.people.named import FaceNames
from cbir.people.of_index import change_people, is_up_to_date, people_of, read_album, read_faces
from cbir.people.person import faces_without, number_of, people_in
from tests.helpers.people import ALBUM, THRESHOLD, add_pictures, make_index, vector_of


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return make_index(tmp_path / "index", tmp_path / "photos", ALBUM)


def update(index: Index) -> Index:
    return change_people(index.directory, threshold=THRESHOLD)


def named(index: Index, face: str, name: str) -> Index:
    """Give the person of a face a name."""

    def change(arranged: Arranged, now: Index) -> Album:
        number = int(arranged.people[FaceNames(now, arranged.faces).find(face)])
        return name_person(arranged.album, number, name)

    return change_people(index.directory, change, threshold=THRESHOLD)


def test_people_are_kept_with_the_index(index: Index) -> None:
    found = people_of(index, threshold=THRESHOLD)
    assert not is_up_to_date(index, found)
    assert read_album(index) == Album()
    kept = update(index)
    again = people_of(kept, threshold=THRESHOLD)
    assert is_up_to_date(kept, again)
    assert again.people.tolist() == found.people.tolist()
    assert [(len(one.faces), one.pictures) for one in people_in(again)] == [(4, 4), (3, 3)]
    assert faces_without(again) == 2
    # nothing is written where nothing has changed
    number = kept.meta.next_number
    assert update(kept).meta.next_number == number


def test_new_pictures_join_and_rows_that_are_gone_leave(index: Index, tmp_path: Path) -> None:
    index = named(index, "beach.png", "Anna")
    writer = Writer(index.directory, index.meta)
    add_pictures(writer, tmp_path / "photos", {"new": ["anna", "cleo"]})
    writer.invalidate([0])
    writer.commit()
    index = update(Index.open(index.directory))
    found = people_of(index, threshold=THRESHOLD)
    names = FaceNames(index, found.faces)
    anna = next(one for one in people_in(found) if one.name == "Anna")
    assert {names.name(face) for face in anna.faces} == {"wood.png#1", "boat.png#1", "trip/table.png#2", "new.png#1"}
    assert {one.name for one in people_in(found)} == {"Anna", ""}
    assert len(people_in(found)) == 3, "Cleo is on two pictures now"


def test_files_of_one_content_have_one_face(index: Index, tmp_path: Path) -> None:
    writer = Writer(index.directory, index.meta)
    record = index.record(5)
    copy = tmp_path / "photos" / "copy.png"
    copy.write_bytes((tmp_path / "photos" / "stairs.png").read_bytes())
    columns = {column.name: index.stored(column, [5])[0] for column in (FOUND, FACES, VECTORS)}
    writer.add(type(record)("copy.png", record.size, 1, record.sha256), np.ones(16, np.float32), columns)
    writer.commit()
    index = Index.open(index.directory)
    found = people_of(index, threshold=THRESHOLD)
    assert len(index.faces()) == len(read_faces(index)) + 1
    names = FaceNames(index, found.faces)
    face = names.find("copy.png")
    assert names.name(face) == "stairs.png#1"
    assert found.people[face] == NOBODY, "a copy makes nobody a person"


def test_faces_are_named_by_path_and_number(index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    faces = read_faces(index)
    names = FaceNames(index, faces)
    monkeypatch.chdir(tmp_path / "photos" / "trip")
    face = names.find("trip/table.png#2")
    assert names.name(face) == "trip/table.png#2"
    assert names.number(face) == 2
    assert names.path(face) == tmp_path / "photos" / "trip" / "table.png"
    assert names.find("table.png#2") == names.find(f"{tmp_path}/photos/trip/table.png#2") == face
    assert names.find("door.png") == names.find("../trip/door.png#1")
    for text, why in (
        ("table.png", "has 3 faces: `#1` to `#3`"),
        ("table.png#4", "has 3 faces, and none with the number 4"),
        ("door.png#0", "has 1 face, and none with the number 0"),
        ("wall.png", "There is no face wall.png"),
        ("wall.png#1", "There is no face"),
        ("other.png#1", "There is no face"),
        ("#1", "There is no face"),
        ("", "There is no face"),
    ):
        with pytest.raises(CbirError, match=why):
            names.find(text)


def test_people_are_named_by_number_or_name(index: Index) -> None:
    album = people_of(named(index, "beach.png", "Anna"), threshold=THRESHOLD).album
    assert number_of(album, "anna") == number_of(album, str(number_of(album, "Anna")))
    with pytest.raises(CbirError, match=r"There is no person Bob.*and by name Anna"):
        number_of(album, "Bob")
    with pytest.raises(CbirError, match="There is no person 99"):
        number_of(album, "99")


def test_an_index_without_faces_says_how_to_get_them(index: Index) -> None:
    Writer(index.directory, index.meta).replace(index.meta.without("faces"))
    with pytest.raises(CbirError, match="--faces` looks for them"):
        people_of(Index.open(index.directory), threshold=THRESHOLD)


@pytest.mark.parametrize("content", [b"{}", b"\xff", b'{"format":9}', b"[" * 100_000])
def test_what_a_stranger_wrote_about_people_is_damage(index: Index, content: bytes) -> None:
    Writer(index.directory, index.meta).keep_people(content)
    with pytest.raises(IndexDamagedError, match="people is damaged"):
        people_of(Index.open(index.directory), threshold=THRESHOLD)


def test_one_writer_at_a_time(index: Index) -> None:
    with exclusive(index.directory), pytest.raises(IndexLockedError):
        update(index)


def bytes_of(index: Index) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(index.directory.rglob("*")) if path.is_file())


def test_a_forgotten_person_leaves_no_byte_of_a_vector(index: Index, tmp_path: Path) -> None:
    index = named(named(index, "beach.png", "Anna"), "trip/door.png", "Bob")
    # also of a picture that is gone, whose row is still there
    writer = Writer(index.directory, index.meta)
    add_pictures(writer, tmp_path / "photos", {"gone": ["cleo", "anna"]})
    writer.commit()
    writer.invalidate([index.rows])
    writer.commit()
    of_anna = {name: vector_of("anna", name).tobytes() for name in ("beach", "wood", "boat", "trip/table", "gone")}
    others = [vector_of(person, name).tobytes() for person, name in (("bob", "boat"), ("cleo", "trip/table"))]
    before = bytes_of(index)
    assert all(one in before for one in (*of_anna.values(), *others))
    assert b"Anna" in before
    assert forget(index.directory, "anna", threshold=THRESHOLD) == ("Anna", 4)
    after = bytes_of(index)
    assert [name for name, one in of_anna.items() if one in after] == []
    assert b"Anna" not in after
    assert all(one in after for one in others)
    index = Index.open(index.directory)
    found = people_of(index, threshold=THRESHOLD)
    assert [one.name for one in people_in(found) if one.name] == ["Bob"]
    assert len(found.faces) == 5
    assert index.faces().known.sum() == len(ALBUM), "they are not looked at again"
    album = read_album(index)
    assert {len(boxes) for boxes in album.forgotten.values()} == {1}
    assert len(album.forgotten) == 5
    with pytest.raises(CbirError, match="There is no person Anna"):
        forget(index.directory, "Anna", threshold=THRESHOLD)


def test_faces_are_forgotten_in_what_other_networks_have_made(index: Index, tmp_path: Path) -> None:
    index = named(index, "beach.png", "Anna")
    # the same pictures by another network, which an index keeps beside its own
    state = index.meta.but(model={**index.meta.model, "name": "efficientnet_lite1"}, blocks=())
    writer = Writer(index.directory, state, whole=index.meta.but(kept=(state,), format=2))
    add_pictures(writer, tmp_path / "photos", ALBUM)
    writer.commit()
    vector = vector_of("anna", "beach").tobytes()
    assert bytes_of(index).count(vector) == 2
    forget(index.directory, "Anna", threshold=THRESHOLD)
    assert vector not in bytes_of(index)
    assert len(load_meta(index.directory).kept) == 1


def test_whoever_is_killed_while_forgetting_can_forget_again(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    number = int(people_of(index, threshold=THRESHOLD).people[0])
    monkeypatch.setattr(Writer, "commit", lambda self, **changes: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        forget(index.directory, str(number), threshold=THRESHOLD)
    monkeypatch.undo()
    assert vector_of("anna", "beach").tobytes() in bytes_of(index)
    assert forget(index.directory, str(number), threshold=THRESHOLD) == ("", 4)
    assert vector_of("anna", "beach").tobytes() not in bytes_of(index)

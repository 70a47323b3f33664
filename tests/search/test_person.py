"""Search for a person by name: whose pictures come first, who else may be it, and who is never it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError, IndexDamagedError
from cbir.faces.likeness import DEFAULT, distances
from cbir.index.columns.faces import pack
from cbir.index.files import FileRecord
from cbir.index.joined import join
from cbir.index.lock import exclusive
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.people.album import Album
from cbir.people.arrange import Arranged
from cbir.people.edit import name_person, put_faces, take_out
from cbir.people.faces import Faces
from cbir.people.of_index import change_people
from cbir.search.face_query import MatchedFace, PersonQuery
from cbir.search.filters import RowFilter
from cbir.search.queries import FeedbackQuery
from cbir.search.searcher import Searcher
from cbir.utils.vectors import l2_normalize
from tests.helpers.people import Picture, add_pictures, make_index, packed, vector_of

PICTURES: dict[str, Picture] = {
    "beach": ["anna"],
    "wood": ["anna"],
    "boat": ["anna", "bob"],
    "trip/table": ["bob", "cleo"],
    "trip/door": ["bob"],
    "wall": [],
}

#: Two faces that are one person's are far less apart.
THRESHOLD = DEFAULT.group


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An index that knows Anna and Bob."""
    make_index(tmp_path / "index", tmp_path / "photos", PICTURES)
    return named(tmp_path / "index")


def named(directory: Path) -> Index:
    def name(arranged: Arranged, index: Index) -> Album:
        album = arranged.album
        for picture, place, who in (("beach", 0, "Anna"), ("trip/door", 0, "Bob")):
            album = name_person(album, int(arranged.people[at(index, arranged.faces, picture, place)]), who)
        return album

    return change_people(directory, name, threshold=THRESHOLD)


def at(index: Index, faces: Faces, picture: str, place: int) -> int:
    """The number of a face, by its picture and its place there."""
    paths = [index.record(int(row)).path for row in faces.rows]
    return faces.of_picture(paths.index(f"{picture}.png"))[place]


def add(index: Index, pictures: dict[str, Picture]) -> Index:
    """The index with pictures that came since its people were arranged."""
    with exclusive(index.directory, 0):
        writer = Writer(index.directory, index.meta)
        add_pictures(writer, Path(index.root), pictures)
        writer.commit()
    return Index.open(index.directory)


def found(index: Index, who: str = "Anna", **options: object) -> dict[str, str]:
    """The pictures of a person, in order, each with what is said of the face."""
    (result,) = Searcher(index).search([PersonQuery(who)], **options)  # type: ignore[arg-type]
    assert "count" in options or result.total == len(result.matches)
    for match in result.matches:
        assert isinstance(match.face, MatchedFace)
        assert match.box == match.face.box
    paths = [match.path.relative_to(index.root).with_suffix("").as_posix() for match in result.matches]
    return dict(zip(paths, (match.shown("face") for match in result.matches), strict=True))


def test_a_persons_pictures_are_found_by_name_in_any_case_and_by_number(index: Index) -> None:
    grouped = dict.fromkeys(("beach", "wood", "boat"), "grouped")
    assert found(index) == found(index, "anna") == grouped
    assert found(index, "1") in (grouped, found(index, "Bob"))
    assert set(found(index, "Bob")) == {"boat", "trip/table", "trip/door"}
    with pytest.raises(CbirError, match=r"There is no person Dora: .* by name Anna, Bob"):
        found(index, "Dora")


@pytest.mark.parametrize(("distance", "said"), [(0.34, ""), (0.36, "perhaps"), (0.41, "perhaps")])
def test_who_is_not_near_enough_to_be_grouped_is_perhaps_the_person(index: Index, distance: float, said: str) -> None:
    anna = np.stack([vector_of("anna", shot) for shot in ("beach", "wood", "boat")])
    away = l2_normalize(np.random.default_rng(5).normal(size=128).astype(np.float32))
    steps = [l2_normalize(anna.mean(axis=0) + step * away) for step in np.linspace(0, 1, 500)]
    vector = min(steps, key=lambda one: abs(float(distances(anna, one[np.newaxis]).min()) - distance))
    with exclusive(index.directory, 0):
        writer = Writer(index.directory, index.meta)
        record = FileRecord("new.png", 1, 1, "e" * 64)
        writer.add(record, index.features([0])[0], pack([((0, 0, 80, 90), 1.0, 90, vector)]))
        writer.commit()
    assert found(Index.open(index.directory))["new"] == said


def test_those_who_came_since_are_found_by_the_nearest_of_the_faces(index: Index) -> None:
    grown = add(index, {"new": ["bob", "anna"], "other": ["dora"]})
    assert list(found(grown)) == [*found(index), "new"]
    assert found(grown)["new"] in ("", "perhaps")
    assert list(found(grown, count=2)) == list(found(grown))[:2]
    (result,) = Searcher(grown).search([PersonQuery("Anna")])
    assert result.matches[-1].face is not None
    assert result.matches[-1].face.number == 2
    record = result.to_dict()
    assert (record["query"], record["person"]) == ("Anna", "Anna")
    assert record["matches"][-1]["face"]["box"] == list(result.matches[-1].face.box)


def test_what_somebody_said_comes_first_and_is_never_moved_back(index: Index) -> None:
    def put(arranged: Arranged, index: Index) -> Album:
        faces = arranged.faces
        anna = arranged.album.named("Anna")
        assert anna is not None
        album = put_faces(arranged.album, [faces.key(at(index, faces, "trip/table", 1))], anna)
        return take_out(album, [faces.key(at(index, faces, "wood", 0))])

    changed = change_people(index.directory, put, threshold=THRESHOLD)
    assert found(changed) == {"trip/table": "confirmed", "beach": "grouped", "boat": "grouped"}
    (result,) = Searcher(changed).search([PersonQuery("Anna")])
    assert result.matches[0].face is not None
    assert result.matches[0].to_dict()["face"]["confirmed"] is True
    # nor is anybody found who is somebody else's
    assert "trip/table" in found(changed, "Bob")


def test_copies_and_filters(index: Index) -> None:
    with exclusive(index.directory, 0):
        writer = Writer(index.directory, index.meta)
        record = next(its for _, its in index.records() if its.path == "beach.png")._replace(path="again.png")
        writer.add(record, index.features([0])[0], pack([packed("anna", "beach", 0)]))
        writer.commit()
    index = Index.open(index.directory)
    assert set(found(index)) == {"beach", "again", "wood", "boat"}
    assert set(found(index, "Bob", among=RowFilter(folders=("trip",)))) == {"trip/table", "trip/door"}
    assert set(found(index, min_score=0.999)) == {"beach", "again"}


def test_without_people_or_faces_the_index_says_what_to_do(tmp_path: Path, index: Index) -> None:
    plain = make_index(tmp_path / "plain", tmp_path / "other", PICTURES)
    with pytest.raises(CbirError, match="There is no person Anna: `cbir people` lists them"):
        found(plain)
    with pytest.raises(CbirError, match="one index each"):
        found(join([index, plain]))
    with pytest.raises(ValueError, match="a name"):
        PersonQuery(" ")
    with pytest.raises(TypeError, match="not of people"):
        FeedbackQuery(PersonQuery("Anna"))  # type: ignore[arg-type]


def test_a_damaged_album_is_told(index: Index) -> None:
    assert index.meta.people is not None
    (index.directory / index.meta.people.name).write_bytes(b"{}")
    with pytest.raises(IndexDamagedError):
        found(Index.open(index.directory))

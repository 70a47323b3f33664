"""Search by faces and for people: what it finds, in which order, what it hides, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cbir.faces.remembered
from cbir.errors import CbirError, IndexDamagedError, ModelError, RegionError
from cbir.faces.face import Face
from cbir.faces.likeness import DEFAULT
from cbir.faces.own_thresholds import remember
from cbir.index.columns.faces import Packed
from cbir.index.entries import FacesEntry
from cbir.index.joined import join
from cbir.index.store import Index
from cbir.search.face_query import FaceQuery
from cbir.search.filters import RowFilter
from cbir.search.queries import AnyQuery, CombinedQuery, FeedbackQuery, ImageQuery, TextQuery, WordQuery
from cbir.search.results import SearchResult
from cbir.search.searcher import Searcher
from tests.helpers.face_index import make_face_index, vector
from tests.helpers.toy_faces import open_toy_finder

DrawPicture = Callable[..., Image.Image]


def at(distance: float, seed: int = 1, towards: int = 99) -> np.ndarray:
    """A vector that is so far from that of a seed."""
    one, other = vector(seed), vector(towards)
    across = other - (other @ one) * one
    across /= np.linalg.norm(across)
    cosine = 1 - distance**2 / 2
    return np.asarray(cosine * one + np.sqrt(1 - cosine**2) * across, dtype=np.float32)


def face(vector: np.ndarray, *, x: int = 10) -> Packed:
    return (x, 20, 60, 80), 0.99, 80, vector


#: The faces of each row; of the last one nobody knows.
FACES = {
    0: [face(vector(1)), face(vector(2), x=200)],
    1: [face(vector(3)), face(at(0.2), x=300)],
    2: [face(at(0.3))],
    3: [face(at(DEFAULT.perhaps + 0.02))],
    4: [face(at(DEFAULT.search + 0.01))],
    5: [],
    6: [face(at(0.1)), face(at(0.15), x=90)],
}
ROWS = 8


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return make_face_index(tmp_path / "index", FACES, ROWS)


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbir.faces.remembered, "open_finder", open_toy_finder)


def known(row: int, number: int = 1) -> FaceQuery:
    """A query by a face of a picture of the index, which is not there to be read."""
    return FaceQuery(Path(f"/photos/{row}.jpg"), f"{row}.jpg", face=number, sha256=f"{row:064x}")


def toy_faces(image: Image.Image) -> list[Face]:
    return open_toy_finder().find(np.asarray(image), image.size)


def search(index: Index, query: AnyQuery, **options: object) -> SearchResult:
    (result,) = Searcher(index).search([query], **options)  # type: ignore[arg-type]
    return result


def rows(index: Index, query: AnyQuery, **options: object) -> list[int]:
    result = search(index, query, **options)
    assert result.error is None
    assert result.total == len(result.matches) or "count" in options
    return [match.row for match in result.matches]


def test_pictures_come_by_their_nearest_face_and_strangers_are_hidden(index: Index) -> None:
    result = search(index, known(0))
    assert [match.row for match in result.matches] == [6, 1, 2, 3]
    found = [match.face for match in result.matches]
    assert [round(one.distance, 3) for one in found if one] == [0.1, 0.2, 0.3, round(DEFAULT.perhaps + 0.02, 3)]
    assert [one.number for one in found if one] == [1, 2, 1, 1]
    assert [one.said for one in found if one] == ["", "", "", "perhaps"]
    assert [match.box for match in result.matches] == [one.box for one in found if one]
    assert result.matches[1].box == (300, 20, 60, 80)
    assert [round(match.score, 4) for match in result.matches][:2] == [0.995, 0.98]
    assert result.boxes == ((10, 20, 60, 80),)
    assert result.total == 4
    assert result.notices == (
        "Faces are not known of 1 of the index's 8 pictures yet: `cbir index --index index` looks for them.",
    )


def test_the_number_says_which_face(index: Index) -> None:
    assert rows(index, known(1, 2)) == [6, 2, 3, 0, 4]
    assert rows(index, known(1)) == []
    assert rows(index, known(0, 2), include_self=True) == [0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"count": 2}, [6, 1]),
        ({"count": 2, "offset": 1}, [1, 2]),
        ({"include_self": True}, [0, 6, 1, 2, 3]),
        ({"min_score": 0.96}, [6, 1]),
        ({"among": RowFilter(folders=(".",))}, [6, 1, 2, 3]),
    ],
)
def test_options_of_searches_hold(index: Index, options: dict[str, object], expected: list[int]) -> None:
    assert rows(index, known(0), **options) == expected


def test_a_result_tells_the_faces(index: Index) -> None:
    record = json.loads(json.dumps(search(index, known(0)).to_dict()))
    assert (record["query"], record["face"], record["box"]) == ("0.jpg", 1, [10, 20, 60, 80])
    last = record["matches"][-1]
    assert last["face"] == {
        "number": 1,
        "box": [10, 20, 60, 80],
        "distance": pytest.approx(DEFAULT.perhaps + 0.02, abs=1e-4),
        "perhaps": True,
        "confirmed": False,
    }
    assert last["box"] == [10, 20, 60, 80]


def test_no_such_face_is_told(index: Index) -> None:
    for query, said in (
        (known(5), "No face was found in 5.jpg"),
        (known(0, 3), "There are 2 faces in 0.jpg, and none with the number 3"),
        (known(2, 2), "There is 1 face in 2.jpg, and none"),
    ):
        error = search(index, query).error
        assert isinstance(error, RegionError)
        assert said in str(error)


def test_what_faces_have_not_is_refused(index: Index, tmp_path: Path) -> None:
    for options in ({"min_probability": 0.5}, {"class_name": "beagle"}, {"learnt": "none"}):
        with pytest.raises(CbirError):
            search(index, known(0), **options)
    plain = make_face_index(tmp_path / "plain", {}, 2, finder=None)  # type: ignore[arg-type]
    with pytest.raises(CbirError, match="The index plain has no faces: `cbir index --index plain --faces`"):
        search(plain, known(0))
    for make in (
        lambda: FaceQuery(Path("a.jpg"), "a.jpg", face=0),
        lambda: FaceQuery(Path("a.jpg"), "a.jpg", kind=True),
        lambda: FaceQuery(Path("a.jpg"), "a.jpg", weight=2),
        lambda: CombinedQuery((known(0), ImageQuery.from_path("b.jpg"))),
        lambda: FeedbackQuery(known(0), (ImageQuery.from_path("b.jpg"),)),
        lambda: TextQuery.from_text("a dog", picture=known(0)),
        lambda: WordQuery.from_text("dog", picture=known(0)),
    ):
        with pytest.raises(ValueError, match=r"face|numbered"):
            make()


def test_faces_of_other_pictures_are_found_by_the_finder(
    tmp_path: Path, draw_picture: DrawPicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that the index lacks, and one whose faces it does not know yet."""
    root = tmp_path / "photos"
    root.mkdir()
    drawn = (draw_picture(number, (48, 32)) for number in range(50))
    picture = next(one for one in drawn if len(toy_faces(one)) == 3)
    picture.save(root / "new.png")
    faces = toy_faces(picture)
    index = make_face_index(tmp_path / "index", {0: [face(faces[0].vector)], 1: [face(faces[2].vector)]}, 2, root=root)
    assert rows(index, FaceQuery.by_face(root / "new.png")) == [0]
    assert rows(index, FaceQuery.by_face(str(root / "new.png"), 3)) == [1]
    assert rows(index, FaceQuery((root / "new.png").read_bytes(), "-", face=3)) == [1]
    result = search(index, FaceQuery.by_face(root / "none.png"))
    assert "there is no such file" in str(result.error)
    (root / "none.png").write_bytes(b"no picture")
    assert search(index, FaceQuery.by_face(root / "none.png")).error is not None


def test_an_index_by_another_finder_says_so(
    tmp_path: Path, draw_picture: DrawPicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_picture(1, (48, 32)).save(tmp_path / "a.png")
    index = make_face_index(tmp_path / "index", FACES, ROWS)
    monkeypatch.setattr(cbir.faces.remembered, "open_finder", lambda **_: open_toy_finder(model=__file__))
    with pytest.raises(CbirError, match="cannot be compared"):
        search(index, FaceQuery.by_face(tmp_path / "a.png"))


def test_a_network_of_ones_own_has_its_own_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = FacesEntry("own", "ab" * 32, 128, "/somewhere/own.onnx")
    index = make_face_index(tmp_path / "index", FACES, ROWS, finder=own)
    with pytest.raises(ModelError, match="network own takes two faces for one person's is not known yet"):
        search(index, known(0))
    remember(own.identity, replace(DEFAULT, search=0.25, perhaps=0.15))
    result = search(index, known(0))
    assert [(match.row, match.shown("face")) for match in result.matches] == [(6, ""), (1, "perhaps")]


def test_damaged_faces_are_told(index: Index) -> None:
    (file,) = index.directory.glob("face_vectors-*.npy")
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(IndexDamagedError):
        search(Index.open(index.directory), known(0))


def test_joined_indexes_are_searched_as_one(tmp_path: Path) -> None:
    roots = [tmp_path / "root" / name for name in "ab"]
    members = [
        make_face_index(tmp_path / name, {0: [face(at(distance))]}, 1, root=root)
        for name, root, distance in zip("ab", roots, (0.3, 0.2), strict=True)
    ]
    joined = join(members)
    query = FaceQuery(Path("x.jpg"), "x.jpg", sha256=f"{0:064x}")
    assert [match.row for match in search(joined, query, include_self=True).matches] == [0, 1]

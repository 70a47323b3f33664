"""The faces of rows in an index directory, and what users said of people: written, read back, harmless if damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError, IndexDamagedError
from cbir.index import format as format_module
from cbir.index.columns import registry
from cbir.index.columns.faces import FACE, FACES, FOUND, MOST, VECTORS, check_vectors, count_faces, pack, unpack
from cbir.index.entries import FacesEntry
from cbir.index.format import META, load_meta
from cbir.index.joined import JoinedIndex
from cbir.index.store import Index
from cbir.index.verify import find_problems, without_damage
from cbir.index.writer import Writer
from tests.helpers.face_index import FINDER, face, make_face_index, vector

#: Of the first picture two faces, of the second none, of the third nobody knows, of the fourth one.
THEIRS = {0: [face(1), face(2, box=(300, 5, 30, 40), score=0.97, height=61)], 1: [], 3: [face(3)]}


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return make_face_index(tmp_path / "index", THEIRS, 5)


def vectors_of(index: Index) -> dict[str, list[list[float]]]:
    """The vectors of each picture's faces, by its path, as `Index.faces` has them."""
    faces = index.faces()
    found: dict[str, list[list[float]]] = {index.record(row).path: [] for row in np.flatnonzero(faces.known)}
    for row, its in zip(faces.rows.tolist(), faces.vectors.tolist(), strict=True):
        found[index.record(row).path].append(its)
    return found


def test_pack_and_unpack() -> None:
    packed = pack(
        [((1.4, 2, 3, 4), 0.5, 9, vector(1)), ((-3, 0, 0.2, 1e12), 2, 0, vector(2)), ((0, 0, 1, 1), 0, 5, vector(3))]
    )
    assert count_faces(packed["faces"][np.newaxis]).tolist() == [3]
    boxes, scores, heights = unpack(packed["face_boxes"])
    assert boxes.tolist() == [[1, 2, 3, 4], [0, 0, 1, 1 << 28], [0, 0, 1, 1]]
    assert np.allclose(scores, [0.5, 1, 1 / 65535], atol=1e-5)
    assert heights.tolist() == [9, 1, 5]
    assert np.array_equal(packed["face_vectors"], [vector(1), vector(2), vector(3)])
    assert {name: len(one) for name, one in pack([]).items()} == {"faces": 1, "face_boxes": 0, "face_vectors": 0}
    assert len(pack([face(number) for number in range(MOST + 5)])["face_vectors"]) == MOST
    for wrong in (np.zeros(128), np.full(128, np.nan), vector(1) * 1.01):
        assert np.array_equal(pack([((0, 0, 1, 1), 1, 1, wrong), face(2)])["face_vectors"], [vector(2)])
    with pytest.raises(ValueError, match="shape"):
        pack([face(1), ((0, 0, 1, 1), 1, 1, vector(1, 64))])


def test_faces_are_read_with_their_rows(index: Index) -> None:
    faces = index.faces()
    assert faces.rows.tolist() == [0, 0, 3]
    assert faces.numbers.tolist() == [0, 1, 0]
    assert faces.boxes.tolist() == [[10, 20, 60, 80], [300, 5, 30, 40], [10, 20, 60, 80]]
    assert np.allclose(faces.scores, [0.99, 0.97, 0.99], atol=1e-4)
    assert faces.heights.tolist() == [80, 61, 80]
    assert np.array_equal(faces.vectors, [vector(1), vector(2), vector(3)])
    assert faces.known.tolist() == [True, True, False, True, False]
    assert len(faces) == 3
    assert [index.faces_of(row).known.tolist() for row in range(5)] == [[True], [True], [False], [True], [False]]
    its = index.faces_of(0)
    assert (its.rows.tolist(), its.numbers.tolist(), its.heights.tolist()) == ([0, 0], [0, 1], [80, 61])
    assert np.array_equal(its.vectors, [vector(1), vector(2)])
    assert index.faces_of(3).rows.tolist() == [3]
    assert len(index.faces_of(1)) == len(index.faces_of(2)) == 0
    assert find_problems(index, verify=True) == []


def test_rows_that_do_not_count_have_none(index: Index) -> None:
    writer = Writer(index.directory, index.meta)
    writer.invalidate([0])
    writer.commit()
    faces = Index.open(index.directory).faces()
    assert faces.rows.tolist() == [3]
    assert np.array_equal(faces.vectors, [vector(3)])
    assert faces.known.tolist() == [False, True, False, True, False]
    assert len(Index.open(index.directory).faces_of(0)) == 2


def test_pictures_that_cannot_be_read_are_not_looked_at_again(index: Index) -> None:
    writer = Writer(index.directory, index.meta)
    for column in (FOUND, FACES, VECTORS):
        writer.backfill(column, [2], column.unavailable)
    writer.commit()
    index = Index.open(index.directory)
    assert np.flatnonzero(index.missing(FOUND)).tolist() == [4]
    assert np.flatnonzero(index.missing(FOUND, unavailable_too=True)).tolist() == [2, 4]
    assert np.flatnonzero(index.missing(VECTORS)).tolist() == [4]
    assert index.faces().known.tolist() == [True, True, False, True, False]
    assert find_problems(index, verify=True) == []


def test_several_blocks_and_compaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = make_face_index(tmp_path / "index", {row: [face(row)] * (row % 3) for row in range(12)})
    wanted = vectors_of(few)
    writer = Writer(few.directory, few.meta)
    for row in range(3):
        writer.add(few.record(row)._replace(path=f"copy{row}.jpg"), few.features([row])[0], pack([face(row)]))
    writer.commit()
    index = Index.open(few.directory)
    assert len(index.meta.blocks) == 2
    assert vectors_of(index) == {**wanted, **{f"copy{row}.jpg": [vector(row).tolist()] for row in range(3)}}
    assert index.faces_of(13).rows.tolist() == [13]
    monkeypatch.setattr("cbir.index.writer.WORTH_COMPACTING", 3)
    writer.invalidate(range(2, 7))
    writer.commit()
    writer.tidy()
    index = Index.open(few.directory)
    assert (index.rows, len(index.meta.blocks)) == (10, 1)
    assert vectors_of(index) == {
        **{path: its for path, its in wanted.items() if not 2 <= int(path.removesuffix(".jpg")) < 7},
        **{f"copy{row}.jpg": [vector(row).tolist()] for row in range(3)},
    }


def test_several_indexes_are_seen_as_one(index: Index, tmp_path: Path) -> None:
    # the finder's network may lie elsewhere, and it is the same network
    other = make_face_index(
        tmp_path / "other", {0: [face(9)]}, 2, root=Path("/more"), finder=FacesEntry("toy", "cd" * 32, 128, "/a.onnx")
    )
    joined = JoinedIndex([index, other], Path("/"), ["photos", "more"])
    faces = joined.faces()
    assert faces.rows.tolist() == [0, 0, 3, 5]
    assert faces.known.tolist() == [True, True, False, True, False, True, False]
    assert np.array_equal(faces.vectors[3], vector(9))
    assert joined.faces_of(5).rows.tolist() == [5]
    # those of another finder cannot be compared
    of_another = FacesEntry("toy", "ef" * 32, 128)
    third = make_face_index(tmp_path / "third", {0: [face(9)]}, root=Path("/more"), finder=of_another)
    joined = JoinedIndex([index, third], Path("/"), ["photos", "more"])
    assert joined.meta.faces is None
    with pytest.raises(CbirError, match="has no faces"):
        joined.faces()
    # and of one that is damaged nothing is known
    path = other.directory / other.meta.blocks[0].columns["face_vectors"].name
    path.write_bytes(path.read_bytes()[:-1])
    joined = JoinedIndex([index, Index.open(other.directory)], Path("/"), ["photos", "more"])
    assert joined.faces().rows.tolist() == [0, 0, 3]
    cut = bytearray(path.read_bytes() + b"\0")
    cut[-200:-100] = bytes(100)
    path.write_bytes(cut)
    joined = JoinedIndex([index, Index.open(other.directory)], Path("/"), ["photos", "more"])
    assert joined.faces().rows.tolist() == [0, 0, 3]
    assert any("face_vectors" in problem for problem in joined.damage)


def test_vectors_of_any_length_fit(tmp_path: Path) -> None:
    its = [((0, 0, 9, 9), 1, 9, vector(number, 512)) for number in range(2)]
    index = make_face_index(tmp_path / "index", {0: its, 1: []}, finder=FacesEntry("own", "ef" * 32, 512, "/a.onnx"))
    assert index.faces().vectors.shape == (2, 512)
    assert find_problems(index) == []
    # those of a finder of another length are none of this index's
    writer = Writer(index.directory, index.meta)
    writer.replace(index.meta.but(faces=FINDER))
    index = Index.open(index.directory)
    with pytest.raises(IndexDamagedError, match="512 numbers instead of 128"):
        index.faces()
    with pytest.raises(IndexDamagedError, match="512 numbers instead of 128"):
        index.faces_of(0)
    assert any("512" in problem for problem in find_problems(index))


def test_an_index_without_faces_says_so(tmp_path: Path) -> None:
    index = make_face_index(tmp_path / "index", {}, 2)
    Writer(index.directory, index.meta).replace(index.meta.without("faces"))
    index = Index.open(index.directory)
    for ask in (index.faces, lambda: index.faces_of(0)):
        with pytest.raises(CbirError, match="has no faces: `cbir index --index index --faces`"):
            ask()
    assert not {FOUND, FACES, VECTORS} & {*index.meta.wanted_columns}
    meta = json.loads((index.directory / META).read_text())
    assert not {"faces", "people", "face_boxes", "face_vectors"} & {*meta, *meta["blocks"][0]}


def test_who_does_not_know_them_passes_over_them(index: Index) -> None:
    """As an older cbir does, which commits the index without them."""
    with pytest.MonkeyPatch.context() as unknown:
        others = {name: column for name, column in registry._COLUMNS.items() if column.group != "faces"}
        unknown.setattr(registry, "_COLUMNS", others)
        older = Index.open(index.directory)
        assert len(older) == 5
        assert find_problems(older, verify=True) == []


def test_what_users_said_of_people_is_kept_with_the_index(index: Index) -> None:
    assert index.people_content() is None
    Writer(index.directory, index.meta).keep_people(b'{"people": 1}')
    assert Index.open(index.directory).people_content() == b'{"people": 1}'
    writer = Writer(index.directory, load_meta(index.directory))
    writer.keep_people(b'{"people": 2}')
    assert [path.name for path in index.directory.glob("people-*")] == [load_meta(index.directory).people.name]  # type: ignore[union-attr]
    # whatever happens to rows
    writer.invalidate([0])
    writer.commit()
    writer.tidy()
    index = Index.open(index.directory)
    assert index.people_content() == b'{"people": 2}'
    assert find_problems(index, verify=True) == []
    # whoever has the index open need not open it again, as its rows are the same
    writer.keep_people(b"3")
    assert index.take_notions(load_meta(index.directory))
    assert index.people_content() == b"3"
    writer.keep_people(None)
    assert Index.open(index.directory).people_content() is None
    assert not list(index.directory.glob("people-*"))
    with pytest.raises(CbirError, match="128 MB"):
        writer.keep_people(bytes((128 << 20) + 1))


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_damage_to_people_harms_no_face_and_is_told(index: Index, damage: str) -> None:
    Writer(index.directory, index.meta).keep_people(b'{"people": 1}')
    [path] = index.directory.glob("people-*")
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"{}" if damage == "cut" else b'{"people": 2}')
    index = Index.open(index.directory)
    assert len(index.faces()) == 3
    with pytest.raises(IndexDamagedError, match="Put the file back from a copy"):
        index.people_content()
    assert any("people-" in problem for problem in find_problems(index, verify=True))
    sound, problems = without_damage(index.directory, index.meta)
    assert len(problems) == 1
    assert sound.people is None
    assert sound.blocks == index.meta.blocks


def test_they_are_taken_away_with_what_was_said_of_people(index: Index) -> None:
    writer = Writer(index.directory, index.meta)
    writer.keep_people(b"{}")
    writer.replace(writer.meta.without("faces"))
    assert (load_meta(index.directory).faces, load_meta(index.directory).people) == (None, None)
    assert not [path for path in index.directory.iterdir() if path.name.startswith(("face", "people"))]
    for path in index.directory.iterdir():
        assert vector(1)[:4].tobytes() not in path.read_bytes()


CHANGES = {
    "a count": ("faces", 0, b"\2"),
    "many": ("faces", 0, b"\2\5"),
    "a box": ("face_boxes", 3, b"\xff"),
    "no width": ("face_boxes", 8, b"\0"),
    "no score": ("face_boxes", 16, b"\0\0"),
    "no height": ("face_boxes", 18, b"\0\0\0\0"),
    "a number": ("face_vectors", 3, b"\x7f"),
    "no number": ("face_vectors", 0, b"\0\0\xc0\x7f"),
    "zeros": ("face_vectors", 0, bytes(512)),
}


@pytest.mark.parametrize("damage", [*CHANGES, "faces gone", "face_boxes gone", "face_vectors cut"])
def test_damage_harms_nothing_else_and_is_noticed(index: Index, damage: str) -> None:
    name, offset, value = CHANGES.get(damage, (damage.split()[0], 0, b""))
    path = index.directory / index.meta.blocks[0].columns[name].name
    data = bytearray(path.read_bytes())
    start = len(data) - {"faces": 5 * 2, "face_boxes": 3 * FACE.itemsize, "face_vectors": 3 * 512}[name]
    data[start + offset : start + offset + len(value)] = value
    if damage.endswith("gone"):
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage.endswith("cut") else data)
    index = Index.open(index.directory)
    assert index.features([3]).shape == (1, 16)
    with pytest.raises(IndexDamagedError, match=r"face.*--repair"):
        index.faces()
    with pytest.raises(IndexDamagedError, match=r"face.*--repair"):
        index.faces_of(0)
    assert any("face" in problem for problem in find_problems(index))
    sound, problems = without_damage(index.directory, load_meta(index.directory))
    assert len(problems) == 1
    assert not {"faces", "face_boxes", "face_vectors"} & {*sound.blocks[0].columns}
    assert sound.blocks[0].features == index.meta.blocks[0].features
    Writer(index.directory, index.meta).replace(sound)
    assert not Index.open(index.directory).faces().known.any()


def test_vectors_are_checked() -> None:
    check_vectors(np.zeros((0, 0), np.float32), 128)
    check_vectors(vector(1)[np.newaxis], 128)
    with pytest.raises(ValueError, match="128 numbers instead of 64"):
        check_vectors(vector(1)[np.newaxis], 64)


@pytest.mark.parametrize(
    "forged",
    [
        {"identity": "no"},
        {"dimension": 0},
        {"dimension": 1 << 20},
        {"dimension": 128.0},
        {"source": "a\0b"},
        {"name": None},
        {"name": "x" * 300},
    ],
)
def test_a_forged_entry_is_damage(index: Index, forged: dict[str, object]) -> None:
    _forge(index, lambda meta: meta["faces"].update(forged))


@pytest.mark.parametrize(
    "forged", [{"name": "../x.json"}, {"name": "people-1.json"}, {"bytes": 1 << 40}, {"sha256": ""}]
)
def test_a_forged_entry_of_people_is_damage(index: Index, forged: dict[str, object]) -> None:
    Writer(index.directory, index.meta).keep_people(b"{}")
    _forge(index, lambda meta: meta["people"].update(forged))


def _forge(index: Index, change: object) -> None:
    path = index.directory / META
    meta = json.loads(path.read_text())
    del meta["checksum"]
    change(meta)  # type: ignore[operator]
    path.write_text(json.dumps({**meta, "checksum": format_module._checksum(meta)}))
    with pytest.raises(IndexDamagedError, match=r"meta\.json is damaged"):
        load_meta(index.directory)

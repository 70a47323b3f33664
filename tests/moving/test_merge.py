"""Joining indexes: rows as they are stored, paths by a common root or by name, and nothing forgotten."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbir.errors import IndexConflictError
from cbir.images.regions import Box
from cbir.index.columns.faces import Packed
from cbir.index.entries import FacesEntry
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.run import index_folder
from cbir.moving.merge import merge
from cbir.people.album import Album, Entry, Placed, dump
from cbir.people.forget import forget
from cbir.people.of_index import read_album
from tests.helpers.face_index import FINDER, face, make_face_index, vector
from tests.helpers.faults import replace_in
from tests.helpers.feature_index import make_index
from tests.moving.test_vectorfile import unit


@pytest.fixture
def folders(tmp_path: Path, draw_picture: Any, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two folders of four pictures each, in one."""
    replace_in(monkeypatch)
    found = []
    for name, first in (("left", 0), ("right", 4)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(first, first + 4):
            draw_picture(number, (48, 32)).save(folder / f"{number}.png")
        found.append(folder)
    return found


def paths_of(index: Index) -> list[str]:
    return [index.record(row).path for row in np.flatnonzero(index.valid).tolist()]


def test_the_merged_index_is_that_of_the_common_folder(folders: list[Path], tmp_path: Path) -> None:
    merge([index_folder(folder)[0] for folder in folders], tmp_path / "both")
    both = Index.open(tmp_path / "both")
    direct, _ = index_folder(folders[0].parent, str(tmp_path / "direct"))
    assert find_problems(both, verify=True) == []
    assert both.root == direct.root
    assert list(both.files().records()) == list(direct.files().records())
    for entry, other in zip(both.meta.blocks[0].data_files(), direct.meta.blocks[0].data_files(), strict=True):
        assert (both.directory / entry.name).read_bytes() == (direct.directory / other.name).read_bytes(), entry.name
    _, report = index_folder(folders[0].parent, str(tmp_path / "both"))
    assert (report.unchanged, report.added, report.removed) == (8, 0, 0)


def test_the_first_of_two_rows_of_a_path_counts(folders: list[Path], tmp_path: Path, draw_picture: Any) -> None:
    left, _ = index_folder(folders[0])
    draw_picture(9, (48, 32)).save(folders[0] / "1.png")
    whole, _ = index_folder(folders[0].parent, "whole")
    done = merge([left, whole], tmp_path / "both")
    assert (done.rows, done.doubled) == (8, {f"left/{n}.png": n != 1 for n in range(4)})
    both = Index.open(tmp_path / "both")
    assert len(set(paths_of(both))) == 8
    assert left.record(1).sha256 in both.files().sha256s
    assert whole.find(left.record(1).sha256) == []


def test_indexes_of_anywhere_are_joined_by_name(tmp_path: Path) -> None:
    one = make_index(tmp_path / "one", unit(3, seed=1), Path("/a/photos"))
    two = make_index(tmp_path / "two", unit(2, seed=2), Path("/b/photos"))
    done = merge([one, two], tmp_path / "both", by_name=True, root=tmp_path / "mnt")
    assert paths_of(Index.open(tmp_path / "both")) == ["one/0.jpg", "one/1.jpg", "one/2.jpg", "two/0.jpg", "two/1.jpg"]
    assert done.root == tmp_path / "mnt"
    with pytest.raises(IndexConflictError, match="not below"):
        merge([one, two], tmp_path / "third", root=Path("/a"))
    with pytest.raises(IndexConflictError, match="Two of the indexes are called one"):
        merge([one, one], tmp_path / "third", by_name=True)
    assert not (tmp_path / "third").exists()


def test_rows_whose_pictures_cannot_be_looked_at_stay(folders: list[Path], tmp_path: Path) -> None:
    """The folder of one of two is away: its rows stay through any run but one with --prune."""
    indexes = [index_folder(folder)[0] for folder in folders]
    os.rename(folders[1], tmp_path / "away")
    merge(indexes, tmp_path / "both")
    os.mkdir(folders[1])
    both, report = index_folder(folders[0].parent, str(tmp_path / "both"))
    assert (report.kept, report.removed, len(both)) == (4, 0, 8)
    os.unlink(folders[0] / "1.png")
    both, report = index_folder(folders[0].parent, str(tmp_path / "both"))
    assert (report.kept, report.removed, len(both)) == (4, 1, 7)
    os.rmdir(folders[1])
    os.rename(tmp_path / "away", folders[1])
    both, report = index_folder(folders[0].parent, str(tmp_path / "both"))
    assert (report.kept, report.removed, report.unchanged) == (0, 0, 7)
    os.unlink(folders[1] / "5.png")
    _, report = index_folder(folders[0].parent, str(tmp_path / "both"))
    assert (report.kept, report.removed) == (0, 1)


def test_only_one_network_is_joined(tmp_path: Path) -> None:
    one = make_index(tmp_path / "one", unit(3))
    two = make_index(tmp_path / "two", unit(3, 33))
    with pytest.raises(IndexConflictError, match="made with another number of features"):
        merge([one, two], tmp_path / "both")
    writer = Writer(two.directory, two.meta)
    model = {**one.model, "weights": {**one.model["weights"], "source": "file", "sha256": "0" * 64}}
    writer.replace(make_index(tmp_path / "other", unit(3)).meta.but(model=model, blocks=()))
    with pytest.raises(IndexConflictError, match="made with another weights"):
        merge([one, Index.open(two.directory)], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_rows_that_count_no_more_are_not_taken_along(tmp_path: Path) -> None:
    one = make_index(tmp_path / "one", unit(6), tmp_path / "a")
    writer = Writer(one.directory, one.meta)
    writer.invalidate([0, 3])
    writer.commit()
    two = make_index(tmp_path / "two", unit(2, seed=5), tmp_path / "b")
    merge([Index.open(one.directory), two], tmp_path / "both")
    both = Index.open(tmp_path / "both")
    assert (both.rows, len(both)) == (6, 6)
    assert np.array_equal(both.features([0, 5]), np.stack([one.features([1])[0], two.features([1])[0]]))


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_who_may_not_read_one_of_them_may_not_read_the_whole(folders: list[Path], tmp_path: Path) -> None:
    folders[1].chmod(0o700)
    merge([index_folder(folder)[0] for folder in folders], tmp_path / "both")
    assert stat.S_IMODE((tmp_path / "both").stat().st_mode) & 0o077 == 0


def test_what_is_not_taken_along_is_said(tmp_path: Path) -> None:
    one = make_index(tmp_path / "one", unit(3), tmp_path / "a")
    two = make_index(tmp_path / "two", unit(3), tmp_path / "b")
    Writer(two.directory, two.meta).replace(two.meta.but(exclude=("*.gif",)))
    done = merge([one, Index.open(two.directory)], tmp_path / "both")
    assert [lost.split(",")[0] for lost in done.lost] == ["the patterns of what is left out"]
    done = merge([Index.open(two.directory)], tmp_path / "copy")
    assert (done.lost, Index.open(tmp_path / "copy").meta.exclude) == ([], ("*.gif",))


def test_faces_come_along_with_what_was_said_of_people(tmp_path: Path) -> None:
    one = make_face_index(tmp_path / "one", {0: [face(1)], 2: [face(2), face(3)]}, 4, root=tmp_path / "a")
    two = make_face_index(tmp_path / "two", {0: [], 1: [face(4)]}, 3, root=tmp_path / "b")
    Writer(two.directory, two.meta).keep_people(album_of({1: face(4)}, "Anna"))
    two = Index.open(two.directory)
    done = merge([one, two], tmp_path / "both")
    both = Index.open(tmp_path / "both")
    assert find_problems(both, verify=True) == []
    assert (done.lost, both.meta.faces, read_album(both).named("Anna")) == ([], FINDER, 1)
    faces = both.faces()
    assert faces.rows.tolist() == [0, 2, 2, 5]
    assert np.array_equal(faces.vectors, [vector(seed) for seed in range(1, 5)])
    assert faces.known.tolist() == [True, False, True, False, True, True, False]
    # of several that have names, those of all
    Writer(one.directory, one.meta).keep_people(album_of({0: face(1)}, "Berta"))
    done = merge([Index.open(one.directory), two], tmp_path / "again")
    assert {entry.name for entry in read_album(Index.open(tmp_path / "again")).people.values()} == {"Anna", "Berta"}
    assert done.lost == []
    # but where one is damaged
    path = next(one.directory.glob("people-*"))
    path.write_bytes(path.read_bytes().replace(b"Berta", b"bERTA"))
    done = merge([Index.open(one.directory), two], tmp_path / "damaged")
    assert [lost[:32] for lost in done.lost] == ["what was said of people in one ("]
    assert read_album(Index.open(tmp_path / "damaged")).named("Anna") == 1


def album_of(faces: dict[int, Packed], name: str) -> bytes:
    """What an index has of people where these faces, by row, are of somebody."""
    placed = {f"{row:064x}": (Placed(Box(*map(int, np.asarray(one[0]))), 1, True),) for row, one in faces.items()}
    return dump(Album({1: Entry(name, True)}, placed, next_number=2))


def test_who_was_forgotten_in_one_is_not_in_the_merged_one(tmp_path: Path) -> None:
    two_faces = [face(2), face(3, box=(200, 20, 60, 80))]
    one = make_face_index(tmp_path / "one", {0: two_faces}, 1, root=tmp_path / "a")
    two = make_face_index(tmp_path / "two", {0: two_faces, 1: [face(4)]}, 2, root=tmp_path / "b")
    Writer(one.directory, one.meta).keep_people(album_of({0: two_faces[1]}, "Anna"))
    forget(one.directory, "Anna", threshold=0.36)
    merge([Index.open(one.directory), two], tmp_path / "both")
    both = Index.open(tmp_path / "both")
    assert find_problems(both, verify=True) == []
    assert both.faces().rows.tolist() == [0, 1, 2]
    assert not [path for path in both.directory.iterdir() if vector(3).tobytes() in path.read_bytes()]
    assert len(read_album(both).forgotten) == 1


def test_faces_of_two_finders_stay_behind(tmp_path: Path) -> None:
    one = make_face_index(tmp_path / "one", {0: [face(1)]}, root=tmp_path / "a")
    other = FacesEntry("own", "ef" * 32, 128, "/own.onnx")
    two = make_face_index(tmp_path / "two", {0: [face(1)]}, root=tmp_path / "b", finder=other)
    Writer(one.directory, one.meta).keep_people(b"Anna")
    done = merge([Index.open(one.directory), two], tmp_path / "both")
    assert [lost.split(",")[0] for lost in done.lost] == ["faces"]
    assert not [path for path in (tmp_path / "both").iterdir() if path.name.startswith(("face", "people"))]


@pytest.mark.parametrize("name", ["faces", "face_boxes", "face_vectors"])
def test_where_a_file_of_faces_is_damaged_the_rows_come_without_any(tmp_path: Path, name: str) -> None:
    one = make_face_index(tmp_path / "one", {0: [face(1)]}, root=tmp_path / "a")
    two = make_face_index(tmp_path / "two", {0: [face(2), face(3)]}, root=tmp_path / "b")
    path = two.directory / two.meta.blocks[0].columns[name].name
    path.write_bytes(path.read_bytes()[:-1])
    merge([one, Index.open(two.directory)], tmp_path / "both")
    both = Index.open(tmp_path / "both")
    assert find_problems(both, verify=True) == []
    assert both.faces().known.tolist() == [True, False]
    assert np.array_equal(both.faces().vectors, [vector(1)])

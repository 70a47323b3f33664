"""What is exported comes back the same, byte for byte, whatever the pictures are called."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.errors import CbirError, OutputRefusedError
from cbir.index.columns import faces as face_columns
from cbir.index.columns import treatment
from cbir.index.columns.treatment import NUMBERS, TREATED
from cbir.index.entries import FacesEntry
from cbir.index.store import Index
from cbir.index.treatments import treatments_of
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.run import index_folder
from cbir.moving import parquet_faces
from cbir.moving.export import ENDINGS, export
from cbir.moving.take import TakeOptions, take
from tests.helpers.face_index import face, make_face_index, vector
from tests.helpers.faults import replace_in
from tests.helpers.feature_index import make_index

WITH_PARQUET = [".parquet", ".npy", ".fvecs"]


@pytest.fixture
def photos(tmp_path: Path, draw_picture: Callable[..., Image.Image], monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index of eight pictures, two of which have names that are none for every program."""
    replace_in(monkeypatch)
    root = tmp_path / "photos"
    (root / "a folder").mkdir(parents=True)
    names = [b"a folder/1.png", b"2.png", b"3\n.png", b"caf\xe9.png", b"5.png", b"6.png", b"7.png", b"8.png"]
    for number, name in enumerate(names):
        draw_picture(number, (48, 32)).save(root / os.fsdecode(name))
    index, _ = index_folder(root, "photos")
    return index


def data_of(index: Index) -> dict[str, bytes]:
    """The content of all data files but times of files."""
    files = [entry for block in index.meta.blocks for entry in block.data_files()]
    return {
        entry.name.split("-")[0]: (index.directory / entry.name).read_bytes()
        for entry in files
        if not entry.name.startswith("changed")
    }


@pytest.mark.parametrize("ending", WITH_PARQUET)
def test_an_index_comes_back_the_same(photos: Index, tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    done = export(photos, tmp_path / f"out{ending}")
    assert (done.rows, done.damaged) == (8, 0)
    taken = take([done.files[0]], tmp_path / "copy")
    copy = Index.open(tmp_path / "copy")
    assert (taken.rows, taken.here, taken.left_out) == (8, 8, [])
    assert find_problems(copy, verify=True) == []
    before, after = data_of(photos), data_of(copy)
    if ending != ".parquet":  # which have no columns
        before = {name: before[name] for name in ("features", "files")}
    assert after == before
    assert (copy.root, copy.meta.precisions, copy.meta.imported) == (photos.root, photos.meta.precisions, True)
    assert copy.meta.cosines == photos.meta.cosines


@pytest.mark.parametrize("ending", WITH_PARQUET)
def test_rows_come_without_their_pictures(photos: Index, tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    done = export(photos, tmp_path / f"out{ending}")
    os.rename(photos.root, tmp_path / "elsewhere")
    taken = take([done.files[0]], tmp_path / "copy")
    copy = Index.open(tmp_path / "copy")
    assert (taken.rows, taken.here) == (8, 0)
    assert data_of(copy)["files"] == data_of(photos)["files"]
    assert copy.rows_of_content(photos.record(2).sha256) == [2]


def test_rows_that_count_no_more_are_not_written(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", np.eye(6, 8, dtype=np.float32))
    writer = Writer(index.directory, index.meta)
    writer.invalidate([1, 4])
    writer.commit()
    export(Index.open(index.directory), tmp_path / "out.npy")
    assert np.array_equal(np.load(tmp_path / "out.npy"), np.eye(6, 8, dtype=np.float16)[[0, 2, 3, 5]])
    take([tmp_path / "out.npy"], tmp_path / "copy")
    assert list(Index.open(tmp_path / "copy").files().paths) == ["0.jpg", "2.jpg", "3.jpg", "5.jpg"]


def test_a_damaged_row_is_left_out_and_counted(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", np.eye(6, 8, dtype=np.float32))
    path = index.directory / index.meta.blocks[0].features.name
    content = bytearray(path.read_bytes())
    content[-16:] = b"\xff" * 16
    path.write_bytes(content)
    done = export(Index.open(index.directory), tmp_path / "out.npy")
    assert (done.rows, done.damaged) == (5, 1)
    assert np.isfinite(np.load(tmp_path / "out.npy")).all()


def test_a_place_on_this_machine_is_not_told(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", np.eye(6, 8, dtype=np.float32))
    weights = {"source": "file", "sha256": "0" * 64, "path": "/home/me/secret.pth", "url": None}
    Writer(index.directory, index.meta).replace(index.meta.but(model={**index.model, "weights": weights}))
    for ending in ENDINGS if find_spec("pyarrow") else ENDINGS[1:]:
        export(Index.open(index.directory), tmp_path / f"out{ending}")
    assert b"0" * 64 in (tmp_path / "out.json").read_bytes()
    assert not any(b"secret.pth" in path.read_bytes() for path in tmp_path.glob("out*"))


def test_files_of_others_are_not_written_over(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", np.eye(6, 8, dtype=np.float32))
    (tmp_path / "out.json").write_text("[1, 2, 3]")
    with pytest.raises(OutputRefusedError, match="cbir did not make it"):
        export(index, tmp_path / "out.npy")
    assert not (tmp_path / "out.npy").exists()
    export(index, tmp_path / "out.npy", force=True)
    with pytest.raises(CbirError, match=r"none of the endings"):
        export(index, tmp_path / "out.csv")
    assert set(ENDINGS) == {".parquet", ".npy", ".fvecs"}


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_what_comes_of_a_private_file_is_private(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", np.eye(6, 8, dtype=np.float32))
    export(index, tmp_path / "out.npy")
    (tmp_path / "out.npy").chmod(0o600)
    take([tmp_path / "out.npy"], tmp_path / "copy", TakeOptions())
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) & 0o077 == 0


def test_parquet_is_for_other_programs(photos: Index, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    export(photos, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert {"path", "sha256", "size", "feature", "classes", "tags", "taken", "width"} <= set(table.column_names)
    features = np.stack(table["feature"].to_pylist())
    assert np.array_equal(features.astype(np.float32), photos.features(np.arange(8)))
    assert table["sha256"].to_pylist() == list(photos.files().sha256s)
    assert table["width"].to_pylist() == [48] * 8
    export(photos, tmp_path / "out.parquet")  # over its own
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "out.parquet")
    with pytest.raises(OutputRefusedError):
        export(photos, tmp_path / "out.parquet")


FACES = {0: [face(1), face(2)], 1: [], 3: [face(3, box=(0, 0, 9, 9), score=0.9731, height=12)]}


def test_faces_come_back_the_same(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    index = make_face_index(tmp_path / "index", FACES, 6, root=tmp_path / "photos")
    writer = Writer(index.directory, index.meta)
    for column in (face_columns.FOUND, face_columns.FACES, face_columns.VECTORS):
        writer.backfill(column, [4], column.unavailable)
    writer.keep_people(b"Anna")
    writer.commit()
    index = Index.open(index.directory)
    done = export(index, tmp_path / "out.parquet")
    assert done.faces == 3
    take(done.files, tmp_path / "copy")
    copy = Index.open(tmp_path / "copy")
    assert find_problems(copy, verify=True) == []
    faces = ("faces", "face_boxes", "face_vectors")
    assert {name: data_of(copy)[name] for name in faces} == {name: data_of(index)[name] for name in faces}
    assert copy.meta.faces == index.meta.faces
    assert (copy.people_content(), b"Anna" in done.files[0].read_bytes()) == (None, False)
    # in files of several, and with rows that are left out
    writer = Writer(index.directory, index.meta)
    writer.invalidate([0])
    writer.commit()
    second = export(Index.open(index.directory), tmp_path / "second.parquet")
    both = take([*second.files, *done.files], tmp_path / "both")
    index = Index.open(tmp_path / "both")
    assert (both.rows, len(both.left_out)) == (6, 5)
    assert find_problems(index, verify=True) == []
    assert [index.record(row).path for row in index.faces().rows] == ["3.jpg", "0.jpg", "0.jpg"]
    assert np.array_equal(index.faces().vectors, [vector(3), vector(1), vector(2)])


def test_other_programs_read_faces(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    index = make_face_index(tmp_path / "index", FACES, 5, root=tmp_path / "photos")
    table = parquet.read_table(export(index, tmp_path / "out.parquet").files[0])
    faces = table.column("faces").to_pylist()
    assert [None if its is None else len(its) for its in faces] == [2, 0, None, 1, None]
    assert faces[3][0]["box"] == [0, 0, 9, 9]
    assert (round(faces[3][0]["score"], 4), faces[3][0]["height"]) == (0.9731, 12)
    assert np.array_equal(np.float32(faces[0][1]["vector"]), vector(2))


def test_of_an_index_without_faces_nothing_is_said_of_them(photos: Index, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(export(photos, tmp_path / "out.parquet").files[0])
    assert not [name for name in table.column_names if "face" in name]


def test_a_users_network_for_faces_is_named_without_its_place(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    finder = FacesEntry("own", "ef" * 32, 128, "/home/me/secret/own.onnx")
    index = make_face_index(tmp_path / "index", FACES, finder=finder, root=tmp_path / "photos")
    done = export(index, tmp_path / "out.parquet")
    assert b"secret" not in done.files[0].read_bytes()
    take(done.files, tmp_path / "copy")
    entry = Index.open(tmp_path / "copy").meta.faces
    assert entry is not None
    assert (entry.source, entry.identity) == ("own.onnx", finder.identity)


def test_damaged_faces_are_exported_as_none(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for name in ("faces", "face_vectors"):
        index = make_face_index(tmp_path / name, FACES, root=tmp_path / "photos")
        path = index.directory / index.meta.blocks[0].columns[name].name
        path.write_bytes(path.read_bytes()[:-1])
        done = export(Index.open(index.directory), tmp_path / f"{name}.parquet")
        assert done.faces == 0
        take(done.files, tmp_path / f"{name} copy")
        copy = Index.open(tmp_path / f"{name} copy")
        assert find_problems(copy, verify=True) == []
        assert not copy.faces().known.any()


@pytest.mark.parametrize(
    "forged", ["fewer", "a box", "not of length 1", "another length", "numbers", "texts", "nothing"]
)
def test_forged_faces_are_told_and_nothing_is_taken(tmp_path: Path, forged: str) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    index = make_face_index(tmp_path / "index", FACES, 5, root=tmp_path / "photos")
    path = export(index, tmp_path / "out.parquet").files[0]
    table = parquet.read_table(path)
    place = table.column_names.index("faces")
    faces = table.column("faces").to_pylist()
    if forged == "fewer":
        del faces[0][1]
    elif forged == "a box":
        faces[0][1]["box"][2] = 0
    elif forged == "not of length 1":
        faces[0][0]["vector"][0] = 2.0
    kind = table.schema.field("faces").type
    if forged == "another length":
        kind = parquet_faces.type_of(arrow, 64)
        for its in faces:
            for one in its or ():
                one["vector"] = vector(1, 64)
    changed = {
        "numbers": arrow.array([[1]] * 5),
        "texts": arrow.array(["face"] * 5),
        "nothing": arrow.array([None] * 5, kind),
    }
    its = changed[forged] if forged in changed else arrow.array(faces, kind)
    parquet.write_table(table.set_column(place, "faces", its).replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(CbirError, match=r"out\.parquet.*faces are none"):
        take([path], tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.fixture
def treated(photos: Index) -> Index:
    """The same, knowing how its pictures were treated, but for one that was not looked at and one that has nothing."""
    index, _ = index_folder(photos.root, "photos", treatment=True)
    writer = Writer(index.directory, index.meta)
    for column, records in treatment.pack(np.zeros(4, np.float32)).items():
        writer.backfill(next(one for one in (TREATED, NUMBERS) if one.name == column), [2], records)
    writer.commit()
    return Index.open(index.directory)


def test_treatments_come_back_the_same(treated: Index, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    done = export(treated, tmp_path / "out.parquet")
    take(done.files, tmp_path / "copy")
    copy = Index.open(tmp_path / "copy")
    assert find_problems(copy, verify=True) == []
    names = ("treatment", "treatment_numbers")
    assert {name: data_of(copy)[name] for name in names} == {name: data_of(treated)[name] for name in names}
    assert copy.meta.treatment == treated.meta.treatment is not None
    contents = parquet.read_table(done.files[0]).column("cbir_treatment").to_pylist()
    assert sorted({len(one) for one in contents}) == [0, 2 * copy.meta.treatment.numbers]
    take([done.files[0], export(treated, tmp_path / "again.parquet").files[0]], tmp_path / "both")
    assert treatments_of(Index.open(tmp_path / "both")).rows.tolist() == treatments_of(treated).rows.tolist()


def test_of_an_index_without_treatments_nothing_is_said_of_them(photos: Index, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    done = export(photos, tmp_path / "out.parquet")
    assert "cbir_treatment" not in parquet.read_table(done.files[0]).column_names
    take(done.files, tmp_path / "copy")
    assert Index.open(tmp_path / "copy").meta.treatment is None


@pytest.mark.parametrize("forged", ["fewer", "not of length 1", "not finite", "texts", "numbers"])
def test_forged_treatments_are_told_and_nothing_is_taken(treated: Index, tmp_path: Path, forged: str) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = export(treated, tmp_path / "out.parquet").files[0]
    table = parquet.read_table(path)
    contents = table.column("cbir_treatment").to_pylist()
    contents[0] = {
        "fewer": contents[0][:-2],
        "not of length 1": b"\x00\x40" + contents[0][2:],
        "not finite": b"\x00\x7e" + contents[0][2:],
    }.get(forged, contents[0])
    its = {"texts": arrow.array(["a"] * 8), "numbers": arrow.array([1] * 8)}.get(forged, arrow.array(contents))
    place = table.column_names.index("cbir_treatment")
    parquet.write_table(table.set_column(place, "cbir_treatment", its), path)
    with pytest.raises(CbirError, match="its treatments are none"):
        take([path], tmp_path / "copy")
    assert not (tmp_path / "copy" / "meta.json").exists()

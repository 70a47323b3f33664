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
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.run import index_folder
from cbir.moving.export import ENDINGS, export
from cbir.moving.take import TakeOptions, take
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

"""Importing rows that strangers made, with their pictures or without."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbir.errors import CbirError, IndexConflictError, ModelError, RefusedToForgetError
from cbir.index.store import Index
from cbir.indexing.run import Options, build_index, index_folder
from cbir.indexing.target import choose_target
from cbir.moving.take import NO_DIRECTION, TWICE, TakeOptions, take
from cbir.search.queries import Query, VectorQuery
from cbir.search.searcher import Searcher
from tests.helpers.faults import replace_in
from tests.moving.test_vectorfile import unit

ELSEWHERE = TakeOptions(made_by="ViT-B/32", root=Path("/nowhere"))


def write(folder: Path, features: np.ndarray, paths: list[str]) -> Path:
    np.save(folder / "f.npy", features)
    (folder / "f.json").write_text(json.dumps(paths))
    return folder / "f.npy"


def test_features_of_another_network_are_searched_without_pictures(tmp_path: Path) -> None:
    features = unit(20).astype("<f4")
    names = [f"a/{number}.jpg" for number in range(20)]
    taken = take([write(tmp_path, features, names)], tmp_path / "clip", ELSEWHERE)
    assert (taken.rows, taken.here, taken.model) == (20, 0, "vit_b_32")
    searcher = Searcher(Index.open(tmp_path / "clip"))
    wanted = np.argsort(-(features @ features[3]))[:3]
    (by_vector,) = searcher.search([VectorQuery(features[3])], count=3, reranked=False)
    assert [match.row for match in by_vector.matches] == wanted.tolist()
    for name in ("a/3.jpg", "/nowhere/a/3.jpg"):
        (by_path,) = searcher.search([Query.from_path(name)], count=3, reranked=False, include_self=True)
        assert [match.row for match in by_path.matches] == wanted.tolist()
        (without,) = searcher.search([Query.from_path(name)], count=2, reranked=False)
        assert [match.row for match in without.matches] == wanted[1:].tolist()
    (unknown,) = searcher.search([Query.from_path("a/other.jpg")])
    assert "no such file" in str(unknown.error)


def test_a_picture_that_the_network_has_to_look_at_is_told(tmp_path: Path, draw_picture: Any) -> None:
    take([write(tmp_path, unit(3), ["1.jpg", "2.jpg", "3.jpg"])], tmp_path / "clip", ELSEWHERE)
    draw_picture(1, (48, 32)).save(tmp_path / "new.png")
    with pytest.raises(ModelError, match="cbir does not have it: search by pictures that are in the index"):
        list(Searcher(Index.open(tmp_path / "clip")).search([Query.from_path(tmp_path / "new.png")]))


def test_pictures_that_are_there_are_known_by_their_content(tmp_path: Path, draw_picture: Any) -> None:
    for number in range(3):
        draw_picture(number, (48, 32)).save(tmp_path / f"{number}.png")
    shutil.copy(tmp_path / "1.png", tmp_path / "copy.png")
    file = write(tmp_path, unit(3), ["0.png", "1.png", "2.png"])
    options = TakeOptions(made_by="clip", root=tmp_path)
    assert take([file], tmp_path / "clip", options).here == 3
    (found,) = Searcher(Index.open(tmp_path / "clip")).search([Query.from_path(tmp_path / "copy.png")], count=1)
    assert found.matches[0].path == tmp_path / "1.png"
    assert take([file], tmp_path / "unseen", TakeOptions(made_by="clip", root=tmp_path, unseen=True)).here == 0


def test_rows_that_nothing_can_be_like_and_that_come_twice_are_left_out(tmp_path: Path) -> None:
    features = unit(5).astype("<f4")
    features[1], features[2, 3] = 0, np.nan
    file = write(tmp_path, features, ["0.jpg", "1.jpg", "2.jpg", "0.jpg", "4.jpg"])
    taken = take([file], tmp_path / "clip", ELSEWHERE)
    assert taken.left_out == [("1.jpg", NO_DIRECTION), ("2.jpg", NO_DIRECTION), ("0.jpg", TWICE)]
    index = Index.open(tmp_path / "clip")
    assert list(index.files().paths) == ["0.jpg", "4.jpg"]
    assert np.allclose(index.features([0, 1]), features[[0, 4]], atol=1e-3)


@pytest.mark.parametrize(
    "path",
    [
        "../x.jpg",
        "a/../../x.jpg",
        "a/../x.jpg",
        "/etc/passwd",
        "/nowhere/../etc/x",
        "/nowhere2/x",
        "",
        "a\0b",
        "a" * 300,
    ],
)
def test_a_path_that_leads_out_of_the_root_is_refused(tmp_path: Path, path: str) -> None:
    file = write(tmp_path, unit(2), ["0.jpg", path])
    with pytest.raises(CbirError, match="no file below /nowhere: nothing was taken"):
        take([file], tmp_path / "clip", ELSEWHERE)
    assert not (tmp_path / "clip").exists()


def test_paths_are_relative_to_the_root_or_below_it(tmp_path: Path) -> None:
    file = write(tmp_path, unit(3), ["/nowhere/a/1.jpg", "./b//2.jpg", "3.jpg"])
    take([file], tmp_path / "clip", ELSEWHERE)
    assert list(Index.open(tmp_path / "clip").files().paths) == ["a/1.jpg", "b/2.jpg", "3.jpg"]
    file = write(tmp_path, unit(2), ["/photos/a/1.jpg", "/photos/b/2.jpg"])
    taken = take([file], tmp_path / "other", TakeOptions(made_by="clip"))
    assert taken.root == Path("/photos")
    with pytest.raises(CbirError, match="are relative: say with --root FOLDER"):
        take([write(tmp_path, unit(1), ["1.jpg"])], tmp_path / "third", TakeOptions(made_by="clip"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is no list of paths"),
        ("[" * 100_000, "is no list of paths"),
        ('["a.jpg", 3]', "a path is no text"),
        ('["a.jpg"]', "2 vectors, but 1 paths"),
        ('{"paths": ["a", "b"], "sizes": [1]}', "not of one length"),
        ('{"paths": ["a", "b"], "sizes": [1, 2], "mtimes_ns": [1, 2], "sha256s": ["x", "y"]}', "not a SHA-256"),
        ('{"paths": ["a", "b"], "model": {"name": "../x"}}', "names no network that can be"),
        ('{"paths": ["a", "b"], "model": 7}', "is no list of paths"),
    ],
)
def test_lists_that_are_none_are_told(tmp_path: Path, content: str, reason: str) -> None:
    np.save(tmp_path / "f.npy", unit(2))
    (tmp_path / "f.json").write_text(content)
    with pytest.raises(CbirError, match=reason):
        take([tmp_path / "f.npy"], tmp_path / "clip", TakeOptions(root=Path("/nowhere")))
    assert not (tmp_path / "clip").exists()


def test_the_network_has_to_be_known_and_to_fit(tmp_path: Path) -> None:
    file = write(tmp_path, unit(2), ["1.jpg", "2.jpg"])
    with pytest.raises(CbirError, match="does not say which network"):
        take([file], tmp_path / "x", TakeOptions(root=Path("/nowhere")))
    with pytest.raises(CbirError, match="has features of 32 numbers, but efficientnet_lite0 makes 1,280"):
        take([file], tmp_path / "x", TakeOptions(root=Path("/nowhere"), model="efficientnet_lite0"))
    with pytest.raises(ModelError, match="say so with --model resnet50"):
        take([file], tmp_path / "x", TakeOptions(root=Path("/nowhere"), made_by="ResNet50"))
    with pytest.raises(ModelError, match="no name of a network"):
        take([file], tmp_path / "x", TakeOptions(root=Path("/nowhere"), made_by="//"))
    assert not (tmp_path / "x").exists()


def test_an_index_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    file = write(tmp_path, unit(2), ["1.jpg", "2.jpg"])
    take([file], tmp_path / "clip", ELSEWHERE)
    before = (tmp_path / "clip" / "meta.json").read_bytes()
    with pytest.raises(IndexConflictError, match="`cbir merge` to join"):
        take([file], tmp_path / "clip", ELSEWHERE)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(IndexConflictError, match="is no index but has files in it"):
        take([file], tmp_path / "photos", ELSEWHERE)
    assert (tmp_path / "clip" / "meta.json").read_bytes() == before


def test_a_run_keeps_rows_whose_pictures_were_never_here(
    tmp_path: Path, draw_picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are here, and are gone later: these are forgotten. The others stay until --prune."""
    replace_in(monkeypatch)
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(4):
        draw_picture(number, (48, 32)).save(root / f"{number}.png")
    index, _ = index_folder(root, "first")
    file = write(tmp_path, index.features(range(4)), ["0.png", "1.png", "2.png", "away.png"])
    take([file], tmp_path / "copy", TakeOptions(model=str(index.model["name"]), root=root))
    _, report = index_folder(root, str(tmp_path / "copy"))
    assert (report.kept, report.removed, report.unchanged, report.added) == (1, 0, 3, 1)
    os.unlink(root / "1.png")
    copy, report = index_folder(root, str(tmp_path / "copy"))
    assert (report.kept, report.removed) == (1, 1)
    assert {copy.record(row).path for row in np.flatnonzero(copy.valid)} == {"0.png", "2.png", "3.png", "away.png"}
    copy, report = index_folder(root, str(tmp_path / "copy"), prune=True)
    assert {copy.record(row).path for row in np.flatnonzero(copy.valid)} == {"0.png", "2.png", "3.png"}


def test_a_run_on_an_index_without_pictures_leaves_it_as_it_was(tmp_path: Path) -> None:
    take([write(tmp_path, unit(3), ["1.jpg", "2.jpg", "3.jpg"])], tmp_path / "clip", ELSEWHERE)
    before = (tmp_path / "clip" / "meta.json").read_bytes()
    with pytest.raises(RefusedToForgetError):
        index_folder(Path("/nowhere"), str(tmp_path / "clip"))
    (tmp_path / "empty").mkdir()
    build_index(choose_target(None, str(tmp_path / "clip"), tmp_path / "empty"))
    assert len(Index.open(tmp_path / "clip")) == 3
    assert before != (tmp_path / "clip" / "meta.json").read_bytes()  # it has another root


def test_repair_takes_no_rows_away_that_cannot_be_read_again(tmp_path: Path) -> None:
    take([write(tmp_path, unit(3), ["1.jpg", "2.jpg", "3.jpg"])], tmp_path / "clip", ELSEWHERE)
    features = next((tmp_path / "clip").glob("features-*"))
    content = bytearray(features.read_bytes())
    content[-1] ^= 1
    features.write_bytes(content)
    before = (tmp_path / "clip" / "meta.json").read_bytes()
    target = choose_target(None, str(tmp_path / "clip"))
    with pytest.raises(RefusedToForgetError, match="import them anew, or add --prune"):
        build_index(target, Options(repair=True))
    assert (tmp_path / "clip" / "meta.json").read_bytes() == before


def test_what_clip_retrieval_made_is_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    folder = tmp_path / "embeddings"
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    features = unit(25).astype("<f2")
    for part, start in enumerate(range(0, 25, 2)):  # ten and more: the order is that of numbers
        rows = range(start, min(start + 2, 25))
        np.save(folder / "img_emb" / f"img_emb_{part}.npy", features[rows])
        table = pa.table({"image_path": [f"{row:09}" for row in rows], "caption": ["a cat"] * len(rows)})
        pq.write_table(table, folder / "metadata" / f"metadata_{part}.parquet")
    taken = take([folder], tmp_path / "clip", TakeOptions(made_by="ViT-B/32", root=Path("/downloads")))
    index = Index.open(tmp_path / "clip")
    assert taken.rows == 25
    assert list(index.files().paths) == [f"00000/{row:09}.jpg" for row in range(25)]
    assert np.array_equal(index.features(range(25)), features.astype(np.float32))
    os.unlink(folder / "metadata" / "metadata_3.parquet")
    with pytest.raises(CbirError, match=r"Cannot read .*metadata_3.parquet"):
        take([folder], tmp_path / "other", TakeOptions(made_by="ViT-B/32", root=Path("/downloads")))


def test_a_folder_of_img2dataset_is_told_to_have_no_features(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"url": ["https://a/b"], "key": ["000000000"], "status": ["success"], "width": [3]})
    pq.write_table(table, tmp_path / "00000.parquet")
    with pytest.raises(CbirError, match="img2dataset's, which has pictures and no features"):
        take([tmp_path], tmp_path / "x", ELSEWHERE)


def test_parquet_of_strangers(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    features = unit(9).astype("<f4")
    file = tmp_path / "s.parquet"
    pq.write_table(pa.table({"filename": [f"{n}.jpg" for n in range(9)], "embedding": features.tolist()}), file)
    take([file], tmp_path / "one", ELSEWHERE)
    index = Index.open(tmp_path / "one")
    assert np.allclose(index.features(range(9)), features, atol=1e-3)
    pq.write_table(pa.table({"name": ["0.jpg"], "a": [[1.0, 2.0]], "b": [[2.0, 1.0]]}), file)
    with pytest.raises(CbirError, match="--columns PATH,FEATURE"):
        take([file], tmp_path / "two", ELSEWHERE)
    options = TakeOptions(made_by="x", root=Path("/nowhere"), columns=("name", "b"))
    take([file], tmp_path / "two", options)
    assert Index.open(tmp_path / "two").features([0])[0].argmax() == 0


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 2.0], [1.0]],
        [[1.0, 2.0], None],
        [[1.0, 2.0], []],
        [None, [1.0, 2.0]],
    ],
)
def test_features_of_several_lengths_are_told(tmp_path: Path, rows: list[Any]) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"path": ["1.jpg", "2.jpg"], "feature": rows}), tmp_path / "s.parquet")
    with pytest.raises(CbirError, match="Cannot read"):
        take([tmp_path / "s.parquet"], tmp_path / "x", ELSEWHERE)
    assert not (tmp_path / "x").exists()


def test_numbers_that_are_missing_leave_their_rows_out(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"path": ["1.jpg", "2.jpg"], "feature": [[1.0, None], [1.0, 2.0]]})
    pq.write_table(table, tmp_path / "s.parquet")
    taken = take([tmp_path / "s.parquet"], tmp_path / "x", ELSEWHERE)
    assert taken.left_out == [("1.jpg", NO_DIRECTION)]


def test_parquet_that_is_damaged_anywhere_is_told_and_never_half_taken(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    features = unit(50).astype("<f4")
    file = tmp_path / "s.parquet"
    pq.write_table(pa.table({"path": [f"{n}.jpg" for n in range(50)], "feature": features.tolist()}), file)
    content = file.read_bytes()
    random = np.random.default_rng(5)
    outcomes = set()
    for turn in range(60):
        broken = bytearray(content)
        if turn % 3 == 0:
            del broken[int(random.integers(len(broken))) :]
        else:
            for place in random.integers(len(broken), size=1 + turn % 5):
                broken[place] = int(random.integers(256))
        file.write_bytes(broken)
        target = tmp_path / f"x{turn}"
        try:
            take([file], target, ELSEWHERE)
            outcomes.add("taken")  # a number has changed: of what is said nobody can know that
            assert len(Index.open(target)) > 0
        except CbirError:
            outcomes.add("told")
            assert not target.exists()
    assert outcomes == {"taken", "told"}


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "s.parquet").write_bytes(b"PAR1")
    with pytest.raises(CbirError, match=r"pip install 'cbir\[parquet\]'"):
        take([tmp_path / "s.parquet"], tmp_path / "x", ELSEWHERE)

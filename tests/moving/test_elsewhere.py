"""Indexes of buckets, joined, merged, exported and imported; with those of folders, where that can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cbir.errors import IndexConflictError
from cbir.images.contents import read_bytes
from cbir.images.sources.address import Address
from cbir.images.sources.opened import _opened
from cbir.index.joined import common_root, join
from cbir.index.store import Index
from cbir.moving.export import export
from cbir.moving.merge import merge
from cbir.moving.take import TakeOptions, take
from cbir.search.several import are_of_one_network, by_network
from tests.helpers.faults import content, replace_in, run_cli
from tests.helpers.feature_index import make_index
from tests.moving.test_vectorfile import unit

Folder = Callable[..., Path]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fake network, an account that has named no source yet, and its own cache."""
    replace_in(monkeypatch)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    _opened.cache_clear()


def in_bucket(root: Path, name: str, some: slice) -> str:
    """Put some pictures of a folder below an address in memory."""
    system = pytest.importorskip("fsspec").filesystem("memory")
    for path in sorted(root.iterdir())[some]:
        system.pipe(f"/moved/{name}/{path.name}", path.read_bytes())
    return f"memory://moved/{name}"


def indexed(tmp_path: Path, name: str, root: str) -> Index:
    assert run_cli(["index", root, "--index", name, "--quiet"]) == 0
    return Index.open(tmp_path / "indexes" / name)


def of_root(tmp_path: Path, name: str, root: str) -> Index:
    return make_index(tmp_path / name, unit(5, 32), Address(root) if "://" in root else Path(root))  # type: ignore[arg-type]


def test_indexes_of_one_bucket_are_one_below_what_they_have_in_common(tmp_path: Path, photo_folder: Folder) -> None:
    root = photo_folder(6)
    members = [
        indexed(tmp_path, name, in_bucket(root, name, some)) for name, some in (("a", slice(3)), ("b", slice(3, 6)))
    ]
    joined = join(members)
    assert (joined.root, len(joined)) == (Address("memory://moved"), 6)
    names = joined.files().paths
    assert (names[0], names[5]) == ("a/img_000.jpg", "b/img_005.jpg")
    assert str(joined.root_of(5)) == str(members[1].root)
    # all of it is below what was named, and so it can be read
    assert read_bytes(joined.root / names[5]) == (root / "img_005.jpg").read_bytes()


def test_what_nobody_has_named_is_not_read_through_a_joined_index(tmp_path: Path) -> None:
    root, _ = common_root([of_root(tmp_path, name, f"memory://else/{name}") for name in "ab"])
    assert isinstance(root, Address)
    assert (root, root.is_chosen) == (Address("memory://else"), False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://bucket/a", "/photos/a"),
        ("s3://bucket/a", "s3://other/a"),
        ("s3://bucket/a", "gs://bucket/a"),
        ("s3://bucket/{0..9}.tar", "s3://bucket/b"),
        ("https://host/list.txt", "https://host/other.txt"),
    ],
)
def test_those_without_a_common_root_are_ranked_match_by_match(tmp_path: Path, one: str, other: str) -> None:
    indexes = [of_root(tmp_path, "a", one), of_root(tmp_path, "b", other)]
    with pytest.raises(IndexConflictError, match="have no folder in common"):
        common_root(indexes)
    groups, problems = by_network(indexes)
    assert (groups, problems, are_of_one_network(groups)) == (indexes, [], True)


def test_one_list_is_one_root_for_several_indexes(tmp_path: Path) -> None:
    indexes = [of_root(tmp_path, name, "https://host/list.txt") for name in "ab"]
    assert common_root(indexes) == (Address("https://host/list.txt"), ["", ""])


def test_a_bucket_and_a_folder_are_searched_with_one_ranking(
    tmp_path: Path, photo_folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    root = photo_folder(6)
    indexed(tmp_path, "far", in_bucket(root, "far", slice(3)))
    indexed(tmp_path, "near", str(root))
    capfd.readouterr()
    asked = ["search", str(root / "img_004.jpg"), "--index", "far", "--index", "near", "--self"]
    assert run_cli([*asked, "--format", "jsonl", "-k", "9"]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    paths = [match["path"] for match in json.loads(line)["matches"]]
    assert paths[0] == str(root / "img_004.jpg")
    assert sum(path.startswith("memory://moved/far/") for path in paths) == 3
    assert run_cli(["duplicates", "--index", "far", "--index", "near", "--exact"]) != 0
    assert "have no folder in common" in capfd.readouterr().err


def test_a_merged_index_is_that_of_what_they_have_in_common(tmp_path: Path, photo_folder: Folder) -> None:
    root = photo_folder(6)
    members = [
        indexed(tmp_path, name, in_bucket(root, name, some)) for name, some in (("c", slice(3)), ("d", slice(3, 6)))
    ]
    merged = merge(members, tmp_path / "indexes" / "both")
    assert (merged.rows, str(merged.root)) == (6, "memory://moved")
    index = Index.open(tmp_path / "indexes" / "both")
    assert (str(index.root), index.meta.imported) == ("memory://moved", False)
    with pytest.raises(IndexConflictError, match="not below"):
        merge(members, tmp_path / "other", root=tmp_path)
    with pytest.raises(IndexConflictError, match="is no folder"):
        merge(members, tmp_path / "other", by_name=True)


def test_rows_of_a_bucket_come_back_as_they_went(
    tmp_path: Path, photo_folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    index = indexed(tmp_path, "e", in_bucket(photo_folder(4), "e", slice(4)))
    export(index, tmp_path / "rows.npy")
    directory = tmp_path / "indexes" / "again"
    taken = take([tmp_path / "rows.npy"], directory)
    assert (taken.rows, taken.here, taken.root) == (4, 0, index.root)
    again = Index.open(directory)
    assert (again.root, again.files()) == (index.root, index.files())
    assert [kept[:2] for kept in content(directory).values()] == [
        kept[:2] for kept in content(index.directory).values()
    ]
    elsewhere = take([tmp_path / "rows.npy"], tmp_path / "moved", TakeOptions(root=Address("memory://other/e")))
    assert str(elsewhere.root) == "memory://other/e"
    capfd.readouterr()
    # the bucket is where it was named, and the rows are those of its pictures
    assert run_cli(["index", "--index", "again", "--quiet", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["unchanged"], report["added"]) == (4, 0)

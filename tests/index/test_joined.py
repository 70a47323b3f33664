"""Several indexes as one: it answers as one index of all rows would, whichever finds the candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.index.ann import base
from cbir.index.columns.classes import CLASSES, COUNT, pack
from cbir.index.joined import JoinedIndex, join
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.search.queries import VectorQuery
from cbir.search.searcher import Searcher
from tests.helpers.feature_index import make_index
from tests.moving.test_vectorfile import unit


def clustered(rows: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    features = unit(20, 64, seed=9)[random.integers(20, size=rows)] + random.normal(0, 0.12, (rows, 64))
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def matches(index: Index, vector: np.ndarray, *, reranked: bool = True) -> list[tuple[str, float, float | None]]:
    (found,) = Searcher(index).search([VectorQuery(vector.astype(np.float32))], count=12, reranked=reranked)
    assert found.error is None
    return [(str(match.path), match.score, match.percentile) for match in found.matches]


def test_it_answers_as_one_index_of_all_rows(tmp_path: Path) -> None:
    features = clustered(900, 1)
    whole = make_index(tmp_path / "whole", features, Path("/photos"))
    parts = [(0, 300), (300, 350), (350, 900)]
    members = [
        make_index(
            tmp_path / f"p{first}", features[first:stop], Path("/photos"), lambda n, first=first: f"{first + n}.jpg"
        )
        for first, stop in parts
    ]
    joined = join(members)
    assert isinstance(joined, JoinedIndex)
    assert (joined.rows, len(joined), joined.root) == (900, 900, Path("/photos"))
    assert joined.meta.cosines == whole.meta.cosines
    assert list(joined.files().records())[310].path == "310.jpg"
    assert joined.directory_of(310) == members[1].directory
    for row in (0, 320, 777):
        assert matches(joined, features[row]) == matches(whole, features[row])
    assert joined.find(f"{5:064x}") == [5, 305, 355]


def test_candidates_of_each_are_candidates_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One has candidates of all its rows, one has rows beyond them, one has none."""
    monkeypatch.setattr(base, "SMALL", 100)
    monkeypatch.setattr("cbir.index.joined.SMALL", 100)
    monkeypatch.setattr("cbir.search.scanner.SMALL", 100)
    features = clustered(1200, 2)
    first = make_index(tmp_path / "a", features[:500], Path("/photos/a"))
    second = make_index(tmp_path / "b", features[500:1000], Path("/photos/b"))
    monkeypatch.setattr(base, "SMALL", 5000)
    writer = Writer(second.directory, second.meta)
    from cbir.index.files import FileRecord

    for row in range(1000, 1150):
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), features[row].astype(np.float32))
    writer.commit()
    third = make_index(tmp_path / "c", features[1150:], Path("/photos/c"))
    members = [first, Index.open(second.directory), third]
    covered = [0 if one is None else one.rows for one in (member.candidates() for member in members)]
    assert covered == [500, 500, 0]
    joined = join(members)
    assert joined.candidates() is not None
    wanted, found = 0, 0
    for row in range(0, 1200, 40):
        exact = np.argsort(-(joined.features(range(1200)) @ features[row].astype(np.float32)))[:10]
        paths = {str(joined.root / joined.record(one).path) for one in exact.tolist()}
        wanted += 10
        found += len(paths & {path for path, *_ in matches(joined, features[row], reranked=False)})
        assert matches(joined, features[row])[0][1] > 0.999
    assert found / wanted >= 0.99


def test_what_is_damaged_in_one_is_said_and_the_others_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    features = clustered(60, 3)
    first = make_index(tmp_path / "a", features[:30], Path("/photos/a"))
    second = make_index(tmp_path / "b", features[30:], Path("/photos/b"))
    path = second.directory / second.meta.blocks[0].features.name
    content = bytearray(path.read_bytes())
    content[-128:] = b"\xff" * 128
    path.write_bytes(content)
    joined = join([first, Index.open(second.directory)])
    assert len(matches(joined, features[3])) == 12
    assert str(second.directory) in joined.damage[0]
    assert "/photos/b/29.jpg" not in {name for name, *_ in matches(joined, features[59])}
    assert matches(joined, features[3])[0][0] == "/photos/a/3.jpg"


def test_a_file_that_two_have_is_found_once(tmp_path: Path) -> None:
    features = clustered(30, 4)
    first = make_index(tmp_path / "a", features[:20], Path("/photos"))
    second = make_index(tmp_path / "b", features[10:], Path("/photos/inner"), lambda n: f"{n}.jpg")
    third = make_index(tmp_path / "c", features[:5], Path("/photos"))
    joined = JoinedIndex([first, second, third], Path("/photos"), ["", "inner", ""])
    assert joined.doubled == {f"{n}.jpg": True for n in range(5)}
    assert len(joined) == 40
    paths = [name for name, *_ in matches(joined, features[2], reranked=False)]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("damage", ["cut off", "no classes"])
def test_classes_that_are_damaged_in_one_are_known_of_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    members = []
    for name in "ab":
        index = make_index(tmp_path / name, clustered(5, 3), Path(f"/photos/{name}"))
        writer = Writer(index.directory, index.meta)
        writer.backfill(CLASSES, range(5), pack(np.arange(COUNT), np.full(COUNT, 0.04)))
        writer.commit()
        members.append(Index.open(index.directory))
    path = members[1].directory / members[1].meta.blocks[0].columns["classes"].name
    content = path.read_bytes()
    path.write_bytes(content[:-9] if damage == "cut off" else content[:-80] + b"\xff" * 80)
    joined = JoinedIndex([members[0], Index.open(members[1].directory)], Path("/photos"), ["a", "b"])
    assert joined.classes().known.tolist() == [True] * 5 + [False] * 5
    assert joined.classes().numbers[0].tolist() == list(range(COUNT))
    assert len(joined.damage) == 1
    assert str(path) in joined.damage[0]
    assert caplog.text.count("The other indexes answer.") == 1

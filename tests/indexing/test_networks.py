"""Moving an index to another network, and keeping several: searches go on, nothing is lost, nothing is made twice."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cbir
from cbir.backbones import fake
from cbir.engines.fake import FakeEngine
from cbir.errors import (
    ImageReadError,
    IndexConflictError,
    IndexDamagedError,
    IndexWriteError,
    ModelError,
    RefusedToForgetError,
)
from cbir.extract.extractor import Extractor
from cbir.extract.records import Item
from cbir.extract.results import Extracted
from cbir.extract.thumbnails import ThumbnailMaker
from cbir.index import rewrite
from cbir.index.columns.thumbnails import THUMBNAILS
from cbir.index.format import META, Meta, load_meta, load_state
from cbir.index.newfiles import NewFiles
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.policy import CommitPolicy
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.moving.merge import merge
from tests.helpers.faults import content, replace_in, unnamed_files

Folder = Callable[..., Path]

OLD, NEW = "fake", "fake_small"


@pytest.fixture(autouse=True)
def _fake_network(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_in(monkeypatch)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many pictures each network has seen."""
    counts: Counter[str] = Counter()
    real = FakeEngine.start
    names_of = {side: name for name, side in fake.SIDES.items()}

    def start(self: FakeEngine, images: Any) -> Any:
        counts[names_of[self._side]] += len(images)
        return real(self, images)

    monkeypatch.setattr(FakeEngine, "start", start)
    return counts


def refresh(root: Path | None, name: str = "photos", commits: CommitPolicy | None = None, **options: Any) -> Report:
    return build_index(choose_target(root, name), Options(**options), commits=commits)[0]


def directory(name: str = "photos") -> Path:
    return Path(os.environ["CBIR_HOME"], name)


def paths(model: str | None = None) -> set[str]:
    index = Index.open(directory(), model=model)
    return {record.path for row, record in index.records() if index.valid[row]}


def names(meta: Meta) -> tuple[str, str | None, list[str]]:
    """The index's own network, the one that it is being moved to, and those that are kept."""
    return (
        meta.model["name"],
        meta.moving_to and meta.moving_to.model["name"],
        [state.model["name"] for state in meta.kept],
    )


def assert_sound() -> None:
    assert find_problems(Index.open(directory()), verify=True) == []
    assert unnamed_files(directory()) == set()


def interrupt_after(count: int, monkeypatch: pytest.MonkeyPatch, model: str = NEW) -> None:
    """Have Ctrl-C be pressed when a network has made so many features, once."""
    real = Extractor.run

    def interrupted(self: Extractor, *arguments: Any, **options: Any) -> Iterator[Extracted[Any]]:
        if self.backbone.name != model:
            yield from real(self, *arguments, **options)
            return
        monkeypatch.setattr(Extractor, "run", real)
        for number, result in enumerate(real(self, *arguments, **options)):
            if number == count:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(Extractor, "run", interrupted)


def fail_for(path: str, monkeypatch: pytest.MonkeyPatch, model: str = NEW) -> None:
    """Have a network find one picture unreadable that the other could read."""
    real = Extractor.run

    def failing(self: Extractor, *arguments: Any, **options: Any) -> Iterator[Extracted[Any]]:
        for result in real(self, *arguments, **options):
            if self.backbone.name == model and result.key.path == path:
                yield Extracted(result.key, result.sha256, error=ImageReadError(path, "has no colours"))
            else:
                yield result

    monkeypatch.setattr(Extractor, "run", failing)


@pytest.mark.parametrize("options", [{}, {"parts": True}])
def test_a_moved_index_is_as_one_that_was_made_by_the_new_network(
    options: dict[str, Any], photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(12, subfolders=["a", "b"])
    refresh(root, **options)
    refresh(root, "fresh", model=NEW, **options)
    created = load_meta(directory()).created

    def fail(self: ThumbnailMaker, items: Iterator[Item], engine: object) -> Iterator[dict[str, Any]]:
        for _ in items:
            raise AssertionError("what the index has already was made once more")
        return iter(())

    monkeypatch.setattr(ThumbnailMaker, "run", fail)
    report = refresh(root, model=NEW)
    (moved,) = report.by_others
    assert (report.unchanged, moved.report.added, moved.report.unchanged) == (12, 12, 0)
    assert moved.has_taken_over
    assert moved.not_seen == []
    assert names(load_meta(directory())) == (NEW, None, [])
    assert load_meta(directory()).created == created
    assert_sound()
    if not options:  # the whitening of parts is learnt from a draw
        assert content(directory()) == content(directory("fresh"))
    index = Index.open(directory())
    assert not index.missing(THUMBNAILS).any()
    assert all(not index.missing(column).any() for column in index.meta.wanted_columns)
    again = refresh(root)
    assert (again.unchanged, again.by_others) == (12, [])


def test_until_all_pictures_are_seen_searches_are_by_the_old_network(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, seen: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cbir")
    root = photo_folder(20)
    refresh(root)
    collection = cbir.open("photos")
    before = [match.path for match in collection.search(root / "img_000.jpg", 5)]
    state = collection.state
    seen.clear()
    interrupt_after(9, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        refresh(root, model=NEW)
    assert names(load_meta(directory())) == (OLD, NEW, [])
    assert len(paths(NEW)) == 9
    assert_sound()
    assert collection.reload()  # which opens nothing anew: its pictures are what they were
    assert collection.state is state
    assert [match.path for match in collection.search(root / "img_000.jpg", 5)] == before
    assert [match.path for match in cbir.open("photos").search(root / "img_000.jpg", 5)] == before
    seen.clear()
    report = refresh(root)  # without --model it goes on
    assert "9 of 20 pictures are seen by fake_small already." in caplog.messages
    assert report.by_others[0].report.unchanged == 9
    assert seen[NEW] == 11
    assert seen[OLD] == 0
    assert names(load_meta(directory())) == (NEW, None, [])
    assert len(collection.search(root / "img_000.jpg", 5)) == 5  # from the state that it has open
    with pytest.raises(IndexConflictError, match="is by fake_small now, not by fake: open it again"):
        collection.reload()


def test_what_changes_meanwhile_is_in_both(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(16)
    refresh(root)
    interrupt_after(8, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        refresh(root, model=NEW, keep_old=True)
    (root / "img_000.jpg").unlink()
    (root / "img_001.jpg").rename(root / "moved.jpg")
    shutil.copy(root / "img_002.jpg", root / "copy.jpg")
    shutil.copy(photo_folder(1, "other", first_seed=99) / "img_000.jpg", root / "img_003.jpg")
    report = refresh(root)
    assert (report.removed, report.moved, report.copied, report.changed) == (1, 1, 1, 1)
    assert report.by_others[0].has_taken_over
    assert names(load_meta(directory())) == (NEW, None, [OLD])  # which was said by the run before
    assert paths(OLD) == paths(NEW) == {path.name for path in root.iterdir()}
    assert_sound()


def test_both_networks_are_kept_and_kept_up_to_date(photo_folder: Folder, seen: Counter[str]) -> None:
    root = photo_folder(12)
    refresh(root)
    refresh(root, model=NEW, keep_old=True)
    assert names(load_meta(directory())) == (NEW, None, [OLD])
    (root / "img_000.jpg").unlink()
    shutil.copy(photo_folder(1, "other", first_seed=99) / "img_000.jpg", root / "new.jpg")
    seen.clear()
    report = refresh(root)
    assert seen == {NEW: 1, OLD: 1}
    assert (report.added, report.removed) == (1, 1)
    (kept,) = report.by_others
    assert (kept.network, kept.report.added, kept.report.removed, kept.is_move) == (OLD, 1, 1, False)
    assert report.has_changes
    assert paths(OLD) == paths() == {path.name for path in root.iterdir()}
    own, other = cbir.open("photos"), cbir.open("photos", model=OLD)
    assert (own.dimension, other.dimension) == (64, 128)
    refresh(root, "fresh", model=OLD)
    query = root / "img_003.jpg"
    found = [(match.path, match.score) for match in other.search(query, 5)]
    assert found == [(match.path, match.score) for match in cbir.open("fresh").search(query, 5)]
    assert not refresh(root).has_changes
    assert not other.reload()
    with pytest.raises(IndexConflictError, match=r"no features by nothing, but by fake_small and by fake: "):
        cbir.open("photos", model="nothing")
    # and back again: nothing is seen once more, and nothing lost
    seen.clear()
    refresh(root, model=OLD)
    assert names(load_meta(directory())) == (OLD, None, [NEW])
    assert seen == {}
    assert_sound()
    refresh(root, drop=NEW)
    assert names(load_meta(directory())) == (OLD, None, [])
    assert_sound()
    with pytest.raises(IndexConflictError, match="is by fake and has nothing by fake_small to be dropped"):
        refresh(root, drop=NEW)


def test_a_picture_that_the_new_network_cannot_see_is_not_lost(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(10)
    refresh(root)
    with monkeypatch.context() as patch:
        fail_for("img_004.jpg", patch)
        report = refresh(root, model=NEW)
        (move,) = report.by_others
        assert not move.has_taken_over
        assert not report.is_complete
        assert move.not_seen == [("img_004.jpg", "has no colours")]
        told = move.summary("photos")
        assert told is not None
        assert told.startswith(
            "photos: still searched by fake: fake_small could not see 1 picture (img_004.jpg: has no"
        )
        assert names(load_meta(directory())) == (OLD, NEW, [])
        assert len(paths()) == 10
        assert refresh(root).by_others[0].not_seen == [("img_004.jpg", "has no colours")]
    # it is not opened again as long as it is as it was
    assert not refresh(root).by_others[0].has_taken_over
    assert refresh(root, retry_skipped=True).by_others[0].has_taken_over
    assert len(paths()) == 10


def test_pictures_are_forgotten_by_a_move_only_with_prune(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(10)
    refresh(root)
    fail_for("img_004.jpg", monkeypatch)
    refresh(root, model=NEW)
    (move,) = refresh(root, prune=True).by_others
    assert move.has_taken_over
    assert "1 picture that it could not see forgotten" in (move.summary("photos") or "")
    assert paths() == {f"img_{number:03}.jpg" for number in range(10)} - {"img_004.jpg"}
    assert_sound()


def test_a_move_waits_for_a_disk_that_is_away(photo_folder: Folder, tmp_path: Path) -> None:
    root = photo_folder(12, subfolders=["", "disk"])
    refresh(root)
    meta = load_meta(directory())
    Writer(directory(), meta).replace(meta.but(mounts=("disk",)))
    shutil.move(root / "disk", tmp_path / "unplugged")
    (root / "disk").mkdir()
    report = refresh(root, model=NEW)
    assert report.kept == 6
    (move,) = report.by_others
    assert not move.has_taken_over
    assert len(move.not_seen) == 6
    assert {reason for _, reason in move.not_seen} == {"it is not there, or cannot be looked at, and is kept"}
    assert len(paths()) == 12
    # new pictures, too, are seen by both until then
    shutil.copy(photo_folder(1, "other", first_seed=99) / "img_000.jpg", root / "new.jpg")
    refresh(root)
    assert paths(NEW) == paths(OLD) - {path for path in paths(OLD) if path.startswith("disk/")}
    (root / "disk").rmdir()
    shutil.move(tmp_path / "unplugged", root / "disk")
    assert refresh(root).by_others[0].has_taken_over
    assert len(paths()) == 13


def test_a_root_that_is_away_stops_a_move_as_any_run(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(8)
    refresh(root)
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        refresh(root, model=NEW)
    before = (directory() / META).read_bytes()
    root.rename(root.with_name("away"))
    for options in ({}, {"model": NEW}):
        with pytest.raises(RefusedToForgetError):
            refresh(None, "photos", **options)
    assert (directory() / META).read_bytes() == before


def test_most_of_the_few_that_were_seen_may_go(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(20)
    refresh(root)
    interrupt_after(4, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        refresh(root, model=NEW)
    for path in paths(NEW):
        (root / path).unlink()
    assert refresh(root).by_others[0].has_taken_over
    assert len(paths()) == 16


@pytest.mark.parametrize(("first", "then"), [(True, False), (False, True)])
def test_keeping_the_old_network_is_said_once(
    first: bool, then: bool, photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(6)
    refresh(root)
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        refresh(root, model=NEW, keep_old=first)
    assert load_meta(directory()).keeps_old is first
    refresh(root, model=NEW, keep_old=then)
    assert names(load_meta(directory())) == (NEW, None, [OLD])


def test_one_move_at_a_time(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cbir")
    root = photo_folder(9)
    refresh(root)
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        refresh(root, model=NEW)
    with pytest.raises(IndexConflictError, match=r"being moved to fake_small already: .*--drop fake_small"):
        refresh(root, model=f"{OLD}+{NEW}")
    # whoever names the index's own network, as a line for cron does, wants no other, and loses none
    assert refresh(root, model=OLD).by_others == []
    assert "The move to fake_small waits" in caplog.text
    assert len(paths(NEW)) == 3
    refresh(root, model=f"{OLD}+{NEW}", drop=NEW)
    assert names(load_meta(directory())) == (f"{OLD}+{NEW}", None, [])
    assert_sound()


def test_networks_that_are_kept_have_different_names(photo_folder: Folder) -> None:
    root = photo_folder(4)
    refresh(root)
    with pytest.raises(IndexConflictError, match="cannot have two networks called fake beside each other"):
        refresh(root, model=OLD, views=2, keep_old=True)
    refresh(root, model=OLD, views=2)
    assert load_meta(directory()).model["views"] == 2
    assert load_meta(directory()).format == 2
    with pytest.raises(IndexConflictError, match=r"made with --views 2, not 1: .*move this one with --model fake --vi"):
        refresh(root, views=1)


def test_a_network_that_cannot_be_had_leaves_no_trace(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = photo_folder(6)
    refresh(root, parts=True)
    before = (directory() / META).read_bytes()
    real = FakeEngine.__init__

    def broken(self: FakeEngine, backbone: Any) -> None:
        if backbone.name in missing:
            raise ModelError(f"{backbone.name} cannot be had")
        real(self, backbone)

    monkeypatch.setattr(FakeEngine, "__init__", broken)
    missing = [NEW]
    with pytest.raises(ModelError, match="fake_small cannot be had"):
        refresh(root, model=NEW)
    assert (directory() / META).read_bytes() == before
    # the old one may be gone: a move is the way out
    missing = [OLD]
    shutil.copy(photo_folder(1, "other", first_seed=99) / "img_000.jpg", root / "new.jpg")
    with pytest.raises(ModelError, match="fake cannot be had"):
        refresh(root)
    report = refresh(root, model=NEW, keep_old=True)
    assert "photos is not brought up to date by fake: fake cannot be had" in caplog.text
    assert report.by_others[0].has_taken_over
    assert len(paths()) == 7
    assert not Index.open(directory()).missing(THUMBNAILS)[:6].any()
    refresh(root)  # what only the new one has seen gets its thumbnail now
    assert not Index.open(directory()).missing(THUMBNAILS).any()
    # one that is kept and cannot be had is told of, and left
    shutil.copy(photo_folder(1, "more", first_seed=98) / "img_000.jpg", root / "newer.jpg")
    caplog.clear()
    assert refresh(root).added == 1
    assert "photos is not brought up to date by fake: fake cannot be had" in caplog.text
    assert len(paths(OLD)) == 6
    missing = []
    refresh(root)
    assert len(paths(OLD)) == 8


def test_a_full_disk_stops_a_move_and_the_next_run_goes_on(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, seen: Counter[str]
) -> None:
    root = photo_folder(30)
    refresh(root)
    real = rewrite.appended

    def appended(new: NewFiles, meta: Meta, rows: Any) -> Meta:
        if meta.model["name"] == NEW and meta.rows >= 16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(new, meta, rows)

    with monkeypatch.context() as patch:
        patch.setattr(rewrite, "appended", appended)
        with pytest.raises(IndexWriteError, match="no space left"):
            refresh(root, model=NEW)
    assert names(load_meta(directory())) == (OLD, NEW, [])
    assert len(paths(NEW)) == 16
    assert_sound()
    seen.clear()
    assert refresh(root).by_others[0].has_taken_over
    assert seen[NEW] == 14


def test_damage_of_what_is_beside_is_found_and_repaired(photo_folder: Folder, seen: Counter[str]) -> None:
    root = photo_folder(8)
    refresh(root)
    refresh(root, model=NEW, keep_old=True)
    (block,) = load_state(directory(), OLD).blocks
    with open(directory() / block.features.name, "r+b") as file:
        file.seek(200)
        file.write(b"\xff" * 64)
    (problem, *_) = find_problems(Index.open(directory()), verify=True)
    assert block.features.name in problem
    assert len(cbir.open("photos").search(root / "img_000.jpg", 3)) == 3
    seen.clear()
    refresh(root, repair=True)
    assert seen == {OLD: 8}
    assert_sound()
    assert paths(OLD) == paths(NEW)


def forged(change: Callable[[dict[str, Any]], None]) -> None:
    """Change `meta.json` with a checksum that is right."""
    from cbir.index.format import _checksum

    record = json.loads((directory() / META).read_text())
    del record["checksum"]
    change(record)
    (directory() / META).write_text(json.dumps({**record, "checksum": _checksum(record)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["kept"].append(record["kept"][0]),
        lambda record: record.update(moving_to={**record["kept"][0], "model": record["model"]}),
        lambda record: record["kept"][0].update(dimension=0),
        lambda record: record["kept"][0]["blocks"][0]["features"].update(name="../features-000001.npy"),
        lambda record: record["kept"][0]["blocks"][0].update(features=record["blocks"][0]["features"]),
        lambda record: record.update(kept=[{**record["kept"][0], "model": {"name": str(n)}} for n in range(20)]),
        lambda record: record.update(kept=7),
        lambda record: record.update(moving_to=[]),
        lambda record: record.update(keeps_old="yes"),
    ],
)
def test_what_cannot_stand_beside_an_index_is_damage(
    change: Callable[[dict[str, Any]], None], photo_folder: Folder
) -> None:
    root = photo_folder(3)
    refresh(root)
    refresh(root, model=NEW, keep_old=True)
    forged(lambda record: record["kept"][0].update(root="/etc", exclude=["x"], next_number=-5))
    assert load_state(directory(), OLD).root == str(root)  # which is the index's
    forged(change)
    with pytest.raises(IndexDamagedError):
        load_meta(directory())


def test_an_older_cbir_drops_what_is_beside_and_loses_nothing_else(photo_folder: Folder) -> None:
    root = photo_folder(6)
    refresh(root)
    refresh(root, model=NEW, keep_old=True)

    def older(record: dict[str, Any]) -> None:
        assert record["format"] == 1
        del record["kept"]

    forged(older)
    assert refresh(root).unchanged == 6
    assert_sound()
    assert names(load_meta(directory())) == (NEW, None, [])


def test_a_move_of_nothing_is_a_move(photo_folder: Folder) -> None:
    root = photo_folder(2)
    refresh(root)
    for path in root.iterdir():
        path.unlink()
    report = refresh(root, model=NEW, prune=True)
    assert report.by_others[0].has_taken_over
    assert names(load_meta(directory())) == (NEW, None, [])


def test_candidates_and_samples_are_those_of_each_network(photo_folder: Folder) -> None:
    root = photo_folder(34)
    refresh(root)
    refresh(root, model=NEW, keep_old=True)
    for model in (OLD, NEW):
        index = Index.open(directory(), model=model)
        found = index.candidates()
        assert found is not None
        assert found.rows == 34
        assert index.meta.cosines is not None
    assert load_state(directory(), OLD).cosines != load_state(directory(), NEW).cosines


BOTH, SWAPPED = f"{OLD}+{NEW}", f"{NEW}+{OLD}"


@pytest.mark.parametrize(
    ("old", "new", "by"),
    [
        (OLD, BOTH, {NEW: 9}),  # the first network's features are there
        (NEW, BOTH, {OLD: 9}),
        (BOTH, SWAPPED, {OLD: 9, NEW: 9}),  # whose classes would be lacking otherwise
        (BOTH, OLD, {OLD: 9}),
    ],
)
def test_features_that_are_there_become_a_part_of_joined_ones(
    old: str, new: str, by: dict[str, int], photo_folder: Folder, seen: Counter[str]
) -> None:
    root = photo_folder(9)
    refresh(root, model=old)
    refresh(root, "fresh", model=new)
    seen.clear()
    assert refresh(root, model=new).by_others[0].has_taken_over
    assert seen == by
    moved, fresh = Index.open(directory()), Index.open(directory("fresh"))
    assert moved.meta.format == fresh.meta.format
    assert moved.meta.precisions == ("f64",)
    assert [record.path for _, record in moved.records()] == [record.path for _, record in fresh.records()]
    assert np.allclose(moved.features(range(9)), fresh.features(range(9)), atol=2e-3)
    assert np.array_equal(moved.classes().numbers, fresh.classes().numbers)
    assert_sound()


def test_features_are_joined_by_content(photo_folder: Folder, seen: Counter[str]) -> None:
    root = photo_folder(9)
    refresh(root)
    refresh(root, model=BOTH, keep_old=True)
    (root / "img_000.jpg").rename(root / "zzz.jpg")
    shutil.copy(photo_folder(1, "other", first_seed=99) / "img_000.jpg", root / "aaa.jpg")
    seen.clear()
    refresh(root)
    assert seen == {OLD: 2, NEW: 1}  # the index's own network is the joined one now
    (root / "img_001.jpg").unlink()
    refresh(root)
    refresh(root, "fresh", model=OLD)
    assert paths(OLD) == paths()
    assert content(directory())[f"{OLD}: zzz.jpg"] == content(directory("fresh"))["zzz.jpg"]
    assert_sound()


def test_a_damaged_feature_is_joined_to_nothing(photo_folder: Folder) -> None:
    root = photo_folder(5)
    refresh(root)
    (block,) = load_meta(directory()).blocks
    with open(directory() / block.features.name, "r+b") as file:
        file.seek(-2 * 128, os.SEEK_END)
        file.write(b"\xff" * 256)
    (move,) = refresh(root, model=BOTH).by_others
    assert not move.has_taken_over
    assert move.not_seen == [("img_004.jpg", "has changed since it was looked at")]
    assert refresh(root, repair=True).by_others[0].has_taken_over


def test_merged_and_joined_indexes_are_by_their_own_networks_alone(photo_folder: Folder, tmp_path: Path) -> None:
    first, second = photo_folder(4, "first"), photo_folder(4, "second", first_seed=50)
    for root in (first, second):
        refresh(root, root.name)
        refresh(root, root.name, model=NEW, keep_old=True)
    merged = merge([Index.open(directory(root.name)) for root in (first, second)], directory())
    assert any("rows by other networks" in one for one in merged.lost)
    assert names(load_meta(directory())) == (NEW, None, [])
    assert len(paths()) == 8
    assert_sound()
    results = cbir.open(directory("first"), model=OLD).search(first / "img_000.jpg", 2)
    assert len(results) == 2

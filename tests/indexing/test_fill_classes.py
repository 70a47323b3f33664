"""`cbir index` looks for the classes that an index lacks: once, by content, and touching nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cbir.backbones import head
from cbir.backbones.backbone import Backbone
from cbir.backbones.head import open_classifier
from cbir.backbones.weights import Weights
from cbir.cli import cli
from cbir.errors import CbirError, EngineError
from cbir.extract.extractor import Extractor
from cbir.extract.results import Extracted
from cbir.images import contents
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing import makers, run
from cbir.indexing.policy import CommitPolicy
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.search.searcher import Searcher
from cbir.words.of_index import classes_of, why_without_classes

Folder = Callable[..., Path]


def home() -> Path:
    return Path(os.environ["CBIR_HOME"])


def refresh(root: Path | None, name: str = "photos", **options: object) -> Report:
    report, _ = build_index(choose_target(root, name), Options(**options))  # type: ignore[arg-type]
    return report


def older(root: Path, name: str = "photos") -> None:
    """An index of `root` as a cbir that knew no classes makes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(makers, "classifier_of", lambda backbone: None)
        refresh(root, name)
    assert not list((home() / name).glob("classes-*"))


def classes(name: str = "photos") -> dict[str, tuple[list[int], list[float]] | None]:
    """Of each file of an index its most probable classes and how probable they are, or None."""
    index = Index.open(home() / name)
    found = index.classes()
    assert find_problems(index, verify=True) == []
    return {
        record.path: (found.numbers[row].tolist(), found.probabilities[row].tolist()) if found.known[row] else None
        for row, record in index.records()
        if index.valid[row]
    }


def features(name: str = "photos") -> dict[str, bytes]:
    index = Index.open(home() / name)
    return {record.path: index.features([row]).tobytes() for row, record in index.records() if index.valid[row]}


def assert_alike(one: dict[str, tuple[list[int], list[float]] | None], other: object) -> None:
    """The same classes, as far as the batch that a picture was in makes no difference."""
    assert isinstance(other, dict)
    assert one.keys() == other.keys()
    for path, of_path in one.items():
        if of_path is None or other[path] is None:
            assert of_path is other[path], path
            continue
        numbers, probabilities = other[path]
        assert of_path[0][:3] == numbers[:3], path
        assert np.allclose(of_path[1], probabilities, atol=0.01), path


def test_an_index_has_the_classes_of_the_network(photo_folder: Folder, bundled: Backbone, extractor: Extractor) -> None:
    root = photo_folder(7)
    shutil.copy(root / "img_003.jpg", root / "copy.jpg")
    refresh(root)
    found = classes()
    files = sorted(root.glob("img_*"))
    results = extractor.run((path, path) for path in files)
    stacked = np.stack([result.feature for result in results if result.feature is not None])
    top = open_classifier(bundled).top(stacked)
    right = {
        path.name: (numbers.tolist(), of.astype(np.float16).tolist())
        for path, numbers, of in zip(files, top.numbers, top.probabilities, strict=True)
    }
    assert_alike(found, {**right, "copy.jpg": right["img_003.jpg"]})
    assert len({tuple(of[0]) for of in found.values() if of is not None}) == 7


def test_an_older_index_gets_its_classes_and_keeps_all_else(photo_folder: Folder) -> None:
    root = photo_folder(9)
    shutil.copy(root / "img_001.jpg", root / "copy.jpg")
    older(root)
    assert set(classes().values()) == {None}
    before, blocks = features(), Index.open(home() / "photos").meta.blocks
    report = refresh(root)
    assert (report.classified, report.unchanged, report.added, report.copied, report.changed) == (10, 10, 0, 0, 0)
    assert "10 pictures (10 unchanged; classes of 10 pictures filled in) in" in report.summary("photos")
    assert features() == before
    after = Index.open(home() / "photos").meta.blocks
    assert [(block.features, block.files) for block in after] == [(block.features, block.files) for block in blocks]
    refresh(root, "clean")
    assert_alike(classes(), classes("clean"))


def test_a_filled_index_is_not_read_again(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(4)
    older(root)
    assert refresh(root).classified == 4
    monkeypatch.setattr(Extractor, "run", lambda self, files, *_: iter([pytest.fail(str(f)) for f in files]))
    monkeypatch.setattr(makers, "classifier_of", lambda backbone: pytest.fail("the classifier was to be loaded"))
    assert (refresh(root).unchanged, refresh(root).classified) == (4, 0)


def test_new_moved_copied_touched_and_changed_files_of_an_older_index(photo_folder: Folder) -> None:
    """Each content is read once; what was known keeps its features and is counted as ever."""
    root = photo_folder(10)
    older(root)
    before = features()
    (root / "img_000.jpg").rename(root / "moved.jpg")
    shutil.copy(root / "img_001.jpg", root / "copy.jpg")
    os.utime(root / "img_002.jpg", ns=(5, 5))
    (root / "img_003.jpg").unlink()
    shutil.copy(photo_folder(1, "other", first_seed=77) / "img_000.jpg", root / "img_004.jpg")
    shutil.copy(photo_folder(1, "third", first_seed=99) / "img_000.jpg", root / "new.jpg")
    report = refresh(root)
    names = ("added", "changed", "touched", "moved", "copied", "removed", "unchanged", "classified")
    assert {name: getattr(report, name) for name in names} == {
        "added": 1,
        "changed": 1,
        "touched": 1,
        "moved": 1,
        "copied": 1,
        "removed": 1,
        "unchanged": 6,
        "classified": 6,
    }
    after = features()
    assert after["moved.jpg"] == before["img_000.jpg"]
    assert after["copy.jpg"] == before["img_001.jpg"]
    refresh(root, "clean")
    assert_alike(classes(), classes("clean"))
    assert None not in classes().values()


def test_each_content_is_read_once(photo_folder: Folder) -> None:
    root = photo_folder(3)
    for number in range(5):
        shutil.copy(root / "img_001.jpg", root / f"copy_{number}.jpg")
    older(root)
    shutil.copy(root / "img_002.jpg", root / "fresh copy.jpg")
    read: list[str] = []
    real = contents.open_regular

    def read_bytes(path: Path) -> bytes:
        read.append(path.name)
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "open_regular", read_bytes)
        assert refresh(root).classified == 8
    assert len([name for name in read if name.endswith(".jpg")]) == 4  # the new copy, and one of each content
    assert None not in classes().values()


def test_a_file_that_changed_behind_its_size_and_time_is_told_by_its_content(photo_folder: Folder) -> None:
    root = photo_folder(3)
    for path in root.iterdir():  # of one length, so that only the content can tell
        path.write_bytes(path.read_bytes().ljust(20_000, b"\0"))
    older(root)
    status = (root / "img_001.jpg").stat()
    other = photo_folder(1, "other", first_seed=50) / "img_000.jpg"
    (root / "img_001.jpg").write_bytes(other.read_bytes().ljust(20_000, b"\0"))
    os.utime(root / "img_001.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    status = (root / "img_002.jpg").stat()
    (root / "img_002.jpg").write_bytes(b"no picture".ljust(20_000, b"\0"))
    os.utime(root / "img_002.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    report = refresh(root)
    assert (report.changed, report.unchanged, report.classified) == (1, 1, 1)
    assert [path for path, _ in report.skipped] == ["img_002.jpg"]
    refresh(root, "clean")
    assert features() == features("clean")
    assert_alike(classes(), classes("clean"))


def test_what_cannot_be_reached_is_tried_again_and_what_cannot_be_read_is_not(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(4)
    photo_folder(1, first_seed=9, size=(1100, 1000))  # img_000.jpg
    older(root)
    before = features()
    real = contents.open_regular
    asked: list[str] = []

    def read(path: Path) -> bytes:
        asked.append(path.name)
        if path.name == "img_001.jpg":
            raise PermissionError(13, "Permission denied")
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "open_regular", read)
        report = refresh(root, max_pixels=1_000_000)
        assert (report.classified, report.unchanged) == (2, 4)
        assert [path for path, _ in report.without_classes] == ["img_000.jpg", "img_001.jpg"]
        assert report.is_complete
        asked.clear()
        report = refresh(root)
        assert [name for name in asked if name.endswith(".jpg")] == ["img_001.jpg"]
        assert [path for path, _ in report.without_classes] == ["img_001.jpg"]
    assert [path for path, of in classes().items() if of is None] == ["img_000.jpg", "img_001.jpg"]
    assert "1 of its pictures yet" in why_without_classes(open_index("photos"))
    assert refresh(root).classified == 1
    assert [path for path, of in classes().items() if of is None] == ["img_000.jpg"]
    assert "could not be read again" in why_without_classes(open_index("photos"))
    assert features() == before
    report = refresh(root, max_pixels=1_000_000, repair=True)
    assert [path for path, _ in report.without_classes] == ["img_000.jpg"]
    # once it has changed, it is a picture like any other
    os.utime(root / "img_000.jpg", ns=(5, 5))
    shutil.copy(photo_folder(1, "other", first_seed=50) / "img_000.jpg", root / "img_000.jpg")
    refresh(root)
    assert None not in classes().values()


def test_a_moved_file_of_an_older_index_that_cannot_be_read_any_more_stays(photo_folder: Folder) -> None:
    root = photo_folder(3)
    photo_folder(1, first_seed=9, size=(1100, 1000))  # img_000.jpg
    older(root)
    (root / "img_000.jpg").rename(root / "moved.jpg")
    report = refresh(root, max_pixels=1_000_000)
    assert (report.moved, report.skipped, report.classified) == (1, [], 2)
    assert sorted(path for path, of in classes().items() if of is None) == ["moved.jpg"]
    assert refresh(root).classified == 0


def test_an_interrupted_run_keeps_the_classes_that_it_found(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(40)
    older(root)
    (root / "img_039.jpg").unlink()
    shutil.copy(photo_folder(1, "other", first_seed=99) / "img_000.jpg", root / "new.jpg")
    totals: list[int] = []

    def stop_at(results: Iterator[Extracted[object]], total: int) -> Iterator[Extracted[object]]:
        totals.append(total)
        for number, result in enumerate(results):
            if number == 25:
                raise KeyboardInterrupt
            yield result

    with pytest.raises(KeyboardInterrupt):
        build_index(choose_target(root, "photos"), Options(), watch=stop_at)  # type: ignore[arg-type]
    assert totals == [40]
    found = classes()
    assert sum(of is not None for of in found.values()) == 25
    assert "new.jpg" in found
    assert "img_039.jpg" not in found  # all else was done before
    assert refresh(root).classified == 15
    refresh(root, "clean")
    assert_alike(classes(), classes("clean"))


def test_a_long_run_commits_classes_as_it_goes(photo_folder: Folder) -> None:
    root = photo_folder(20)
    older(root)
    seen: list[int] = []

    def watch(results: Iterator[Extracted[object]], total: int) -> Iterator[Extracted[object]]:
        for result in results:
            seen.append(sum(of is not None for of in classes().values()))
            yield result

    build_index(choose_target(root, "photos"), Options(), watch, commits=CommitPolicy(8, seconds=1000))  # type: ignore[arg-type]
    assert sorted(set(seen)) == [0, 8, 16]
    assert None not in classes().values()


@pytest.mark.parametrize("damage", ["gone", "cut", "numbers", "a bit"])
def test_damaged_classes_are_found_again_without_the_rest(
    photo_folder: Folder, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = photo_folder(9)
    refresh(root)
    for number in range(3):
        shutil.copy(photo_folder(3, "more", first_seed=50) / f"img_{number:03}.jpg", root / f"new_{number}.jpg")
    refresh(root)
    before, right = classes(), features()
    path = home() / "photos/classes-000001.npy"
    data = bytearray(path.read_bytes())
    data[-4 if damage == "a bit" else -3] ^= 1 if damage == "a bit" else 0xFF
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-20] if damage == "cut" else data)
    # a search that needs no classes is none the wiser
    (result,) = Searcher(open_index("photos")).search([root / "img_000.jpg"])
    assert len(result.matches) == 10
    report = refresh(root, repair=damage == "a bit")
    assert (report.classified, report.unchanged, report.added) == (9, 12, 0)
    assert "classes-000001.npy" in caplog.text
    assert_alike(classes(), before)
    assert features() == right
    assert refresh(root, repair=True).classified == 0


def test_networks_without_the_classes_make_an_index_without_and_say_why(photo_folder: Folder) -> None:
    root = photo_folder(3)
    refresh(root, model="efficientnet_lite0", weights="untrained")
    refresh(root)
    assert not list((home() / "photos").glob("classes-*"))
    with pytest.raises(CbirError, match="untrained"):
        classes_of(open_index("photos"))


def test_an_older_index_says_what_to_do(photo_folder: Folder) -> None:
    root = photo_folder(3)
    older(root)
    with pytest.raises(CbirError, match=r"classes of 3 of its pictures yet: `cbir index --index photos`"):
        classes_of(open_index("photos"))
    refresh(root)
    assert classes_of(open_index("photos")).known.all()


def test_a_run_does_not_fail_for_classes_alone(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = photo_folder(3)
    older(root)

    def fail(*arguments: object, **options: object) -> None:
        raise EngineError("The network is not to be had.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cbir.engines.select.open_engine", fail)
        assert (refresh(root).unchanged, refresh(root).classified) == (3, 0)
    assert "classes of older pictures are not filled in: The network is not to be had." in caplog.text
    # weights that are gone, and no classifier in the cache either
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "heads_folder", lambda: root.parent / "heads")
        patch.setattr(Weights, "locate", fail)
        assert (refresh(root).unchanged, refresh(root).classified) == (3, 0)
    assert refresh(root).classified == 3


def test_the_command_line_tells_of_classes(photo_folder: Folder) -> None:
    root = photo_folder(3)
    older(root)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, [*arguments, "--index", "photos"])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "3 unchanged (3 of them to be read again for their classes). Nothing was written." in run("index", "-n")
    assert json.loads(run("index", "-n", "--json"))["without_classes"] == [f"img_{n:03}.jpg" for n in range(3)]
    assert "of 0 of 3 pictures: " in run("info")
    record = json.loads(run("index", "--json"))
    assert (record["classified"], record["without_classes"]) == (3, [])
    assert "classes    of all pictures" in run("info")
    assert json.loads(run("info", "--json"))["classes"] == {"pictures": 3, "reason": None}
    assert "(3 unchanged) in" in run("index")


def test_a_preview_of_an_index_without_a_classifier_has_nothing_to_fill_in(photo_folder: Folder) -> None:
    root = photo_folder(2)
    refresh(root, model="efficientnet_lite0", weights="untrained")
    assert not run.preview(choose_target(root, "photos"), Options()).again

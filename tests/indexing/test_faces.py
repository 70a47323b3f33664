"""`cbir index --faces`: once by content, by one finder, which the index remembers; without it a run goes on."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cbir.indexing.run
from cbir.backbones.backbone import describe
from cbir.backbones.catalog import FAKE_SMALL
from cbir.collection import open as open_collection
from cbir.errors import CbirError, IndexConflictError, ModelError, PackageMissingError, WeightsError
from cbir.extract.of_index import backbone_of
from cbir.faces.finder import open_finder
from cbir.index.columns.faces import FACES, FOUND, VECTORS
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.donor import Donor
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index, index_folder, preview
from cbir.indexing.target import choose_target
from cbir.indexing.watch import keep_fresh
from tests.helpers.faults import replace_in, run_cli
from tests.helpers.toy_faces import ToyFinder, vectors_in

DrawPicture = Callable[..., Image.Image]

#: The pictures, and how many faces the toy finds in them.
COUNTS = {"0.png": 1, "1.png": 1, "2.png": 0, "3.png": 0, "4.png": 3}


@pytest.fixture(autouse=True)
def _fake_network(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_in(monkeypatch)


@pytest.fixture
def root(tmp_path: Path, draw_picture: DrawPicture) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(5):
        draw_picture(number, (48, 32)).save(root / f"{number}.png")
    shutil.copy(root / "1.png", root / "1 again.png")
    return root


@pytest.fixture
def own_network(tmp_path: Path) -> Path:
    path = tmp_path / "own.onnx"
    path.write_bytes(b"a network")
    return path


def refresh(root: Path | None, name: str = "photos", **options: object) -> Report:
    if isinstance(model := options.get("face_model"), Path):
        options["face_model"] = str(model)
    return build_index(choose_target(root, name), Options(**options))[0]  # type: ignore[arg-type]


def opened(name: str = "photos") -> Index:
    index = Index.open(Path(os.environ["CBIR_HOME"]) / name)
    assert find_problems(index, verify=True) == []
    return index


def found(index: Index) -> dict[str, list[list[float]] | None]:
    """Of each picture the vectors of its faces, None where nobody has looked."""
    faces, paths = index.faces(), index.files().paths
    return {
        paths[row]: faces.vectors[faces.rows == row].tolist() if faces.known[row] else None
        for row in np.flatnonzero(index.valid).tolist()
    }


def wanted(root: Path, dimension: int = 128) -> dict[str, list[list[float]] | None]:
    return {path.name: vectors_in(path, dimension) for path in root.iterdir() if not path.name.startswith("unread")}


def test_they_are_those_of_the_finder(root: Path) -> None:
    refresh(root, faces=True)
    index = opened()
    assert found(index) == wanted(root)
    assert {path: len(its or ()) for path, its in found(index).items()} == {**COUNTS, "1 again.png": 1}
    entry = index.meta.faces
    assert entry is not None
    assert (entry.name, entry.identity, entry.dimension, entry.source) == ("toy", "cd" * 32, 128, "")
    row = index.files().paths.index("4.png")
    its = index.faces_of(row)
    assert its.boxes.tolist() == [[0, 0, 20, 30], [1, 0, 19, 30], [2, 0, 18, 30]]
    assert its.numbers.tolist() == [0, 1, 2]


def test_a_later_run_needs_no_option_and_looks_at_new_pictures_only(
    root: Path, draw_picture: DrawPicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(root, faces=True)
    before = opened().meta
    seen: list[str] = []
    real = ToyFinder.find
    monkeypatch.setattr(ToyFinder, "find", lambda *arguments: seen.append("") or real(*arguments))
    assert refresh(None).unchanged == 6
    assert seen == []
    assert opened().meta.faces == before.faces
    draw_picture(9, (48, 32)).save(root / "new.png")
    refresh(None)
    assert len(seen) == 1
    assert found(opened()) == wanted(root)


def test_an_index_is_given_them_later_once_by_content(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    refresh(root)
    with pytest.raises(CbirError, match="has no faces"):
        opened().faces()
    before = {name: opened().features([row]).tobytes() for row, name in enumerate(opened().files().paths)}
    with caplog.at_level(logging.INFO, "cbir"):
        report = refresh(None, faces=True)
    assert "again for their faces, which" in caplog.text
    assert (dict(report.backfilled), report.unchanged) == ({"faces": 6}, 6)
    assert "faces of 6 pictures filled in" in report.summary("photos")
    assert "face_boxes" not in json.dumps(report.to_dict())
    index = opened()
    assert found(index) == wanted(root)
    assert {name: index.features([row]).tobytes() for row, name in enumerate(index.files().paths)} == before


def test_rows_live_through_changes_moves_and_many_runs(
    root: Path, draw_picture: DrawPicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbir.index.writer.WORTH_COMPACTING", 2)
    rng = np.random.default_rng(4)
    refresh(root, faces=True)
    Writer(opened().directory, opened().meta).keep_people(b'{"names": []}')
    for run in range(12):
        names = sorted(path.name for path in root.iterdir())
        chosen = names[rng.integers(len(names))]
        if run % 4 == 0:
            (root / chosen).rename(root / f"moved {run}.png")
        elif run % 4 == 1:
            (root / chosen).unlink()
        else:
            for number in range(int(rng.integers(1, 5))):
                draw_picture(100 * run + number, (48, 32)).save(root / f"{run} {number}.png")
        refresh(None)
        assert found(opened()) == wanted(root)
        assert opened().people_content() == b'{"names": []}'


def test_a_run_without_the_packages_goes_on_and_a_later_one_fills_in(
    root: Path, draw_picture: DrawPicture, caplog: pytest.LogCaptureFixture
) -> None:
    refresh(root, faces=True)
    before = found(opened())
    draw_picture(9, (48, 32)).save(root / "new.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cbir.faces.remembered.open_finder", open_finder)
        patch.setattr("cbir.faces.packages.find_spec", lambda name: None)
        with caplog.at_level(logging.WARNING, "cbir"):
            assert refresh(None).added == 1
        assert "Faces are not looked for in new pictures:" in caplog.text
        assert "cbir[faces]" in caplog.text
        assert found(opened()) == {**before, "new.png": None}
        # nor by a run that has nothing else to do
        caplog.clear()
        with caplog.at_level(logging.WARNING, "cbir"):
            assert refresh(None).unchanged == 7
        assert "Faces are not looked for" in caplog.text
        # who asks for them now is told before any work
        with pytest.raises(PackageMissingError, match=r"cbir\[faces\]"):
            refresh(root, "other", faces=True)
    assert not (opened().directory.parent / "other").exists()
    assert refresh(None).backfilled["faces"] == 1
    assert found(opened()) == wanted(root)


def test_vectors_of_a_network_of_ones_own(root: Path, own_network: Path, draw_picture: DrawPicture) -> None:
    refresh(root, faces=True, face_model=own_network)
    entry = opened().meta.faces
    assert entry is not None
    assert (entry.dimension, entry.source) == (64, str(own_network))
    assert found(opened()) == wanted(root, 64)
    draw_picture(9, (48, 32)).save(root / "new.png")
    refresh(None)
    assert found(opened()) == wanted(root, 64)


def test_another_finder_is_refused(
    root: Path, own_network: Path, draw_picture: DrawPicture, caplog: pytest.LogCaptureFixture
) -> None:
    refresh(root, faces=True)
    with pytest.raises(IndexConflictError, match=r"those of toy \(cdcd.*--no-faces"):
        refresh(None, face_model=own_network)
    with pytest.raises(CbirError, match=r"has no faces.*add --faces"):
        refresh(root, "other", face_model=own_network)
    refresh(root, "third", faces=True, face_model=own_network)
    own_network.write_bytes(b"another network")
    refresh(None, "third")  # nothing is to be looked at
    draw_picture(9, (48, 32)).save(root / "new.png")
    with caplog.at_level(logging.WARNING, "cbir"):
        assert refresh(None, "third").added == 1
    assert "not looked for in new pictures: The faces of the index third are those of toy" in caplog.text
    assert found(opened("third"))["new.png"] is None


def test_what_is_planned_is_not_said_of_rows_by_another_network(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the index's own network cannot be had, so that its own run plans and comes to nothing."""
    refresh(root)
    real = cbir.indexing.run._extractor

    def unavailable(*arguments: object) -> object:
        if arguments[-1] is None:
            raise ModelError("There is no such network here.")
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(cbir.indexing.run, "_extractor", unavailable)
        refresh(None, faces=True, objects=True, model=FAKE_SMALL)
    assert (opened().meta.faces, opened().meta.objects) == (None, None)
    refresh(None, faces=True)
    assert found(opened()) == wanted(root)


def test_a_file_that_has_moved_is_told_once(root: Path, own_network: Path, draw_picture: DrawPicture) -> None:
    refresh(root, faces=True, face_model=own_network)
    moved = own_network.rename(own_network.with_name("moved.onnx"))
    draw_picture(9, (48, 32)).save(root / "new.png")
    refresh(None)
    assert found(opened())["new.png"] is None
    with pytest.raises(WeightsError, match="Cannot read"):
        refresh(None, face_model=own_network)
    refresh(None, face_model=moved)
    assert found(opened()) == wanted(root, 64)
    draw_picture(10, (48, 32)).save(root / "newer.png")
    refresh(None)
    assert found(opened()) == wanted(root, 64)


def test_a_network_that_only_an_index_names_is_not_opened(
    root: Path,
    own_network: Path,
    draw_picture: DrawPicture,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refresh(root, faces=True, face_model=own_network)
    evil = shutil.copy(own_network, own_network.with_name("evil.onnx"))
    index = opened()
    assert index.meta.faces is not None
    Writer(index.directory, index.meta).replace(index.meta.but(faces=replace(index.meta.faces, source=str(evil))))
    draw_picture(9, (48, 32)).save(root / "new.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cbir.faces.remembered.open_finder", None)
        with caplog.at_level(logging.WARNING, "cbir"):
            refresh(None)
    assert f"the file {evil}, which was not used here before" in caplog.text
    assert found(opened())["new.png"] is None
    refresh(None, face_model=evil)
    assert found(opened()) == wanted(root, 64)


def test_a_picture_that_cannot_be_read_again_is_tried_once(root: Path) -> None:
    refresh(root)
    path = root / "4.png"
    status = path.stat()
    path.write_bytes(b"\x89PNG".ljust(status.st_size, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    refresh(None, faces=True)
    assert "4.png" not in found(opened())
    assert refresh(None).backfilled.total() == 0


def all_vectors(root: Path) -> list[bytes]:
    """The bytes of the first numbers of each vector."""
    return [np.array(its[:4], np.float32).tobytes() for path in root.iterdir() for its in vectors_in(path)]


def holders(directory: Path, root: Path) -> set[str]:
    """The files of an index that have any of these bytes."""
    return {
        path.name
        for path in directory.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in all_vectors(root))
    }


def test_nothing_of_them_is_left_when_they_are_taken_away(root: Path, draw_picture: DrawPicture) -> None:
    """Not in any file of the index, by whatever network, and nothing of what was said of people."""
    refresh(root, faces=True)
    refresh(None, model=FAKE_SMALL, keep_old=True)
    draw_picture(9, (48, 32)).save(root / "new.png")
    refresh(None)
    directory = opened().directory
    Writer(directory, opened().meta).keep_people(b"Anna")
    assert len(holders(directory, root)) >= 2
    assert any(b"Anna" in path.read_bytes() for path in directory.iterdir() if path.is_file())
    refresh(None, faces=False)
    assert holders(directory, root) == set()
    assert not any(b"Anna" in path.read_bytes() for path in directory.iterdir() if path.is_file())
    meta = load_meta(directory)
    assert [state.faces for state in (meta, *meta.others)] == [None, None]
    assert not [path for path in directory.iterdir() if path.name.startswith(("face", "people"))]
    assert refresh(None).unchanged == 7
    refresh(None, faces=True)
    assert found(opened()) == wanted(root)


def test_nothing_of_them_is_left_where_a_move_to_another_network_waits(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(root, faces=True)
    refresh(None, model=FAKE_SMALL, keep_old=True)
    meta = opened().meta
    Writer(opened().directory, meta).replace(meta.but(moving_to=meta.kept[0], kept=()))
    # what waits is not looked at, nor is a network that cannot be had
    monkeypatch.setattr("cbir.indexing.networks.bring_along", lambda *arguments, **options: [])
    refresh(None, faces=False)
    assert opened().meta.moving_to is not None
    assert holders(opened().directory, root) == set()


def test_a_move_to_another_network_keeps_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(root, faces=True)
    before = opened()
    Writer(before.directory, before.meta).keep_people(b"Anna")
    monkeypatch.setattr("cbir.faces.remembered.open_finder", None)
    refresh(None, model=FAKE_SMALL)
    index = opened()
    assert index.model != before.model
    assert index.meta.faces == before.meta.faces
    assert found(index) == wanted(root)
    assert index.people_content() == b"Anna"


def test_what_is_cut_off_while_an_index_moves_is_given_whole_or_not_at_all(root: Path) -> None:
    refresh(root, faces=True)
    index = opened()
    donor = Donor(index, backbone_of(index), describe(FAKE_SMALL))
    contents = {path: index.files().sha256s[row] for row, path in enumerate(index.files().paths)}
    assert {"faces", "face_boxes", "face_vectors"} <= {*donor.records(contents["4.png"])}
    path = index.directory / index.meta.blocks[0].columns["face_vectors"].name
    os.truncate(path, path.stat().st_size - 5 * 512)
    for name, content in contents.items():
        given = {*donor.records(content)} & {"faces", "face_boxes", "face_vectors"}
        assert len(given) in (0, 3)
        assert bool(COUNTS.get(name)) or len(given) == 3 or name == "1 again.png"
    assert "thumbnails" in donor.records(contents["4.png"])
    assert "faces" not in donor.records(contents["4.png"])


def test_damaged_ones_are_made_again(root: Path) -> None:
    refresh(root, faces=True)
    for name, damage in (("faces", "cut"), ("face_boxes", "cut"), ("face_vectors", "cut"), ("face_vectors", "a bit")):
        index = opened()
        path = index.directory / index.meta.blocks[0].columns[name].name
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data if damage == "a bit" else data[:-1])
        assert refresh(None, repair=damage == "a bit").backfilled["faces"] == 6
        assert found(opened()) == wanted(root)


def test_what_a_stranger_says_is_missing_is_made_anew_together(root: Path) -> None:
    """Else there could be other than as many vectors as were counted."""
    refresh(root, faces=True)
    index = opened()
    [block] = index.meta.blocks
    columns = {
        column.name: replace(block.columns[column.name], missing=((0, 2),)) for column in (FOUND, FACES, VECTORS)
    }
    Writer(index.directory, index.meta).replace(index.meta.but(blocks=(block.with_columns(columns),)))
    refresh(None)
    assert found(opened()) == wanted(root)


def test_a_dry_run_says_what_would_be_read_and_opens_no_finder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(root)
    monkeypatch.setattr("cbir.faces.remembered.open_finder", None)
    plan = preview(choose_target(root, "photos"), Options(faces=True))
    assert len(plan.again_for(FOUND)) == 6
    assert opened().meta.faces is None


def test_the_cost_is_told_before_a_long_run(
    root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.INFO, "cbir"):
        refresh(root, faces=True)
    assert "Looking for faces" not in caplog.text
    monkeypatch.setattr("cbir.indexing.makers.WORTH_FORETELLING", 5)
    with caplog.at_level(logging.INFO, "cbir"):
        refresh(root, "other", faces=True)
    assert "Looking for faces in 6 pictures takes about 0 s of this machine." in caplog.text


def test_an_index_that_is_watched_goes_on_with_faces(root: Path, draw_picture: DrawPicture) -> None:
    pytest.importorskip("watchfiles")
    asked: list[Options] = []

    def run(options: Options) -> Report:
        asked.append(options)
        report = build_index(target, options)[0]
        if len(asked) == 1:
            draw_picture(9, (48, 32)).save(root / "new.png")
        elif report.added:
            raise KeyboardInterrupt
        return replace(report, unsettled=1)  # so that it is looked again soon

    target = choose_target(root, "photos")
    with pytest.raises(KeyboardInterrupt):
        keep_fresh(target, Options(faces=True), run)
    assert {options.faces for options in asked[1:]} == {None}
    assert found(opened()) == wanted(root)


def test_info_and_python(root: Path, draw_picture: DrawPicture, capsys: pytest.CaptureFixture[str]) -> None:
    index, report = index_folder(root, faces=True)
    assert report.added + report.copied == 6
    assert found(index) == wanted(root)
    assert run_cli(["info", "--index", "photos"]) == 0
    line = "6 in 4 pictures, each with 128 numbers that tell people apart (by toy), looked for in all pictures"
    assert f"  faces      {line}" in capsys.readouterr().out.splitlines()
    Writer(index.directory, index.meta).keep_people(bytes(2000))
    assert run_cli(["info", "--index", "photos"]) == 0
    assert "(by toy), and 2.0 KB of what was said of people, looked for" in capsys.readouterr().out
    assert run_cli(["info", "--index", "photos", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["faces"] == {
        "pictures": 6,
        "finder": "toy",
        "face_model": None,
        "numbers": 128,
        "people_bytes": 2000,
        "found": 6,
        "with_faces": 4,
    }
    assert "face_boxes" not in told
    draw_picture(9, (48, 32)).save(root / "new.png")
    collection = open_collection("photos")
    collection.update()
    assert found(collection.index) == wanted(root)


def test_the_command(root: Path, own_network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["index", str(root), "--faces", "--face-model", str(own_network), "--quiet"]) == 0
    entry = opened().meta.faces
    assert entry is not None
    assert entry.source == str(own_network)
    Writer(opened().directory, opened().meta).keep_people(b"Anna")
    capsys.readouterr()
    assert run_cli(["index", "--index", "photos", "--dry-run", "--no-faces"]) == 0
    assert "6 unchanged; faces, what was said of people to be taken away. Nothing was" in capsys.readouterr().out
    assert run_cli(["index", "--index", "photos", "--dry-run", "--no-faces", "--no-objects", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["taken_away"] == ["faces", "what was said of people"]
    assert opened().meta.faces == entry
    assert run_cli(["index", "--index", "photos", "--no-faces"]) == 0
    assert "Taken away from photos: faces, what was said of people." in capsys.readouterr().err
    assert opened().meta.faces is None
    capsys.readouterr()
    assert run_cli(["index", "--index", "photos", "--face-model", str(own_network)]) == 1
    assert "add --faces" in capsys.readouterr().err


def test_faces_of_real_people_are_found_as_without_an_index(
    tmp_path: Path, shared: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dlib")
    monkeypatch.setattr("cbir.faces.remembered.open_finder", open_finder)
    counts = json.loads((shared("faces") / "faces.json").read_text("utf-8"))
    (root := tmp_path / "group").mkdir()
    for name in list(counts)[:3]:
        shutil.copy(shared("faces") / name, root)
    refresh(root, "group", faces=True)
    index = opened("group")
    by_path = {Path(name).name: count for name, count in counts.items()}
    assert {path: len(its or ()) for path, its in found(index).items()} == {
        path: by_path[path] for path in index.files().paths
    }

"""`cbir evaluate` as a user meets it: figures that agree with searches, formats, messages, nothing left behind."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.evaluation import sources
from cbir.extract.extractor import Extractor
from cbir.index.format import META, load_meta
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.indexing.run import build_index
from cbir.indexing.target import choose_target
from cbir.notions.store import keep_notion
from tests.helpers.notions import make_notion


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def evaluated(*arguments: str | Path) -> dict:
    result = run("evaluate", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """`photos`, with 12 cats, 12 dogs of which one is a copy of a cat, and one emu; and `index`, an index of it."""
    folder = tmp_path_factory.mktemp("template")
    for number in range(25):
        name = "emus" if number == 24 else ("cats", "dogs")[number % 2]
        (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
        draw_picture(number).save(folder / f"photos/{name}/img_{number:03d}.jpg", quality=90)
    shutil.copy(folder / "photos/cats/img_002.jpg", folder / "photos/dogs/img_001.jpg")
    build_index(choose_target(folder / "photos", str(folder / "index")))
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The template's pictures; temporary files have a folder of their own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return shutil.copytree(template / "photos", tmp_path / "photos")


@pytest.fixture
def indexed(template: Path, folder: Path, tmp_path: Path) -> Path:
    """The same, indexed as `photos`."""
    directory = shutil.copytree(template / "index", tmp_path / "indexes/photos")
    (directory / META).write_text(load_meta(directory).but(root=str(folder)).dump())
    return folder


@pytest.fixture
def no_network(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is extracted in this test."""
    monkeypatch.setattr(Extractor, "engine", property(lambda self: pytest.fail("the network was to be loaded")))


def searched(root: Path, *options: str) -> dict[str, float]:
    """mAP, precision and recall of `cbir search` with as many matches as there are pictures."""
    files = sorted([*root.glob("cats/*"), *root.glob("dogs/*")])
    output = run("search", *files, "-k", "25", "--format", "jsonl", *options).stdout
    measured = []
    for file, line in zip(files, output.splitlines(), strict=True):
        paths = [Path(match["path"]) for match in json.loads(line)["matches"]]
        assert len(paths) == 24
        relevant = [path.parent == file.parent for path in paths]
        precisions = [sum(relevant[: place + 1]) / (place + 1) for place in range(24) if relevant[place]]
        assert len(precisions) == 11
        measured.append((np.mean(precisions), relevant[0], sum(relevant[:10]) / 10, sum(relevant[:5]) / 11))
    return dict(zip(("map", "p1", "p10", "r5"), np.mean(measured, axis=0).tolist(), strict=True))


@pytest.mark.usefixtures("no_network")
def test_figures_are_those_of_the_searches_that_users_make(indexed: Path) -> None:
    record = evaluated("--index", "photos", "-k", "5")
    assert (record["root"], record["pictures"], record["classes"]) == (str(indexed), 25, 3)
    assert (record["queries"], record["queries_without_relevant"], record["ground_truth"]) == (24, 1, "folders")
    assert [system["method"] for system in record["systems"]] == ["cosine", "re-ranked"]
    for system, options in zip(record["systems"], (["--no-rerank"], []), strict=True):
        expected = searched(indexed, *options)
        assert system["map"] == pytest.approx(expected["map"], abs=1e-4)
        assert system["precision_at"] == {
            "1": pytest.approx(expected["p1"], abs=1e-4),
            "10": pytest.approx(expected["p10"], abs=1e-4),
        }
        assert system["recall_at"] == {"5": pytest.approx(expected["r5"], abs=1e-4)}
        assert [one["class"] for one in system["classes"]] == ["cats", "dogs"]
        assert np.mean([one["map"] for one in system["classes"]]) == pytest.approx(system["map"], abs=1e-4)
        assert system["query_ms"] > 0
        assert system["shortlist_ms"] is None
        assert system["shortlist_recall_at_10"] is None


@pytest.mark.usefixtures("no_network")
def test_a_notion_is_measured_beside_the_index_and_its_labels_are_told(indexed: Path) -> None:
    index = open_index("photos")
    folders = np.array([record.path.split("/")[0] for _, record in index.records()])
    labelled = np.concatenate([np.flatnonzero(folders == name)[:6] for name in ("cats", "dogs")])
    keep_notion(index.directory, make_notion(index, labelled, np.repeat([0, 1], 6), "pets"))
    plain = evaluated("--index", "photos")
    result = run("evaluate", "--index", "photos", "--learnt", "pets", "--json")
    record = json.loads(result.stdout)
    copies = _copies_of_labels(index, labelled)
    assert (record["learnt"], record["labelled_queries"]) == ("pets", 12 + copies)
    assert "queries are labels that the notion was learnt from, which flatters it" in result.stderr
    assert [one["method"] for one in record["systems"]] == ["cosine", "re-ranked", "cosine, pets", "re-ranked, pets"]
    for one, before in zip(record["systems"], plain["systems"], strict=False):
        assert one["map"] == before["map"]
    for system, options in zip(record["systems"][2:], (["--no-rerank"], []), strict=True):
        assert system["map"] == pytest.approx(searched(indexed, "--learnt", "pets", *options)["map"], abs=1e-4)
        assert system["map"] > plain["systems"][0]["map"] + 0.05
    honest = run("evaluate", "--index", "photos", "--learnt", "pets", "--unlabelled", "--json")
    record = json.loads(honest.stdout)
    assert (record["queries"], record["labelled_queries"]) == (24 - 12 - copies, 0)
    assert "flatters" not in honest.stderr


def _copies_of_labels(index: Index, labelled: np.ndarray) -> int:
    """The number of rows that are no labels, but have the content of one."""
    contents = index.files().sha256s
    taught = {contents[row] for row in labelled}
    return sum(contents[row] in taught for row in set(range(index.rows)) - set(labelled.tolist()))


def test_a_notion_that_cannot_be_measured(indexed: Path) -> None:
    assert run("evaluate", "--index", "photos", "--unlabelled").exit_code == 2
    unknown = run("evaluate", "--index", "photos", "--learnt", "pets")
    assert unknown.exit_code == 1
    assert "There is no notion pets in the index photos" in unknown.stderr
    index = open_index("photos")
    rows = np.arange(index.rows)
    keep_notion(index.directory, make_notion(index, rows, rows % 2, "pets"))
    nothing = run("evaluate", "--index", "photos", "--learnt", "pets", "--unlabelled")
    assert "All queries are labels of the notion" in nothing.stderr


@pytest.mark.usefixtures("no_network")
def test_a_folder_with_an_index_needs_no_network_and_an_index_no_pictures(indexed: Path) -> None:
    by_name = evaluated("--index", "photos")["systems"][0]["map"]
    result = run("evaluate", indexed, "--json")
    assert "Using the features of the index photos." in result.stderr
    assert json.loads(result.stdout)["systems"][0]["map"] == by_name
    indexed.rename(indexed.with_name("away"))
    assert evaluated()["systems"][0]["map"] == by_name
    assert evaluated(indexed)["systems"][0]["map"] == by_name
    failed = run("evaluate", "--compare")
    assert failed.exit_code == 1
    assert "Classical features are made of the pictures themselves. Cannot read" in failed.stderr


def test_a_folder_without_an_index_leaves_nothing_behind(indexed: Path, tmp_path: Path) -> None:
    expected = evaluated("--index", "photos")
    shutil.rmtree(tmp_path / "indexes/photos")
    (indexed / "cats/bad.jpg").write_text("no picture")
    result = run("evaluate", indexed, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    for one, other in zip(found["systems"], expected["systems"], strict=True):
        assert one["map"] == pytest.approx(other["map"], abs=0.002)
    assert "Using efficientnet_lite0, which comes with cbir." in result.stderr
    assert f"`cbir index {indexed} --model efficientnet_lite0` would keep the work" in result.stderr
    assert "skipped: cats/bad.jpg: it is no picture" in result.stderr
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not list((tmp_path / "indexes").glob("*"))
    assert run("evaluate", indexed, "-q").stderr == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_behind_where_a_run_ends_early(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def stop(*arguments: object) -> None:
        assert list((tmp_path / "temporary").iterdir())
        raise error

    monkeypatch.setattr(sources, "build_index", stop)
    result = run("evaluate", folder)
    assert result.exit_code == (130 if error is KeyboardInterrupt else 1)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_systems_side_by_side(indexed: Path) -> None:
    arguments = ("--model", "efficientnet_lite0", "--model", "squeezenet1_0", "--weights", "squeezenet1_0=untrained")
    result = run("evaluate", indexed, "--compare", *arguments, "--json")
    assert result.exit_code == 0, result.output
    systems = {system["system"]: system for system in json.loads(result.stdout)["systems"]}
    assert list(systems) == [
        *("efficientnet_lite0 cosine", "efficientnet_lite0 re-ranked"),
        *("squeezenet1_0 cosine", "squeezenet1_0 re-ranked", "hsv", "hog"),
    ]
    assert "Using the features of the index photos" in result.stderr
    keep = f"`cbir index {indexed} --model squeezenet1_0 --weights untrained --index photos-squeezenet1_0`"
    assert keep in result.stderr
    assert len({system["map"] for system in systems.values()}) >= 5
    assert systems["hsv"]["method"] == systems["hog"]["method"] == "cosine"
    for system in systems.values():
        assert (system["queries"], len(system["classes"])) == (24, 2)
        assert 0 < system["map"] < 1
    with_index = evaluated("--index", "photos", "--compare")
    assert [system["system"] for system in with_index["systems"]] == [name for name in systems if "squ" not in name]
    assert [system["map"] for system in with_index["systems"]] == [
        system["map"] for name, system in systems.items() if "squ" not in name
    ]


@pytest.mark.usefixtures("no_network")
def test_without_scikit_image_the_rest_is_compared(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    (indexed / "cats/img_004.jpg").write_text("damaged since")
    result = run("evaluate", indexed, "--compare", "--json")
    names = [system["system"] for system in json.loads(result.stdout)["systems"]]
    assert names == ["efficientnet_lite0 cosine", "efficientnet_lite0 re-ranked", "hsv"]
    assert "hog needs scikit-image, which is missing: install cbir again with pip. It is left out." in result.stderr
    assert "1 picture cannot be read any more" in result.stderr


@pytest.mark.usefixtures("no_network")
def test_the_table(indexed: Path) -> None:
    result = run("evaluate", "--index", "photos", "--sample", "20")
    lines = result.stdout.splitlines()
    assert lines[0] == (
        f"{indexed}: 25 pictures in 3 classes; 20 queries of 24, drawn at random (1 more has nothing relevant)"
    )
    assert lines[2] == "mAP of each class:"
    assert lines[3].split() == ["class", "queries", "cosine", "re-ranked"]
    assert [line.split()[0] for line in lines[4:6]] == ["cats", "dogs"]
    assert sum(int(line.split()[1]) for line in lines[4:6]) == 20
    assert lines[7].split() == ["system", "mAP", "P@1", "P@10", "R@10", "R@100", "ms", "shortlist"]
    assert lines[8].split()[:2] == ["efficientnet_lite0", "cosine"]
    assert lines[9].split()[:2] == ["efficientnet_lite0", "re-ranked"]
    assert [line.split()[-1] for line in lines[8:]] == ["exact", "exact"]
    record = evaluated("--index", "photos", "--sample", "20")
    assert lines[8].split()[2] == f"{record['systems'][0]['map']:.3f}"
    assert record["queries"] == 20


@pytest.mark.usefixtures("no_network")
def test_csv_has_a_line_a_system_and_class(indexed: Path) -> None:
    record = evaluated("--index", "photos", "-k", "20", "-k", "3", "-k", "3")
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        output = run("evaluate", "--index", "photos", "-k", "3", "-k", "20", "--format", name).stdout
        rows = list(csv.DictReader(io.StringIO(output), delimiter=delimiter))
        assert [(row["method"], row["class"]) for row in rows] == [
            (method, name) for method in ("cosine", "re-ranked") for name in ("", "cats", "dogs")
        ]
        assert list(rows[0]) == [
            *("system", "model", "method", "class", "queries", "map", "precision_at_1", "precision_at_10"),
            *("recall_at_3", "recall_at_20", "query_ms", "shortlist_ms", "shortlist_recall_at_10"),
            *("network_ms", "feature_bytes"),
        ]
        for system, start in zip(record["systems"], (0, 3), strict=True):
            for scores, row in zip([system, *system["classes"]], rows[start : start + 3], strict=True):
                assert float(row["map"]) == scores["map"]
                assert float(row["recall_at_20"]) == scores["recall_at"]["20"]
                assert int(row["queries"]) == scores["queries"]
        assert float(rows[0]["query_ms"]) > 0
        assert int(rows[0]["feature_bytes"]) == record["systems"][0]["feature_bytes"] > 0
        assert (rows[0]["shortlist_ms"], rows[1]["query_ms"]) == ("", "")


@pytest.mark.usefixtures("no_network")
def test_a_ground_truth_of_ones_own(indexed: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    # the copy of a cat among the dogs is relevant here, and first in every order
    truth.write_text(json.dumps({"cats/img_002.jpg": [str(indexed / "dogs/img_001.jpg")], "emus/img_024.jpg": []}))
    record = evaluated("--index", "photos", "--ground-truth", truth)
    assert (record["ground_truth"], record["classes"]) == (str(truth), None)
    assert (record["queries"], record["queries_without_relevant"]) == (1, 1)
    assert [(system["map"], system["classes"]) for system in record["systems"]] == [(1, []), (1, [])]
    table = run("evaluate", "--index", "photos", "--ground-truth", truth).stdout.splitlines()
    assert table[0] == f"{indexed}: 25 pictures; 1 query (1 more has nothing relevant)"
    assert len(table) == 5
    truth.write_text("query,relevant\ncats/img_002.jpg,cats/none.jpg\n")
    result = run("evaluate", "--index", "photos", "--ground-truth", truth)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: The ground truth {truth} names 1 picture of which there are no features")
    assert str(indexed) in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["FOLDER", "--index", "photos"], 2, "a folder or an index, not both"),
        (["-m", "a", "-m", "b"], 2, "Several backbones are for --compare"),
        (["--compare", "-m", "a", "-m", "b", "--weights", "x"], 2, "Whose weights are x?"),
        (["--weights", "x", "--weights", "y"], 2, "has one file of weights"),
        (["--index", "photos", "-m", "resnet50"], 1, "was made with efficientnet_lite0, not resnet50"),
        (["--index", "photos", "--weights", "untrained"], 1, "was made with other weights than untrained"),
        (["--index", "nothing"], 1, "no index in"),
        (["INDEX", "-m", "efficientnet_lite0"], 1, "is an index and not a folder of pictures: name it with --index"),
        (["missing"], 1, "missing is not there, and no index was made of it"),
        (["FOLDER/cats/img_000.jpg"], 1, "img_000.jpg is a file: name a folder"),
        (["FOLDER/cats"], 1, r"all in one folder (.)"),
    ],
)
def test_wrong_use_is_told(indexed: Path, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    places = {"FOLDER": str(indexed), "INDEX": str(tmp_path / "indexes/photos")}
    for name, path in places.items():
        arguments = [argument.replace(name, path) for argument in arguments]
    result = run("evaluate", *arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert "Traceback" not in result.output

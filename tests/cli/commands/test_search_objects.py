"""`cbir search --object`: alone, beside pictures and words, and how it is written."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.index.home import index_directory
from tests.faults.test_processes import imported
from tests.helpers.object_index import Thing, make_object_index

THINGS: dict[int, list[Thing]] = {
    0: [("dog", 0.9, (1, 2, 10, 12)), ("person", 0.7, (0, 0, 30, 20))],
    1: [("dog", 0.6, (1, 2, 3, 4)), ("dog", 0.5, (15, 6, 7, 8))],
    2: [("cat", 0.8, (2, 2, 9, 9))],
    3: [],
}


@pytest.fixture
def photos(tmp_path: Path, draw_picture: Callable) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(4):
        draw_picture(number, (32, 24)).save(root / f"{number}.jpg")
    features = np.random.default_rng(3).random((4, 1280), dtype=np.float32)
    make_object_index(index_directory("photos"), features, THINGS, root=root, weights=None)
    return root


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["search", *map(str, arguments)])


def found(*arguments: str | Path) -> list[int]:
    result = run(*arguments, "--format", "paths")
    assert result.exit_code == 0, result.output
    return [int(Path(line).stem) for line in result.stdout.splitlines()]


def test_objects_alone(photos: Path) -> None:
    assert found("--object", "dog") == [0, 1]
    assert found("--object", "2:dog") == [1]
    assert found("--object", "animal", "--not-object", "person") == [2, 1]
    assert found("--not-object", "dog") == [2, 3]
    assert found("--object", "dog", "--min-score", "0.7") == [0]
    assert found("--object", "dog:0.7") == [0]


def test_the_table_tells_what_was_found(photos: Path) -> None:
    result = run("--object", "2:dog", "--format", "table")
    header, row = result.stdout.splitlines()
    assert [word for word in header.split() if word != "tag"] == ["rank", "score", "objects", "path"]
    assert row.split()[1:6] == ["0.500", "dog", "0.60,", "dog", "0.50"]


def test_json_and_csv_have_class_score_and_box(photos: Path) -> None:
    record = json.loads(run("--object", "dog", "--not-object", "cat", "--format", "json").stdout)
    assert (record["query"], record["objects"], record["not_objects"]) == ("dog, not cat", ["dog"], ["cat"])
    assert record["matches"][0]["objects"] == [{"class": "dog", "score": 0.9, "box": [1.0, 2.0, 10.0, 12.0]}]
    rows = list(csv.DictReader(io.StringIO(run("--object", "2:dog", "--format", "csv").stdout)))
    assert [row["objects"] for row in rows] == ["dog 0.6000 1,2,3,4; dog 0.5000 15,6,7,8"]
    assert list(rows[0])[-2:] == ["relevance", "objects"]
    plain = next(csv.reader(io.StringIO(run("--object", "bus", "--format", "csv").stdout)))
    assert plain == list(rows[0])


def test_objects_filter_beside_pictures(photos: Path) -> None:
    assert sorted(found(photos / "3.jpg", "--object", "dog")) == [0, 1]
    assert found(photos / "3.jpg", "--object", "dog", "--not-object", "person") == [1]
    assert sorted(found(photos / "3.jpg", "--not-object", "dog")) == [2, 3]
    both = ["--together", photos / "3.jpg", photos / "2.jpg", "--unlike", photos / "1.jpg"]
    assert found(*both, "--object", "animal", "--not-object", "2:dog", "--self")[:1] in ([0], [2])
    several = run(photos / "3.jpg", photos / "2.jpg", "--object", "2:dog", "--format", "jsonl")
    records = [json.loads(line) for line in several.stdout.splitlines()]
    assert [[len(match["objects"]) for match in record["matches"]] for record in records] == [[2], [2]]
    (record, *_) = records
    assert record["matches"][0]["score"] != 0.5  # a cosine


def test_what_means_nothing_is_a_usage_error(photos: Path) -> None:
    for arguments, message in (
        (["--object", "dog:2"], "least score of 'dog'"),
        (["--object", ""], "needs a name"),
        (["--object", "0:dog"], "at least once"),
        (["--object", "dog", "--self"], "--self is for a query's pictures"),
        (["--object", "dog", "--region", "1,2,3,4"], "--region is for a query's pictures"),
        (["--object", "dog", "--min-probability", "0.5"], "name one with --word"),
        ([], "or an object with --object"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert message in " ".join(result.output.split()), (arguments, result.output)


def test_what_cannot_be_answered_is_an_error(photos: Path) -> None:
    result = run("--object", "zebra")
    assert result.exit_code == 1
    assert "The detector knows no 'zebra'" in result.output
    result = run("--object", "33:dog")
    assert result.exit_code == 1
    assert "up to 32 objects" in result.output
    result = run("--object", "dog", "--min-score", "50%")
    assert result.exit_code != 0


def test_the_page_draws_the_boxes(photos: Path, tmp_path: Path) -> None:
    page, sheet = tmp_path / "found.html", tmp_path / "found.png"
    assert run("--object", "dog", "--html", page, "--sheet", sheet).exit_code == 0
    text = page.read_text()
    assert '<span class="label">dog</span> 0.90' in text
    shutil.rmtree(photos)
    for number in range(4):
        photos.mkdir(exist_ok=True)
        Image.new("RGB", (32, 24), "blue").save(photos / f"{number}.jpg", quality=100)
    assert run("--object", "cat", "--sheet", sheet).exit_code == 0
    with Image.open(sheet) as drawn:
        tile = np.asarray(drawn.convert("RGB")).reshape(-1, 3).astype(int)
    blue, white = (tile == tile[tile[:, 2] - tile[:, 0] > 200][0]).all(axis=1), (tile == 255).all(axis=1)
    assert blue.any()
    assert white.any()


def test_a_search_by_objects_loads_nothing_heavy(photos: Path) -> None:
    assert not imported("search", "--object", "dog", "--format", "paths") & {"torch", "torchvision", "openvino"}


def test_crops_are_what_the_boxes_show(photos: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    assert run("--object", "2:dog", "--object", "animal", "--crops", crops).exit_code == 0
    assert sorted(path.name for path in crops.iterdir()) == ["1.object-01.png", "1.object-02.png"]
    with Image.open(photos / "1.jpg") as whole, Image.open(crops / "1.object-02.png") as cut:
        assert (cut.mode, cut.size) == ("RGB", (7, 8))
        assert np.array_equal(np.asarray(cut), np.asarray(whole.convert("RGB").crop((15, 6, 22, 14))))
    # several queries that find one picture: once
    both = [photos / "3.jpg", photos / "2.jpg", "--object", "dog", "--crops", tmp_path / "more"]
    assert run(*both).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "more").iterdir()) == ["0.object-01.png", "1.object-01.png"]


def test_crops_with_masks_are_transparent_beside_the_thing(photos: Path, tmp_path: Path) -> None:
    assert run("--object", "person", "--crops", tmp_path / "crops", "--masks").exit_code == 0
    with Image.open(tmp_path / "crops" / "0.object-01.png") as cut:
        assert (cut.mode, cut.size) == ("RGBA", (30, 20))
        alpha = np.asarray(cut)[..., 3]
    assert set(np.unique(alpha)) <= {0, 255}
    assert alpha.any()


def test_crops_are_refused_or_told_where_they_cannot_be(photos: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (["--object", "dog", "--masks"], "name a folder with --crops"),
        ([photos / "1.jpg", "--crops", tmp_path], "--crops are of objects"),
    ):
        result = run(*arguments)
        assert (result.exit_code, message in result.output) == (2, True), result.output
    (photos / "0.jpg").unlink()
    result = run("--object", "dog", "--crops", tmp_path / "crops")
    assert result.exit_code == 1
    assert "0.jpg" in result.stderr
    assert [path.name for path in (tmp_path / "crops").iterdir()] == ["1.object-01.png"]
    own = tmp_path / "own"
    own.mkdir()
    (own / "1.object-01.png").write_bytes(b"mine")
    result = run("--object", "2:dog", "--crops", own)
    assert (own / "1.object-01.png").read_bytes() == b"mine"

"""`cbir detect` with approximate masks, and with COCO's results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageDraw

from cbir.cli import cli
from tests.helpers.graph_files import RED, picture, write

ONCE = ("--weights", "squares.onnx", "--iou", "0")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)])


def records(result: Result) -> list[dict]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a detector of red squares, and a picture of a disc and one of a square, as the current one."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "squares.onnx", "yolox", names="{0: 'dog', 1: 'bus'}")
    disc = picture()
    ImageDraw.Draw(disc).ellipse((130, 130, 255, 255), RED)
    disc.save(tmp_path / "disc.png")
    picture((RED, 384, 256)).save(tmp_path / "square.png")
    return tmp_path


def test_approximate_masks_are_called_so_wherever_they_are(here: Path) -> None:
    files = (
        "--crops",
        "crops",
        "--out",
        "out",
        "--coco",
        "all.json",
        "--coco-results",
        "found.json",
        "--html",
        "p.html",
    )
    (told,) = records(run("detect", "disc.png", *ONCE, "--masks", "--most", 1, *files))
    (one,) = told["objects"]
    assert one["approximate"] is True
    assert one["mask"]["size"] == [480, 640]
    with Image.open(one["crop"]) as cut:
        assert cut.mode == "RGBA"
        alpha = np.asarray(cut)[..., 3]
    x, y, width, height = map(round, one["box"])
    assert alpha.shape == (height, width)
    with Image.open("disc.png") as drawn:
        is_disc = (np.asarray(drawn)[y : y + height, x : x + width] == RED).all(axis=2)
    assert (is_disc == (alpha > 0)).mean() > 0.9 > is_disc.mean()
    (annotation,) = json.loads(Path("all.json").read_text())["annotations"]
    (result,) = json.loads(Path("found.json").read_text())
    assert annotation["approximate"] == result["approximate"] == 1
    assert annotation["area"] == np.count_nonzero(alpha)
    assert result["segmentation"]["counts"] == one["mask"]["counts"]
    page = Path("p.html").read_text()
    assert "Masks are approximate" in page
    assert page.count("<path") == 1
    (bare,) = records(run("detect", "disc.png", *ONCE, "--most", 1, "--out", "bare", "--crops", "bare"))
    assert "approximate" not in bare["objects"][0]
    with Image.open(bare["overlay"]) as plain, Image.open(told["overlay"]) as shaded:
        differ = np.any(np.asarray(plain) != np.asarray(shaded), axis=2)
    assert differ[y : y + height, x : x + width].mean() > 0.4
    assert differ[460:, :100].any()  # where it says so
    with Image.open(bare["objects"][0]["crop"]) as cut:
        assert cut.mode == "RGB"


def test_masks_that_a_detector_tells_are_left(here: Path) -> None:
    write(here / "masks.onnx", "yolov8 masks", names="{0: 'dog', 1: 'bus'}")
    picture((RED, 256, 160), size=(640, 640)).save("left.png")  # where such masks are
    options = ("left.png", "--weights", "masks.onnx", "--html", "p.html", "--coco-results", "found.json", "--force")
    (with_option,), (without,) = (records(run("detect", *options, *more)) for more in ((), ("--masks",)))
    assert with_option == without
    assert "mask" in without["objects"][0]
    assert "approximate" not in without["objects"][0]
    assert "approximate" not in Path("found.json").read_text()
    page = Path("p.html").read_text()
    assert "<path" in page
    assert "approximate" not in page


@pytest.mark.parametrize("more", [(), ("--masks",)])
def test_pycocotools_and_evaluate_read_results_of_the_dataset_beside_them(more: tuple[str, ...], here: Path) -> None:
    from pycocotools.coco import COCO

    run("detect", "square.png", "disc.png", *ONCE, *more, "--coco", "all.json", "--coco-results", "found.json")
    results = json.loads(Path("found.json").read_text())
    assert {key for one in results for key in one} - {"segmentation", "approximate"} == {
        "image_id", "category_id", "bbox", "score",
    }  # fmt: skip
    truth = COCO("all.json")
    found = truth.loadRes("found.json")
    assert len(found.anns) == len(truth.anns) == len(results) > 1
    for key, own in truth.anns.items():
        its = found.anns[key]
        assert [its[name] for name in ("image_id", "category_id", "bbox")] == [
            own[name] for name in ("image_id", "category_id", "bbox")
        ]
        assert its["score"] == own["score"]
        if more:
            assert np.array_equal(found.annToMask(its), truth.annToMask(own))
    measured = run("evaluate", "--boxes", "all.json", "--found", "found.json", "--json")
    assert json.loads(measured.stdout)["ap"] == pytest.approx(1)


def dataset(path: str, *names: str, annotations: list[dict] | None = None) -> None:
    images = [{"id": 7 + number, "file_name": name, "width": 640, "height": 480} for number, name in enumerate(names)]
    categories = [{"id": 90, "name": "car"}, {"id": 17, "name": "Dogs"}, {"id": 4, "name": "coach"}]
    document = {"images": images, "annotations": annotations or [], "categories": categories}
    Path(path).write_text(json.dumps(document))


def test_results_can_have_the_numbers_of_another_dataset(here: Path) -> None:
    dataset("val.json", "gone.jpg", "images/square.png")
    result = run("detect", "square.png", *ONCE, "--coco-results", "found.json", "--coco-numbers", "val.json")
    told = json.loads(Path("found.json").read_text())
    assert {(one["image_id"], one["category_id"]) for one in told} == {(8, 17)}
    assert [one["bbox"] for one in told] == [one["box"] for one in records(result)[0]["objects"]]
    assert "not in val.json" not in result.stderr
    options = ("--coco-results", "found.json", "--coco-numbers", "val.json", "--force")
    both = run("detect", "square.png", "disc.png", *ONCE, *options)
    assert json.loads(Path("found.json").read_text()) == told
    assert "1 of 2 pictures are not in val.json" in both.stderr


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--coco-numbers", "val.json"], 2, "--coco-numbers is about --coco-results"),
        (["--coco-results", "all.json", "--coco", "all.json"], 2, "name one file"),
        (["--coco-results", "mine.json"], 1, "mine.json"),
        (["--coco-results", "new.json", "--coco-numbers", "list.json"], 1, "results of COCO, and there is no dataset"),
        (["--coco-results", "new.json", "--coco-numbers", "gone.json"], 1, "Cannot read the boxes gone.json"),
        (["--coco-results", "new.json", "--coco-numbers", "others.json"], 1, "names have to be alike"),
    ],
)
def test_results_that_cannot_be_are_told(options: list[str], code: int, said: str, here: Path) -> None:
    dataset("val.json", "square.png")
    dataset("others.json", "another.png")
    (here / "mine.json").write_text("[1]")
    (here / "list.json").write_text("[]")
    result = run("detect", "square.png", *ONCE, *options)
    assert (result.exit_code, said in result.output) == (code, True), result.output
    assert (here / "mine.json").read_text() == "[1]"
    assert not (here / "new.json").exists()


def test_boxes_of_a_pixel_and_of_odd_pictures_have_masks(here: Path) -> None:
    for number, size in enumerate(((1, 1), (3_000, 2), (2, 900), (64, 64))):
        Image.new("RGB", size, RED).save(here / f"odd{number}.png")
    told = records(run("detect", *here.glob("odd*.png"), *ONCE, "--masks", "--min-score", "0", "--crops", "crops"))
    assert len(told) == 4
    assert all("mask" in one for record in told for one in record["objects"])

"""`cbir units`: the pictures that excite a channel or a class, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cbir
from cbir.backbones.backbone import describe
from cbir.backbones.imagenet import classes as imagenet
from cbir.cli import cli
from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError
from cbir.explain.units import Unit, Units
from cbir.index.open import open_index


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["units", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """Twelve pictures, all 256 × 256."""
    folder = tmp_path_factory.mktemp("units") / "photos"
    folder.mkdir()
    for number in range(12):
        draw_picture(number, (256, 256)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def units(folder: Path) -> Units:
    cbir.index_folder(folder, "photos", model="fake")
    return Units(open_index("photos"), LazyEngine(describe("fake")))


def test_the_first_pictures_have_the_most_of_a_channel(units: Units) -> None:
    features = open_index("photos").features(range(12))
    (found,) = units.exciting([Unit(channel=5)], 4)
    assert [one.row for one in found] == np.argsort(-features[:, 5], kind="stable")[:4].tolist()
    assert [one.value for one in found] == [features[one.row, 5] for one in found]
    (others,) = units.exciting([Unit(channel=5)], 4, without=[found[0].row])
    assert others[:3] == found[1:]


def test_the_first_pictures_are_of_the_class(units: Units) -> None:
    classes = open_index("photos").classes()
    number = int(classes.numbers[3, 0])
    (found,) = units.exciting([Unit(class_=imagenet()[number])], 12)
    values = {one.row: one.value for one in found}
    assert abs(values[3] - float(classes.probabilities[3, 0])) < 1e-6
    assert [one.value for one in found] == sorted(values.values(), reverse=True)


def test_the_place_is_where_the_map_is_highest(units: Units, folder: Path) -> None:
    image = Image.open(folder / "04.png").convert("RGB")
    look = units.look(image)
    box = units.place(Unit(channel=7), look, image.size)
    row, column = np.unravel_index(int(look.vectors[:, 7].argmax()), (7, 7))
    middle = 16 + column * 32 + 16, 16 + row * 32 + 16  # the crop is the inner 224 of 256 pixels
    assert abs(box.x + box.width / 2 - middle[0]) <= 1 or box.x == 0 or box.x + box.width == 256
    assert abs(box.y + box.height / 2 - middle[1]) <= 1 or box.y == 0 or box.y + box.height == 256
    assert box.width <= 96
    assert box.x <= middle[0] <= box.x + box.width


def test_a_picture_excites_what_is_unusual_in_it(units: Units, folder: Path) -> None:
    index = open_index("photos")
    features = index.features(range(12))
    look = units.look(Image.open(folder / "02.png").convert("RGB"))
    found = units.excited_by(look, 5)
    deviation = features.std(axis=0)
    above = (features[2] - features.mean(axis=0)) / np.maximum(deviation, np.median(deviation))
    assert [unit.channel for unit, _ in found] == np.argsort(-above, kind="stable")[:5].tolist()
    assert abs(found[0][1] - above.max()) < 0.05


def test_no_such_channel(units: Units) -> None:
    with pytest.raises(CbirError, match="no channel 4000: features of photos have the channels 0 to 127"):
        units.exciting([Unit(channel=4000)], 3)


def test_the_command(units: Units, folder: Path, tmp_path: Path) -> None:
    made = run(
        *("--channel", 3, "--class", "hamster", "-k", 2, "--json", "--html", tmp_path / "u.html"),
        *("--sheet", tmp_path / "u.png"),
    )
    assert made.exit_code == 0, made.output
    records = json.loads(made.stdout)
    assert records[0]["channel"] == 3
    assert records[1]["class"] == "hamster"
    assert [len(one["box"]) for one in records[0]["pictures"]] == [4, 4]
    assert "channel 3" in (tmp_path / "u.html").read_text()
    assert (tmp_path / "u.png").exists()
    other = run("--picture", folder / "02.png", "--channels", 2, "-k", 3, "--json")
    assert other.exit_code == 0, other.output
    for record in json.loads(other.stdout):
        assert record["above"] > 0
        assert len(record["box"]) == 4
        assert str(folder / "02.png") not in [one["path"] for one in record["pictures"]]
    assert run().exit_code == 2
    assert run("--picture", folder / "02.png", "--channel", 3).exit_code == 2
    (folder / "03.png").rename(tmp_path / "03.png")
    try:
        gone = run("--channel", 3, "-k", 12, "--json")
    finally:
        (tmp_path / "03.png").rename(folder / "03.png")
    assert gone.exit_code == 0
    assert [one["box"] for one in json.loads(gone.stdout)[0]["pictures"] if one["path"].endswith("03.png")] == [None]
    bare = run("--channel", 3, "--no-places", "--format", "table")
    assert "," not in bare.stdout.splitlines()[1].split()[3]

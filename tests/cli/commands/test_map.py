"""`cbir map`: the page and the picture of a whole index."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.index.store import Index
from cbir.map.collection import MapCell, map_index
from cbir.notions.store import keep_notion
from cbir.utils.vectors import l2_normalize
from tests.conftest import DrawPicture
from tests.helpers.feature_index import make_index
from tests.helpers.notions import make_notion

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (30, 50, 200)}
EACH = 12


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """An index of plain pictures in three colours, those of one colour with features alike; its folder is `photos`."""
    random = np.random.default_rng(5)
    features, colours = [], random.permutation([*COLOURS.values()] * EACH)
    (tmp_path / "photos").mkdir()
    centres = dict(zip(COLOURS.values(), np.eye(3, 16), strict=True))
    for row, colour in enumerate(colours.tolist()):
        Image.new("RGB", (90, 60), tuple(colour)).save(tmp_path / "photos" / f"{row}.jpg", quality=95)
        features.append(centres[tuple(colour)] + 0.1 * random.standard_normal(16))
    make_index(tmp_path / "index", l2_normalize(np.array(features, dtype=np.float32)), tmp_path / "photos")
    return tmp_path / "index"


def _map(index: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["map", "--index", str(index), *map(str, arguments)], catch_exceptions=False)


def _nearest_colours(pixels: np.ndarray) -> np.ndarray:
    """Which of COLOURS each pixel is, shape (height, width)."""
    return np.abs(pixels[..., np.newaxis, :].astype(int) - list(COLOURS.values())).sum(axis=-1).argmin(axis=-1)


def test_the_picture_has_like_pictures_side_by_side(coloured: Path, tmp_path: Path) -> None:
    result = _map(coloured, "--png", tmp_path / "out" / "map.png")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'out' / 'map.png'}\n")
    with Image.open(tmp_path / "out" / "map.png") as image:
        cell = 192  # the largest that there is
        columns, rows = image.width // cell, image.height // cell
        assert columns * rows >= 3 * EACH
        pixels = np.asarray(image)[cell // 2 :: cell, cell // 2 :: cell]
    grid = _nearest_colours(pixels)
    grid[pixels.max(axis=-1) < 60] = -1  # no picture
    assert [int((grid == number).sum()) for number in range(3)] == [EACH] * 3
    beside = np.concatenate([(grid[:, 1:] == grid[:, :-1]).ravel(), (grid[1:] == grid[:-1]).ravel()])
    assert beside.mean() > 0.6


def test_the_page_has_all_pictures_with_their_names_and_addresses(coloured: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "7.jpg").unlink()
    result = _map(coloured, "--html", tmp_path / "map.html")
    assert result.exit_code == 0
    assert "1 of 36 pictures could not be read" in result.stderr
    text = (tmp_path / "map.html").read_text()
    addresses = {unquote(address) for address in re.findall(r'href="file://([^"]+)"', text)}
    assert addresses == {str(tmp_path / "photos" / f"{row}.jpg") for row in range(3 * EACH)}
    sources = re.findall(r'<img src="data:image/webp;base64,([^"]+)" alt="([^"]+)"', text)
    assert len(sources) == 3 * EACH - 1
    with Image.open(BytesIO(base64.b64decode(sources[0][0]))) as image:
        assert image.size == (128, 128)
    assert 'aria-label="7.jpg: the file is not there"' in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_notion_says_what_is_alike_and_what_regions_are_called(coloured: Path, tmp_path: Path) -> None:
    index = Index.open(coloured)
    # a notion of the even and the odd rows, whatever their colours
    notion = make_notion(index, np.arange(3 * EACH), np.arange(3 * EACH) % 2)
    strong = replace(notion, weights=notion.weights * 5, classes=("even <b>", "odd"))
    keep_notion(coloured, strong)
    result = _map(coloured, "--learnt", "kinds", "--html", tmp_path / "map.html")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "map.html").read_text()
    names = re.findall(r'alt="(\d+)\.jpg, (even &lt;b&gt;|odd)"', text)
    claimed = strong.claims(strong.scores(index.features(range(index.rows))))
    assert len(names) == claimed.sum() > 2 * EACH
    likely = strong.scores(index.features(range(index.rows))).argmax(axis=1)
    assert all((name == "odd") == likely[int(row)] for row, name in names)
    whole, plain = map_index(index, notion=strong), map_index(index)

    def mixed(cells: list[MapCell]) -> float:
        """How often a picture has one of the other kind on its right."""
        kinds = {(cell.column, cell.line): likely[cell.row] for cell in cells}
        pairs = [
            (kind, kinds[column + 1, line]) for (column, line), kind in kinds.items() if (column + 1, line) in kinds
        ]
        return float(np.mean([one != other for one, other in pairs]))

    assert mixed(whole.cells) < 0.6 * mixed(plain.cells)


def test_both_are_written_here_by_default(coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = _map(coloured)
    assert result.stdout.splitlines() == ["index.map.html", "index.map.png"]
    assert all((tmp_path / name).stat().st_size > 1000 for name in result.stdout.splitlines())


def test_of_a_large_collection_some_pictures_stand_for_all(coloured: Path, tmp_path: Path) -> None:
    assert _map(coloured, "--html", tmp_path / "map.html", "--most", "6").exit_code == 0
    text = (tmp_path / "map.html").read_text()
    stands = [int(number) for number in re.findall(r"stands for (\d+) pictures", text)]
    shown = text.count("<img ")
    assert shown <= 6
    assert f"36 pictures, {shown} of which stand for all" in text
    assert sum(stands) + (shown - len(stands)) == 36


@pytest.mark.parametrize(
    ("options", "expected"), [([], True), (["--words", "folders"], True), (["--words", "none"], False)]
)
def test_regions_are_called_by_their_folders(
    tmp_path: Path, draw_picture: DrawPicture, options: list[str], expected: bool
) -> None:
    folders = ("sea <b>", "hills")
    features = np.repeat(np.eye(2, 8, dtype=np.float32), 12, axis=0) + 0.01 * np.arange(24, dtype=np.float32)[:, None]
    index = make_index(
        tmp_path / "index", l2_normalize(features), tmp_path, lambda row: f"{folders[row // 12]}/{row}.jpg"
    )
    for row in range(24):
        path = index.root / index.record(row).path
        path.parent.mkdir(exist_ok=True)
        draw_picture(row, (60, 40)).save(path)
    assert _map(tmp_path / "index", "--html", tmp_path / "map.html", *options).exit_code == 0
    found = re.findall(r'<li class="word"[^>]*>([^<]*)</li>', (tmp_path / "map.html").read_text())
    assert sorted(found) == (["hills", "sea &lt;b&gt;"] if expected else [])


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--png", "photos/3.jpg"], 2, "picture is a .png"),
        (["--html", "map.txt"], 2, "is an .html file"),
        (["--png", "index/meta.json/map.png"], 1, "Cannot write"),
    ],
)
def test_a_place_that_will_not_do_is_a_clear_error(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "photos" / "3.jpg").read_bytes()
    result = _map(coloured, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in " ".join(result.stderr.split())
    assert (tmp_path / "photos" / "3.jpg").read_bytes() == before


def test_no_picture_is_written_over(tmp_path: Path, draw_picture: DrawPicture) -> None:
    (tmp_path / "photos").mkdir()
    make_index(tmp_path / "index", np.eye(2, dtype=np.float32), tmp_path / "photos")
    draw_picture(1).save(tmp_path / "photos" / "0.jpg")
    (tmp_path / "same.png").hardlink_to(tmp_path / "photos" / "0.jpg")
    before = (tmp_path / "photos" / "0.jpg").read_bytes()
    for force in ([], ["--force"]):
        result = _map(tmp_path / "index", "--png", tmp_path / "same.png", *force)
        assert result.exit_code == 1
        assert ("would be written over" if force else "cbir did not make it") in result.stderr
        assert (tmp_path / "same.png").read_bytes() == before


def test_a_disk_that_is_not_mounted_is_told_and_nothing_written(coloured: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    result = _map(coloured, "--png", tmp_path / "map.png")
    assert result.exit_code == 1
    assert "None of the pictures could be read" in result.stderr
    assert "mounted" in result.stderr
    assert not (tmp_path / "map.png").exists()


def test_a_map_is_the_same_again(coloured: Path, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        assert _map(coloured, "--html", tmp_path / name).exit_code == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()

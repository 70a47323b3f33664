"""A closer look: pages, chats and the like are told apart, their copies are not; and what cannot be read again."""

from __future__ import annotations

import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageDraw, ImageOps

from benchmarks.pages import COPIES, KINDS, page
from cbir.cli import cli
from cbir.duplicates.closer import SIDE, Look, agreement
from cbir.duplicates.find import find_duplicates
from cbir.index.store import Index
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target

PLAIN = np.array([0, 1, 0, 0, 0, 1], dtype=np.float32)
MIRRORED = np.array([0, -1, 0, 0, 0, 1], dtype=np.float32)


def look(image: Image.Image) -> Look:
    return Look.of(image)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize("kind", KINDS)
def test_pages_of_one_kind_are_different_and_copies_the_same(kind: str) -> None:
    pages = [page(kind, seed) for seed in range(3)]
    for one, other in combinations(pages, 2):
        # as they are, and where an alignment that follows their layout might lay them
        for map_ in (PLAIN, PLAIN + np.float32(0.01)):
            assert agreement(look(one), look(other), map_) == 0
    for name, change in COPIES.items():
        inner = 0.96 if name == "edges cut off" else 1
        map_ = PLAIN * np.float32(inner)  # from a place in the copy to that in the page
        found = agreement(look(change(pages[0])), look(pages[0]), map_)
        assert found is not None, name
        assert found >= 0.5, name


def test_an_alignment_that_is_nearly_right_is_made_exact() -> None:
    original = page("book", 5)
    mirrored = look(ImageOps.mirror(original))
    turned = original.rotate(1, Image.Resampling.BICUBIC, fillcolor=(250, 250, 248))
    for picture, map_ in ((mirrored, MIRRORED), (look(turned), PLAIN), (look(original), PLAIN)):
        moved = map_ + np.array([0.02, 0.01, -0.01, 0.015, 0.01, 0.01], dtype=np.float32)
        found = agreement(look(original), picture, moved)
        assert found is not None
        assert found >= 0.5
    # a sticker and a word over it hide some of it, and change nothing else
    marked = original.copy()
    ImageDraw.Draw(marked).ellipse((400, 500, 560, 660), (255, 220, 0))
    assert (agreement(look(marked), look(original), PLAIN) or 0) > 0.5


@pytest.mark.parametrize("size", [(1, 1), (300, 2), (2, 300), (15, 15), (256, 16), (40, 40)])
def test_what_is_too_small_or_empty_is_not_judged(size: tuple[int, int]) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    for image in (noise, Image.new("RGB", size, (255, 255, 255)), Image.new("RGB", size)):
        assert agreement(look(image), look(image), PLAIN) is None or size >= (40, 40)
    for map_ in (np.zeros(6, dtype=np.float32), np.full(6, np.nan, dtype=np.float32)):
        assert agreement(look(page("book", 1)), look(page("book", 1)), map_) is None
    blank = look(Image.new("RGB", (800, 600), (255, 255, 255)))
    assert agreement(blank, blank, PLAIN) is None


def test_a_look_is_of_its_side_at_the_most() -> None:
    assert look(Image.new("RGB", (1000, 500))).image.size == (SIDE, SIDE // 2)
    assert look(Image.new("RGB", (100, 50))).image.size == (100, 50)
    assert look(Image.new("RGB", (5000, 1))).image.size == (SIDE, 1)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Letters, chats and screens, four of each, and two copies of one of each."""
    root = tmp_path_factory.mktemp("pages")
    for kind in ("letter", "chat", "screen", "identity"):
        for seed in range(4):
            page(kind, seed).save(root / f"{kind}_{seed}.png")
        for name, change in (("saved", "JPEG quality 40"), ("smaller", "70 % of the size")):
            COPIES[change](page(kind, 0)).save(root / f"{kind}_0_{name}.jpg", quality=90)
    return root


def test_pages_of_an_index(drawn: Path, tmp_path: Path) -> None:
    root = tmp_path / "pages"
    shutil.copytree(drawn, root)
    build_index(choose_target(root, "pages"), Options())
    told = run("duplicates", "--index", "pages", "--format", "json")
    groups = {tuple(sorted(Path(one["path"]).name for one in group["members"])) for group in json.loads(told.stdout)}
    kinds = ("letter", "chat", "screen", "identity")
    assert groups == {(f"{kind}_0.png", f"{kind}_0_saved.jpg", f"{kind}_0_smaller.jpg") for kind in kinds}
    assert "could not be read" not in told.stderr
    # without the closer look they are told by their layout
    quick = json.loads(run("duplicates", "--index", "pages", "--format", "json", "--quick").stdout)
    assert max(len(group["members"]) for group in quick) > 3
    assert quick[0].keys() == json.loads(told.stdout)[0].keys()
    # what cannot be read any more is told by its thumbnail, and that it is
    for path in root.glob("letter*"):
        path.write_bytes(b"something else")
    some = run("duplicates", "--index", "pages", "--format", "json")
    assert some.exit_code == 0
    assert not [one for one in json.loads(some.stdout) if "letter" in one["members"][0]["path"]]
    root.rename(tmp_path / "away")
    gone = run("duplicates", "--index", "pages", "--format", "json")
    assert gone.exit_code == 0
    assert json.loads(gone.stdout) == quick
    pictures = sum(len(group["members"]) for group in quick)
    assert f"{pictures} pictures could not be read for a closer look" in gone.stderr


def test_copies_do_not_take_the_places_of_others(tmp_path: Path, drawn: Path) -> None:
    """Thirty copies of each of two versions are one group, and so are forty versions."""
    photo = page("streets", 1).resize((300, 300))
    root = tmp_path / "copies"
    root.mkdir()
    photo.save(root / "a0.png")
    photo.resize((220, 220)).save(root / "b0.jpg", quality=80)
    for number in range(1, 30):
        shutil.copy(root / "a0.png", root / f"a{number}.png")
        shutil.copy(root / "b0.jpg", root / f"b{number}.jpg")
    other = page("comic", 1).resize((300, 126))
    for number in range(40):
        other.resize((300 - number % 5, 126 - number % 3)).save(root / f"v{number}.jpg", quality=60 + number)
    build_index(choose_target(root, "copies"), Options())
    from cbir.index.home import index_directory

    found = find_duplicates(Index.open(index_directory("copies")))
    assert [len(group.members) for group in found.groups] == [60, 40]

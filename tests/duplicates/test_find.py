"""Duplicates: which pictures are found to be the same one, which of them is kept, and what is told of them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageEnhance, ImageOps

from cbir.cli import cli
from cbir.duplicates.align import align, moved, plain, prepared, starts
from cbir.duplicates.find import find_duplicates
from cbir.duplicates.groups import connected, grouped
from cbir.duplicates.pairs import least_cosine, raised, score
from cbir.images.fingerprint import Fingerprint
from cbir.images.fitted import Fitted
from cbir.images.read import open_image
from cbir.index.columns.thumbnails import THUMBNAILS, are_known
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing import makers
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target

Draw = Callable[..., Image.Image]

VARIANTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "cropped": lambda image: image.crop((16, 12, image.width - 16, image.height - 12)),
    "mirrored": ImageOps.mirror,
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "rotated": lambda image: image.rotate(4, Image.Resampling.BICUBIC).crop((16, 12, 304, 228)),
}


def grey(image: Image.Image) -> np.ndarray:
    return Fingerprint().make(image, (0, 0, *image.size), image.size)["grey"]


def alike(first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
    """The scores of pairs whose features would be as alike as can be, 0 where nothing promises to come of one."""
    both = prepared(np.stack([*first, *second]))
    one, other = np.arange(len(first)), np.arange(len(first)) + len(first)
    start, promise = starts(plain(both)[one], moved(both, other))
    found = align(both, one, other, start)
    return np.where(promise >= 0.7, score(np.float32(0.9), found.correlation, found.detail), 0)


def test_a_variant_lies_over_its_original_and_another_picture_does_not(draw_picture: Draw) -> None:
    pictures = [draw_picture(seed, (320, 240)) for seed in range(8)]
    originals = [grey(picture) for picture in pictures]
    for name, change in VARIANTS.items():
        changed = [grey(change(picture)) for picture in pictures]
        # drawn pictures are smoother than photos: of one or two the turned edges decide
        assert (alike(originals, changed) > 0.8).mean() >= 0.75, name
        assert (alike(changed, originals) > 0.8).mean() >= 0.75, name
        assert (alike(originals, changed[1:] + changed[:1]) < 0.1).all(), name


def test_empty_pictures_are_no_duplicates_of_each_other() -> None:
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 0.8, 32 * 32).reshape(32, 32)
    for level in (0, 250):
        blank = [
            np.clip(level + random.normal(0, 0.5, (32, 32)) + ramp, 0, 255).round().astype(np.uint8) for _ in range(20)
        ]
        assert (alike(blank, blank[1:] + blank[:1]) < 0.5).all()
        assert (alike(blank, blank) < 0.5).all()


def test_a_thumbnail_is_the_whole_upright_picture_and_knows_its_size(tmp_path: Path, draw_picture: Draw) -> None:
    from cbir.backbones.backbone import describe
    from cbir.images.budget import Budget
    from cbir.images.isolated import Decoders
    from cbir.images.pipe import Wanted
    from cbir.images.read import read_views

    picture = draw_picture(1, (1101, 620))
    picture.paste(
        (255, 255, 255), mask=Image.linear_gradient("L").resize(picture.size).point(lambda x: 255 * (x % 9 < 4))
    )
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    preprocessing = describe("efficientnet_lite0").preprocessing
    data = (tmp_path / "a.jpg").read_bytes()
    views = (Fitted(preprocessing), Fingerprint())
    found = read_views(data, views, name="a")
    grey = found.arrays["fingerprint"]["grey"]
    upright = open_image(data)
    assert found.size == upright.size == (620, 1101)
    exact = np.asarray(upright.convert("L").resize((32, 32), Image.Resampling.BOX)).astype(int)
    assert np.abs(grey.astype(int) - exact).mean() < 4
    decoders = Decoders(1, Budget(1 << 30))
    try:
        through_a_pipe = decoders.view(data, "a", Wanted(views))
    finally:
        decoders.close()
    assert through_a_pipe.size == (620, 1101)
    assert np.array_equal(through_a_pipe.arrays["fingerprint"]["grey"], grey)


class Table:
    """What is near by thumbnails, what else would be found to be, and what a closer look takes back."""

    def __init__(self, found: dict[tuple[int, int], float], beyond: Iterable[tuple[int, int]] = ()) -> None:
        self.near: dict[int, dict[int, float]] = defaultdict(dict)
        self.unlike: set[tuple[int, int]] = set()
        self.beyond = set(beyond)
        self.looks = 0
        for (one, other), near in found.items():
            self.near[one][other] = self.near[other][one] = near

    def compare(self, pairs: Collection[tuple[int, int]]) -> None:
        for pair in pairs:
            one, other = min(pair), max(pair)
            if (one, other) in self.beyond:
                self.near[one][other] = self.near[other][one] = 0.96

    def same(self, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], float]:
        self.compare(pairs)
        self.looks += len(pairs)
        return {
            (one, other): self.near[one][other]
            for one, other in pairs
            if other in self.near[one] and (min(one, other), max(one, other)) not in self.unlike
        }


def test_a_group_does_not_chain() -> None:
    merit = {row: -row for row in range(10)}
    chain = Table({(row, row + 1): 0.97 for row in range(5)})
    assert [sorted(group) for group in grouped(chain, range(6), merit)] == [[0, 1], [2, 3], [4, 5]]
    # not near to the kept one, but to more than half of the group
    near = Table({(0, 1): 0.99, (0, 2): 0.98, (1, 3): 0.96, (2, 3): 0.97})
    (group,) = grouped(near, range(4), merit)
    assert list(group) == [0, 1, 2, 3]
    assert group[3] == pytest.approx(0.97)
    assert next(iter(grouped(near, range(4), {0: 0, 1: 1, 2: 2, 3: 9})[0])) == 3
    assert list(connected(Table({(0, 4): 1.0, (4, 2): 1.0, (1, 3): 1.0}).near)) == [[0, 4, 2], [1, 3]]


def test_a_group_is_closed_however_few_nearest_are_known() -> None:
    every = [(one, other) for one in range(200) for other in range(one)]
    known = {(other, one): 0.97 for one, other in every if one - other <= 3}
    table = Table(known, [(other, one) for one, other in every])
    (group,) = grouped(table, range(200), {row: -row for row in range(200)})
    assert len(group) == 200
    assert table.looks < 1000
    # what a closer look tells apart does not come in, nor bring its own in
    table = Table(known, [(other, one) for one, other in every])
    table.unlike = {(other, one) for one, other in every if (one >= 100) != (other >= 100)}
    groups = grouped(table, range(200), {row: -row for row in range(200)})
    assert [sorted(group) for group in groups] == [list(range(100)), list(range(100, 200))]


def test_the_least_cosine_is_where_nothing_can_reach_the_score() -> None:
    for least in (0.5, 0.95, 0.999):
        cosine = np.float32(least_cosine(least))
        one = np.ones(1, dtype=np.float32)
        assert score(cosine + 1e-3, one, one) > least > score(cosine - 1e-3, one, one)
    assert least_cosine(1) > 1
    assert raised(0.5, 0) == 0.5
    assert raised(raised(0.95, -4), 4) == pytest.approx(0.95)
    lower, higher = score(np.array([0.8, 0.9], dtype=np.float32), one, np.float32(0.9) * one).tolist()
    assert raised(lower, 2.1) == pytest.approx(higher, abs=1e-4)
    assert raised(1, -4) == 1
    assert least_cosine(0) == -1


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture
def collection(photo_folder: Callable[..., Path], draw_picture: Draw) -> Path:
    """Six pictures; of the first a copy, a mirrored and a small one, of the second a brighter one; an index of them."""
    root = photo_folder(6, size=(320, 240))
    first, second = draw_picture(0, (320, 240)), draw_picture(1, (320, 240))
    shutil.copy2(root / "img_000.jpg", root / "copy.jpg")
    os.utime(root / "img_000.jpg", ns=(10**18, 10**18))  # older than its copy
    VARIANTS["mirrored"](first).save(root / "mirrored.jpg", quality=80)
    VARIANTS["half"](first).save(root / "small.jpg", quality=90)
    VARIANTS["brighter"](second).save(root / "brighter.jpg", quality=99)
    os.link(root / "img_004.jpg", root / "hard.jpg")
    (root / "soft.jpg").symlink_to(root / "img_005.jpg")
    build_index(choose_target(root, "photos"), Options())
    return root


def test_duplicates_of_an_index(collection: Path) -> None:
    groups = json.loads(run("duplicates", "--format", "json").stdout)
    found = [[(Path(one["path"]).name, one["keep"], one["exact"]) for one in group["members"]] for group in groups]
    assert found[0][0] == ("img_000.jpg", True, True)
    assert found[0][1] == ("copy.jpg", False, True)
    assert sorted(found[0][2:]) == [("mirrored.jpg", False, False), ("small.jpg", False, False)]
    # of as many pixels, the larger file
    assert found[1] == [("brighter.jpg", True, True), ("img_001.jpg", False, False)]
    assert len(found) == 2
    sizes = {Path(one["path"]).name: (one["width"], one["height"]) for group in groups for one in group["members"]}
    assert sizes["img_000.jpg"] == (320, 240)
    assert sizes["small.jpg"] == (160, 120)
    assert all(0.95 <= one["score"] <= 1 for group in groups for one in group["members"])
    assert groups[0]["bytes"] == sum(one["bytes"] for one in groups[0]["members"][1:])
    # what could go, and nothing that is kept
    result = run("duplicates", "-0")
    paths = result.stdout.split("\0")
    assert sorted(Path(path).name for path in paths if path) == ["copy.jpg", "img_001.jpg", "mirrored.jpg", "small.jpg"]
    assert "2 groups" in result.stderr
    table = run("duplicates", "--format", "table").stdout.splitlines()
    assert len(table) == 7
    assert table[1].split()[:2] == ["1", "keep"]
    lines = run("duplicates", "--format", "csv").stdout.splitlines()
    assert lines[0] == "group,keep,score,exact,width,height,bytes,mtime,path"
    assert len(lines) == 7
    assert (
        run("duplicates", "--min-score", "1", "--format", "json").stdout
        == run("duplicates", "--exact", "--format", "json").stdout
    )


def test_duplicates_on_a_sheet_and_a_page(collection: Path, tmp_path: Path) -> None:
    sheet, page = tmp_path / "out" / "sheet.png", tmp_path / "out" / "page.html"
    result = run("duplicates", "--sheet", str(sheet), "--html", str(page), "--format", "paths")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 4
    text = page.read_text()
    assert text.count("<img ") == 6
    # the one to keep leads its group
    names = re.findall(r'href="file://[^"]*/([^"/]+)"', text)
    assert [names[place] for place in (0, 1, 4, 5)] == ["img_000.jpg", "copy.jpg", "brighter.jpg", "img_001.jpg"]
    assert "2 groups in 12 pictures" in text
    assert "exact" in text
    with Image.open(sheet) as few:
        height = few.height
    # none of the pictures is written over
    before = (collection / "img_000.jpg").read_bytes()
    result = run("duplicates", "--sheet", str(collection / "img_000.jpg"))
    assert result.exit_code == 1
    assert "cbir did not make it" in result.stderr
    assert (collection / "img_000.jpg").read_bytes() == before
    # of none there is a page, too, which says so
    for name in ("copy", "mirrored", "small", "brighter"):
        (collection / f"{name}.jpg").unlink()
    result = run("duplicates", "--sheet", str(sheet), "--html", str(page))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "There are none in photos." in page.read_text()
    with Image.open(sheet) as none:
        assert none.height < height


def test_exact_duplicates_need_no_features(collection: Path) -> None:
    directory = Path(os.environ["CBIR_HOME"]) / "photos"
    (features,) = directory.glob("features-*")
    data = features.read_bytes()
    features.write_bytes(data[:100])
    result = run("duplicates", "--exact", "--format", "jsonl")
    (group,) = map(json.loads, result.stdout.splitlines())
    assert [Path(one["path"]).name for one in group["members"]] == ["img_000.jpg", "copy.jpg"]
    assert result.exit_code == 0
    # without the option the same, but told of, and no success
    result = run("duplicates", "--format", "jsonl")
    assert json.loads(result.stdout) == group
    assert result.exit_code == 1
    assert "--repair" in result.stderr
    # a link is no duplicate, and neither is what is not there or has changed any more
    (collection / "copy.jpg").write_bytes(b"something else")
    result = run("duplicates", "--exact")
    assert result.stdout == ""
    assert "no files of the same content" in result.stderr
    assert "1 pictures that are gone or have changed" in result.stderr
    # of a disk that is not there, the index tells all the same
    collection.rename(collection.parent / "away")
    assert len(run("duplicates", "--exact", "--format", "paths").stdout.splitlines()) == 3


def test_an_older_index_gets_thumbnails_without_the_network(
    photo_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(makers._MAKERS, "thumbnails")
        build_index(choose_target(root, "photos"), Options())
    directory = Path(os.environ["CBIR_HOME"]) / "photos"
    assert find_duplicates(Index.open(directory)).without_thumbnails == 3
    assert "3 pictures have no thumbnail yet" in run("duplicates").stderr
    before = Index.open(directory).meta.blocks
    (root / "img_002.jpg").write_bytes((root / "img_002.jpg").read_bytes()[:-1])  # changed, and read as ever
    monkeypatch.setattr("cbir.engines.openvino_engine.OpenVINOEngine.__init__", lambda *_: pytest.fail("a network"))
    os.utime(root / "img_002.jpg", ns=(1, 1))
    (root / "img_002.jpg").unlink()
    report, _ = build_index(choose_target(root, "photos"), Options())
    assert (report.unchanged, report.removed, dict(report.backfilled)) == (2, 1, {"thumbnails": 2})
    index = Index.open(directory)
    assert [block.features for block in index.meta.blocks] == [block.features for block in before]
    assert are_known(index.stored(THUMBNAILS, np.flatnonzero(index.valid))).all()
    assert not index.missing(THUMBNAILS)[index.valid].any()
    assert find_problems(index, verify=True) == []
    # damage of them harms nothing else, and they are made again
    (path,) = directory.glob("thumbnails-*")
    path.write_bytes(path.read_bytes()[:-1])
    assert len(Index.open(directory).features([0])) == 1
    assert run("info", "-i", "photos").exit_code == 1
    report, _ = build_index(choose_target(root, "photos"), Options())
    assert report.backfilled["thumbnails"] == 2
    assert find_problems(Index.open(directory), verify=True) == []

"""Windows of pictures, what is kept of them, and queries by a region of a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.cli import cli
from cbir.cli.render.search_report import SearchReports
from cbir.engines.select import open_engine
from cbir.errors import RegionError
from cbir.images.regions import Region, RegionOption, of_label
from cbir.index.ann import sieve
from cbir.index.ann.codes import SCALE, differing, quantised, signs
from cbir.index.columns.parts import MOST, PARTS, SIGNS, PartRows, pack
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.parts.reader import Means, PartReader
from cbir.parts.whitening import Learner, Whitening, general
from cbir.parts.windows import MOST_ROWS, grid
from cbir.search.by_parts import find_parts
from cbir.search.queries import CombinedQuery, Query
from cbir.search.searcher import Searcher
from cbir.utils.vectors import l2_normalize
from tests.helpers.feature_index import make_index


@pytest.fixture(scope="module")
def reader(bundled: Backbone) -> PartReader:
    return PartReader(bundled)


@pytest.mark.parametrize("size", [(1, 1), (300, 300), (481, 321), (321, 481), (640, 200), (3000, 40), (2, 900)])
def test_windows_cover_the_picture_and_are_few(size: tuple[int, int]) -> None:
    windows = grid(*size)
    boxes = windows.boxes()
    assert len(boxes) == len(windows) <= MOST_ROWS
    assert boxes[0].tolist() == [0, 0, *size]
    covered = np.zeros((size[1], size[0]), dtype=bool)
    for x, y, width, height in boxes[1:].tolist():
        assert width >= 1
        assert height >= 1
        assert x + width <= size[0]
        assert y + height <= size[1]
        covered[y : y + height, x : x + width] = True
    assert covered.all() or max(size) > 20 * min(size)


def test_photos_have_windows_of_a_third_that_half_overlap() -> None:
    windows = grid(480, 360)
    assert windows.side == 120
    assert windows.down.tolist() == [0, 60, 120, 180, 240]
    assert windows.across.tolist() == [0, 60, 120, 180, 240, 300, 360]


def test_means_of_windows_are_those_of_the_pixels_below_them() -> None:
    windows = grid(80, 60)
    map_ = np.random.default_rng(0).random((3, 12, 16)).astype(np.float32)  # a cell is 5 pixels
    pixels = map_.repeat(5, axis=1).repeat(5, axis=2)
    found = windows.means(map_)
    for (x, y, width, height), mean in zip(windows.boxes().tolist(), found, strict=True):
        assert mean == pytest.approx(pixels[:, y : y + height, x : x + width].mean(axis=(1, 2)), abs=1e-5)


def test_place_maps_are_the_last_map_and_a_finer_stage(bundled: Backbone, draw_picture: Callable) -> None:
    reference, runs = (open_engine(bundled, engine=engine) for engine in ("torch", "openvino"))
    pixels = np.asarray(draw_picture(3, (128, 96)))[np.newaxis]
    coarse, fine = reference.place_maps(pixels)
    assert (coarse.shape, fine.shape) == ((1, 1280, 3, 4), (1, 112, 6, 8))
    assert (coarse == reference.last_map(pixels)).all()
    assert (fine == reference.stages(pixels)[3]).all()
    for found, known in zip(runs.place_maps(pixels), (coarse, fine), strict=True):
        # in bfloat16 they may be so far off (see `LEAST_COSINE_OF_MAPS`)
        assert l2_normalize(found.reshape(1, -1)) @ l2_normalize(known.reshape(1, -1)).T == pytest.approx(1, abs=0.02)


def mosaic(seed: int, size: tuple[int, int] = (80, 60)) -> Image.Image:
    """Coloured tiles, which no drawn picture is like."""
    tiles = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(tiles).resize(size, Image.Resampling.NEAREST)


def index_of_parts(directory: Path, parts: list[PartRows]) -> Index:
    """An index of a picture each, which has these windows."""
    index = make_index(directory, np.random.default_rng(0).random((len(parts), 16)))
    writer = Writer(directory, index.meta)
    for row, one in enumerate(parts):
        for column, records in zip((PARTS, SIGNS), pack(one), strict=True):
            writer.backfill(column, [row], records)
    writer.commit()
    return Index.open(directory)


def test_a_part_is_found_among_the_windows_of_pictures(
    reader: PartReader, draw_picture: Callable, tmp_path: Path
) -> None:
    whitening = general(reader.backbone)
    assert whitening is not None
    pictures = [draw_picture(seed, (240, 180)) for seed in range(6)]
    pictures[4].paste(mosaic(1), (140, 30))
    parts = []
    for picture in pictures:
        windows, means = reader.parts(picture)
        numbers = quantised(whitening.rows(means))
        parts.append(PartRows(windows.boxes(), numbers, signs(numbers)))
    query = whitening.rows(reader.region(pictures[4], Region((140, 30, 80, 60))))[0]
    found = find_parts(index_of_parts(tmp_path / "index", parts), query, 3, [])
    assert found.rows[0] == 4
    x, y, width, height = found.boxes[0]
    assert [x, y, width, height] in parts[4].boxes.tolist()
    assert 140 <= x + width / 2 <= 220
    assert 30 <= y + height / 2 <= 90
    assert len(set(found.rows.tolist())) == len(found.scores) == 3
    assert (np.diff(found.scores) <= 0).all()


def test_the_candidates_of_signs_hold_the_best_windows_and_those_of_gone_pictures_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(4)
    rows = l2_normalize(random.normal(size=(100 * MOST, 200)).astype(np.float32))
    best, second = 30 * MOST + 34, MOST + 37
    query = l2_normalize(rows[best] + 0.6 * rows[second] + 0.01)
    kept = quantised(rows)
    apart = differing(signs(query[np.newaxis])[0], signs(kept))
    assert apart.tolist() == ((query > 0) != (kept > 0)).sum(axis=1).tolist()
    monkeypatch.setattr(sieve, "candidate_count", lambda total: 50)
    monkeypatch.setattr(sieve, "CANDIDATES", 50)
    boxes = np.tile(np.array([0, 0, 10, 10], dtype=np.int32), (MOST, 1))
    whose = kept.reshape(100, MOST, 200)
    index = index_of_parts(tmp_path / "index", [PartRows(boxes, one, signs(one)) for one in whose])
    found = find_parts(index, query, 2, [])
    assert found.rows.tolist() == [30, 1]
    assert found.scores == pytest.approx(rows[[best, second]] @ query, abs=0.01)
    assert find_parts(index, query, 1, [30]).rows.tolist() == [1]
    writer = Writer(index.directory, index.meta)
    writer.invalidate([30])
    writer.commit()
    assert find_parts(Index.open(index.directory), query, 1, []).rows.tolist() == [1]
    assert not len(find_parts(make_index(tmp_path / "none", np.ones((2, 16))), query, 2, []).rows)


def test_quantising_hardly_changes_scores() -> None:
    rows = l2_normalize(np.random.default_rng(1).normal(size=(40, 880)).astype(np.float32))
    assert quantised(rows) / SCALE @ rows.T == pytest.approx(rows @ rows.T, abs=0.01)


def test_whitening_makes_windows_alike_in_every_direction_and_can_be_kept() -> None:
    random = np.random.default_rng(2)
    means = Means(
        (random.normal(size=(3000, 12)) * np.arange(1, 13) + 5).astype(np.float32),
        random.normal(size=(3000, 6)).astype(np.float32),
    )
    learner = Learner()
    for row in range(3000):
        learner.add(Means(means.coarse[row : row + 1], means.fine[row : row + 1]))
    whitening = learner.learn()
    assert whitening.dimension == 18
    rows = whitening.rows(means)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3000), abs=1e-5)
    spread = rows.std(axis=0)
    assert spread[:12].max() < 1.1 * spread[:12].min()
    assert (spread[:12] ** 2).sum() == pytest.approx((spread[12:] ** 2).sum() / 0.8**2, rel=0.01)
    again = Whitening.from_bytes(whitening.to_bytes())
    assert again.to_bytes() == whitening.to_bytes()
    assert again.rows(means) == pytest.approx(rows, abs=0.01)
    for damaged in (b"", whitening.to_bytes()[:-30], b"PK\x03\x04 and nothing"):
        with pytest.raises(ValueError, match="no file of arrays"):
            Whitening.from_bytes(damaged)
    with pytest.raises(ValueError, match="shapes"):
        Whitening.from_arrays({**whitening.arrays(), "fine_variances": np.ones(5, dtype=np.float32)})


def test_a_few_pictures_change_what_is_known_little_and_many_replace_it() -> None:
    random = np.random.default_rng(5)

    def learnt(scales: np.ndarray, pictures: int, prior: Whitening | None = None) -> Whitening:
        learner = Learner()
        for _ in range(pictures):
            rows = (random.normal(size=(20, 8)) * scales).astype(np.float32)
            learner.add(Means(rows, rows[:, :4]))
        return learner.learn(prior)

    known, other = np.arange(1.0, 9), np.arange(8.0, 0, -1)
    prior = learnt(known, 800)
    assert (np.abs(prior.coarse_directions).argmax(axis=0) == np.arange(8)[::-1]).all()
    few, many = (learnt(other, pictures, prior) for pictures in (10, 5000))
    assert np.abs(few.coarse_directions).argmax(axis=0)[0] == 7
    assert np.abs(many.coarse_directions).argmax(axis=0)[0] == 0
    # of one picture's three windows, and no more, there are variances for all directions
    one = Learner()
    one.add(Means(*(random.normal(size=(3, 50)).astype(np.float32) for _ in range(2))))
    alone = one.learn()
    assert alone.dimension == 100
    assert alone.coarse_variances.max() < 1000 * alone.coarse_variances.min()


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("10,20,30,40", (10, 20, 30, 40)),
        ("25%,25%,50%,50%", (50, 25, 100, 50)),
        ("25,25,50,50%", (50, 25, 100, 50)),
        ("0%,10,50%,90", (0, 10, 100, 90)),
        ("199.7,0,0.3,1", (199, 0, 1, 1)),
    ],
)
def test_regions_in_pixels_and_percent(text: str, box: tuple[int, ...]) -> None:
    assert RegionOption.parse(text).of(Image.new("RGB", (200, 100)), "x").box == box


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "1,2,0,4", "-1,2,3,4", "1,2,3,nan", "1,2,3,4,5"])
def test_what_is_no_region(text: str) -> None:
    with pytest.raises(ValueError, match="region"):
        RegionOption.parse(text)


@pytest.mark.parametrize("text", ["150,0,60,10", "0,0,200,102", "60%,0%,50%,10%"])
def test_a_region_outside_the_picture(text: str) -> None:
    with pytest.raises(RegionError, match="200 x 100"):
        RegionOption.parse(text).of(Image.new("RGB", (200, 100)), "x")


def test_a_segment_is_its_box_and_mask() -> None:
    labels = np.zeros((6, 8), dtype=np.uint8)
    labels[2:4, 3:7] = 1
    labels[3, 3] = 0
    region = of_label(labels, 1, "x")
    assert region.box == (3, 2, 4, 2)
    assert region.mask is not None
    assert region.mask.tolist() == [[True] * 4, [False, True, True, True]]
    assert region.cover(1, 2).tolist() == [[0.75, 1.0]]
    with pytest.raises(RegionError, match="no segment 2: it has 0 to 1"):
        of_label(labels, 2, "x")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_search_by_a_region_finds_what_it_shows(photo_folder: Callable, tmp_path: Path, draw_picture: Callable) -> None:
    folder = photo_folder(6)
    mosaic(1, (160, 120)).save(folder / "mosaic.png")
    both = draw_picture(2, (320, 120))
    both.paste(mosaic(1, (160, 120)), (160, 0))
    query = folder / "both.png"
    both.save(query)
    assert run("index", folder, "--model", "efficientnet_lite0", "-q").exit_code == 0
    found = {}
    for region in ("0,0,160,120", "50%,0%,50%,100%"):
        record = json.loads(run("search", query, "--region", region, "--no-rerank", "--format", "json").stdout)
        assert record["region"] == region
        found[region] = [Path(match["path"]).name for match in record["matches"]]
        assert "both.png" not in found[region]
    assert found["50%,0%,50%,100%"][0] == "mosaic.png" == found["0,0,160,120"][-1]
    by_segment = run("search", query, "--segment", 0, "--format", "json")
    assert json.loads(by_segment.stdout)["segment"] == 0


def test_wrong_regions_are_told(photo_folder: Callable) -> None:
    folder = photo_folder(3)
    assert run("index", folder, "--model", "efficientnet_lite0", "-q").exit_code == 0
    query = folder / "img_000.jpg"
    outside = run("search", query, "--region", "100,0,100,100")
    assert outside.exit_code == 1
    assert "is not within" in outside.stderr
    empty = run("search", query, "--segment", 200)
    assert empty.exit_code == 1
    assert "has no segment 200" in empty.stderr
    assert run("search", query, "--region", "1,2,3").exit_code == 2
    assert "give one of them" in run("search", query, "--region", "1,2,3,4", "--segment", 1).stderr
    assert run("search", "--word", "dog", "--region", "1,2,3,4").exit_code == 2


def test_a_region_is_drawn_on_the_querys_card(photo_folder: Callable, tmp_path: Path) -> None:
    folder = photo_folder(4)
    assert run("index", folder, "--model", "efficientnet_lite0", "-q").exit_code == 0
    searcher = Searcher(open_index())
    region = RegionOption.parse("25%,0%,50%,50%")
    part = Query(folder / "img_000.jpg", "a part", region=region)
    both = CombinedQuery((Query.from_path(folder / "img_001.jpg"), part))
    reports = SearchReports([searcher], tmp_path / "sheet.png", None)
    results = list(reports.watch(searcher.search([part, both])))
    box = region.of(Image.open(folder / "img_000.jpg"), "").box
    assert [result.boxes for result in results] == [(box,), (None, box)]
    assert [[card.boxes for card in group.leads] for group in reports._groups] == [[(box,)], [(), (box,)]]
    assert reports.write() == [tmp_path / "sheet.png"]
    refused = run("search", "--query-index", searcher.index.directory, "--region", "1,2,3,4")
    assert refused.exit_code == 2
    assert "pictures that are named" in refused.stderr

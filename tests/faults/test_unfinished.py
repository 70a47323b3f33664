"""Iterators that are not read to their end: closed, forgotten, left open, or ended by an error."""

from __future__ import annotations

import faulthandler
import gc
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cbir.engines.select
from cbir.backbones.backbone import Backbone
from cbir.engines.lazy import LazyEngine
from cbir.engines.select import open_engine
from cbir.errors import CbirError
from cbir.extract.extractor import Extractor
from cbir.extract.records import Item
from cbir.index.open import open_index
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.parts.maker import PartMaker
from cbir.parts.whitening import general
from cbir.search.searcher import Searcher
from cbir.utils import stopping
from cbir.utils.vectors import l2_normalize
from tests.helpers.waiting import wait_for

#: Pictures that an engine for many expects; those of a run, more than any engine here takes at a time.
MANY, PICTURES = 100, 20


@pytest.fixture(autouse=True)
def guard() -> Iterator[None]:
    """End the process, and tell where all threads are, where a test waits for ever."""
    faulthandler.dump_traceback_later(300, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="module")
def pictures(draw_picture: Callable[..., Image.Image]) -> list[bytes]:
    """Contents of pictures, each another."""
    return [jpeg(draw_picture(seed, (60, 40))) for seed in range(PICTURES)]


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def begin(run: Callable[[], Any], times: int) -> list[Any]:
    """Begin runs, and read one result of each: some are closed, some forgotten, the others returned."""
    left = []
    for number in range(3 * times):
        one = run()
        next(one)
        if number % 3 == 0:
            one.close()
        elif number % 3 == 1:
            circle = [one]
            circle.append(circle)  # type: ignore[arg-type]
            del one, circle
            gc.collect()
        else:
            left.append(one)
    return left


ENGINES = pytest.mark.parametrize(("engine", "count"), [("openvino", 1), ("openvino", MANY), ("torch", MANY)])


@ENGINES
def test_an_extractor_works_on_after_runs_that_were_begun(
    bundled: Backbone, pictures: list[bytes], engine: str, count: int
) -> None:
    extractor = Extractor(bundled, engine=engine, expected=count)
    expected = [extractor.feature(data) for data in pictures]
    left = begin(lambda: extractor.run(enumerate(pictures)), extractor.engine.depth)
    found = [l2_normalize(result.feature) for result in extractor.run(enumerate(pictures))]
    assert np.allclose(found, expected, atol=0.01)
    for run in left:  # goes on where it was
        rest = list(run)
        assert [result.key for result in rest] == list(range(1, len(pictures)))
        assert np.allclose([l2_normalize(result.feature) for result in rest], expected[1:], atol=0.01)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """An index of some pictures; beside its folder, `queries`, with PICTURES others."""
    top = tmp_path_factory.mktemp("unfinished")
    for name, count, first in (("photos", 12, 0), ("queries", PICTURES, 500)):
        (top / name).mkdir()
        for number in range(count):
            draw_picture(first + number, (60, 40)).save(top / name / f"{number:03d}.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBIR_HOME", str(top / "indexes"))
        build_index(choose_target(top / "photos"), Options(model="efficientnet_lite0"))
        return open_index().directory.rename(top / "index")


@ENGINES
def test_a_searcher_answers_after_searches_that_were_begun(index: Path, engine: str, count: int) -> None:
    searcher = Searcher(open_index(str(index)), engine=engine, expected=count)
    queries = sorted((index.parent / "queries").iterdir())
    left = begin(lambda: searcher.search(queries, count=3), 2)
    results = [[match.path for match in result.matches] for result in searcher.search(queries, count=3)]
    assert [len(paths) for paths in results] == [3] * PICTURES
    for search in left:
        assert [[match.path for match in result.matches] for result in search] == results[1:]


@ENGINES
def test_parts_are_made_after_runs_that_were_begun(
    bundled: Backbone, draw_picture: Callable[..., Image.Image], engine: str, count: int
) -> None:
    lazy = LazyEngine(bundled, engine, expected=count)
    whitening = general(bundled)
    assert whitening is not None
    items = [Item(str(seed), (160, 128), {"pixels": np.asarray(draw_picture(seed, (160, 128)))}) for seed in range(12)]
    maker = PartMaker(whitening)
    left = begin(lambda: maker.run(items, lazy), lazy.opened().depth)

    def numbers(records: Mapping[str, np.ndarray]) -> np.ndarray:
        return records["parts"]["numbers"].astype(int)

    made = list(map(numbers, maker.run(items, lazy)))
    assert len(made) == 12
    for run in left:
        rest = list(map(numbers, run))
        assert all(np.abs(one - its).max() <= 2 for one, its in zip(rest, made[12 - len(rest) :], strict=True))
    for item, its in zip(items, made, strict=True):
        (records,) = PartMaker(whitening).run([item], lazy)
        assert np.abs(numbers(records) - its).max() <= 2


@ENGINES
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_in_the_middle_takes_nothing_away(
    bundled: Backbone, pictures: list[bytes], engine: str, count: int, error: type[BaseException]
) -> None:
    extractor = Extractor(bundled, engine=engine, expected=count)

    def files() -> Iterator[tuple[int, bytes]]:
        yield from enumerate(pictures)
        raise error("in the middle")

    expected = [l2_normalize(result.feature) for result in extractor.run(enumerate(pictures))]
    for _ in range(extractor.engine.depth + 1):
        with pytest.raises(error, match="in the middle"):  # where the names come from
            list(extractor.run(files()))
        run = extractor.run(enumerate(pictures))
        next(run)
        with pytest.raises(error, match="in the middle"):  # where the results go
            run.throw(error("in the middle"))
    found = [l2_normalize(result.feature) for result in extractor.run(enumerate(pictures))]
    assert np.allclose(found, expected, atol=0.01)


class Failing:
    """An engine that begins a few batches and no more."""

    description, batch, depth, precision = "failing", 4, 2, "f32"

    def __init__(self) -> None:
        self.left = 3

    def start(self, pictures: np.ndarray) -> Callable[[], np.ndarray]:
        self.left -= 1
        if not self.left:
            raise CbirError("It cannot.")
        return lambda: np.zeros((len(pictures), 1280), dtype=np.float32)


def test_an_engine_that_fails_leaves_no_process_behind(
    bundled: Backbone, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cbir.engines.select, "open_engine", lambda *args, **options: Failing())
    before = set(stopping.children)
    with pytest.raises(CbirError, match="It cannot") as raised:
        list(Extractor(bundled, expected=MANY, isolated=True).run(enumerate(pictures)))
    assert raised.value.__traceback__ is not None  # which keeps the frames of the run
    wait_for(lambda: set(stopping.children) <= before)  # one that was just being started ends a moment later


def test_batches_that_nobody_asks_for_cost_no_request(bundled: Backbone) -> None:
    engine = open_engine(bundled, engine="openvino", expected=MANY)
    some = np.random.default_rng(0).integers(0, 256, (6, 2, 224, 224, 3), dtype=np.uint8)
    expected = [engine.features(pictures) for pictures in some]
    for _ in range(5):
        engine.start(some[0])
    # more than are under way at a time, asked for in another order
    asked = [engine.start(pictures) for pictures in some]
    for number in (5, 0, 3, 1, 4, 2):
        assert np.array_equal(asked[number](), expected[number])
    assert np.array_equal(asked[0](), expected[0])


def test_what_cannot_be_computed_costs_no_request(bundled: Backbone) -> None:
    engine = open_engine(bundled, engine="openvino")
    picture = np.full((1, 224, 224, 3), 99, dtype=np.uint8)
    expected = engine.features(picture)
    for _ in range(engine.depth + 1):
        with pytest.raises(Exception, match="shape"):
            engine.features(picture[:, :100])
    assert np.array_equal(engine.features(picture), expected)

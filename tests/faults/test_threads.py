"""Eight threads share one object of each kind: each gets the answers that one thread alone gets."""

from __future__ import annotations

import faulthandler
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.cli import cli
from cbir.engines.engine import Engine
from cbir.engines.lazy import LazyEngine
from cbir.engines.openvino_engine import OpenVINOEngine
from cbir.engines.select import open_engine
from cbir.extract.extractor import Extractor
from cbir.images.read import open_image
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.locate.locator import Locator
from cbir.search.queries import CombinedQuery, Query, WordQuery
from cbir.search.searcher import Searcher, SearchResult
from cbir.segment.segmenter import Segmenter
from cbir.tags.tagger import Tagger
from cbir.utils.vectors import l2_normalize
from tests.helpers.waiting import GUARD_SECONDS

THREADS = 8
Result = TypeVar("Result")


@pytest.fixture(autouse=True)
def guard() -> Iterator[None]:
    """End the process, and tell where all threads are, where a test waits for ever. Threads take turns often."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    faulthandler.dump_traceback_later(300, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    sys.setswitchinterval(usual)


def together(work: Callable[[int], Result]) -> list[Result]:
    """The results of work(0), work(1) and so on, which eight threads begin at the same moment."""
    barrier = threading.Barrier(THREADS, timeout=GUARD_SECONDS)

    def begin(number: int) -> Result:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """A folder with an index of the pictures in `photos`, with parts, one of which is gone; `queries` has others."""
    top = tmp_path_factory.mktemp("threads")
    for name, count, first in (("photos", 13, 0), ("queries", THREADS, 500)):
        (top / name).mkdir()
        for number in range(count):
            draw_picture(first + number).save(top / name / f"{number:02d}.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBIR_HOME", str(top / "indexes"))
        for _ in range(2):
            build_index(choose_target(top / "photos"), Options(model="efficientnet_lite0", parts=True))
            (top / "photos" / "04.jpg").unlink(missing_ok=True)
    return top


@pytest.fixture
def index(home: Path) -> Index:
    return open_index(str(home / "indexes" / "photos"))


def queries_of(home: Path) -> list[Any]:
    """Queries of all kinds."""
    photos, others = (sorted((home / name).iterdir()) for name in ("photos", "queries"))
    words = WordQuery.from_text("dog")
    return [
        photos[0],
        others[0],
        Query.from_path(others[1], region="10,10,90,80"),
        Query.from_path(photos[1], segment=0),
        CombinedQuery((Query.from_path(others[2]), Query.from_path(photos[2]))),
        words,
        WordQuery.from_text("cat"),
        Query(photos[3], str(photos[3]), parts=True),
        Query(others[3], str(others[3]), parts=True),
        others[4],
        WordQuery(words.words, (), Query.from_path(others[5])),
    ]


def told(results: list[SearchResult]) -> list[list[tuple[Any, ...]]]:
    """What results say, their scores rounded as far as batches of other sizes change them."""
    assert not [result.error for result in results if result.error is not None]
    return [[(match.path.name, match.box) for match in result.matches] for result in results]


@pytest.mark.parametrize("count", [1, 100])
def test_a_searcher(home: Path, index: Index, count: int, caplog: pytest.LogCaptureFixture) -> None:
    queries = queries_of(home)
    expected = list(Searcher(index, expected=count).search(queries, count=5))
    scores = [[match.score for match in result.matches] for result in expected]
    assert "04.jpg" not in {match.path.name for result in expected for match in result.matches}
    for _ in range(2):
        searcher = Searcher(open_index(str(index.directory)), expected=count)

        def search(number: int, searcher: Searcher = searcher) -> list[SearchResult]:
            turned = [*queries[number:], *queries[:number]]
            results = list(searcher.search(turned, count=5, class_name=None))
            return [*results[len(queries) - number :], *results[: len(queries) - number]]

        for results in together(search):
            assert told(results) == told(expected)
            for result, its in zip(results, scores, strict=True):
                assert np.allclose([match.score for match in result.matches], its, atol=1e-3)
    assert not caplog.records


def test_a_searcher_that_weighs_by_classes(home: Path, index: Index) -> None:
    photo = home / "photos" / "00.jpg"
    names = ["beagle", "pug"]
    expected = {name: told(list(Searcher(index).search([photo], count=12, class_name=name))) for name in names}
    searcher = Searcher(open_index(str(index.directory)))
    found = together(lambda number: told(list(searcher.search([photo], count=12, class_name=names[number % 2]))))
    assert found == [expected[names[number % 2]] for number in range(THREADS)]


@pytest.mark.parametrize(("engine", "count"), [("openvino", 1), ("openvino", 100), ("torch", 100)])
def test_an_extractor(bundled: Backbone, home: Path, engine: str, count: int) -> None:
    paths = [*sorted((home / "queries").iterdir()), *sorted((home / "photos").iterdir())]
    expected = [l2_normalize(result.feature) for result in Extractor(bundled, engine=engine).run((p, p) for p in paths)]
    for _ in range(2):
        extractor = Extractor(bundled, engine=engine, expected=count)

        def run(number: int, extractor: Extractor = extractor) -> list[np.ndarray]:
            order = np.random.default_rng(number).permutation(len(paths)).tolist()
            results = {result.key: result.feature for result in extractor.run((one, paths[one]) for one in order)}
            alone = extractor.feature(paths[number])
            assert np.allclose(alone, expected[number], atol=0.01)
            return [l2_normalize(results[one]) for one in range(len(paths))]

        for features in together(run):
            assert np.allclose(features, expected, atol=0.01)


@pytest.mark.parametrize(("engine", "method"), [("openvino", "regions"), ("openvino", "kmeans"), ("torch", "regions")])
def test_a_segmenter(bundled: Backbone, home: Path, engine: str, method: str) -> None:
    images = [open_image(path) for path in sorted((home / "queries").iterdir())]
    alone = Segmenter(bundled, engine=engine, method=method, fast=True)
    expected = [alone.segment(image, 4).labels for image in images]
    shared = Segmenter(bundled, engine=engine, method=method, fast=True)
    for labels, its in zip(together(lambda number: shared.segment(images[number], 4).labels), expected, strict=True):
        assert np.array_equal(labels, its)


def test_a_locator(bundled: Backbone, home: Path) -> None:
    images = [open_image(path) for path in sorted((home / "queries").iterdir())]

    def locate(locator: Locator, number: int) -> Any:
        return locator.locate(locator.target(images[number], "30,20,60,60"), images[number])

    alone = Locator(bundled)
    expected = [locate(alone, number) for number in range(THREADS)]
    shared = Locator(bundled)
    for found, its in zip(together(lambda number: locate(shared, number)), expected, strict=True):
        assert found.box == its.box
        assert found.score == pytest.approx(its.score, abs=0.01)


@pytest.mark.parametrize("count", [1, 100])
def test_a_tagger(home: Path, count: int) -> None:
    paths = sorted((home / "queries").iterdir())

    def tags(tagger: Tagger) -> list[list[str]]:
        return [[tag.word for tag in tagged.tags or []] for tagged in tagger.tag(paths)]

    expected = tags(Tagger("efficientnet_lite0"))
    shared = Tagger("efficientnet_lite0", expected=count)
    assert together(lambda number: tags(shared)) == [expected] * THREADS


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_an_engine_asked_for_all_that_it_has(bundled: Backbone, name: str) -> None:
    random = np.random.default_rng(1)
    pictures = random.integers(0, 256, (THREADS, 1, 224, 224, 3), dtype=np.uint8)
    kinds: list[Callable[[Engine, np.ndarray], list[np.ndarray]]] = [
        lambda engine, some: [engine.features(some)],
        lambda engine, some: engine.stages(some),
        lambda engine, some: [engine.last_map(some)],
        lambda engine, some: list(engine.place_maps(some)),
        lambda engine, some: engine.pooled(some),
    ]
    alone = open_engine(bundled, engine=name)
    expected = [[kind(alone, some) for kind in kinds] for some in pictures]
    shared = open_engine(bundled, engine=name)

    def ask(number: int) -> None:
        for turn in range(3 * len(kinds)):
            kind = (number + turn) % len(kinds)
            for found, its in zip(kinds[kind](shared, pictures[number]), expected[number][kind], strict=True):
                assert np.allclose(found, its, atol=1e-3 * np.abs(its).max())

    together(ask)


def test_each_graph_is_loaded_once(bundled: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = OpenVINOEngine._load

    def watched(self: OpenVINOEngine, graph: str) -> Any:
        loaded.append(graph)
        return load(self, graph)

    monkeypatch.setattr(OpenVINOEngine, "_load", watched)
    lazy = LazyEngine(bundled, "openvino")
    picture = np.zeros((1, 64, 64, 3), dtype=np.uint8)

    def ask(number: int) -> None:
        engine = lazy.opened()
        engine.stages(picture)
        engine.last_map(picture)
        engine.place_maps(picture)

    together(ask)
    assert sorted(loaded) == ["features", "last_map", "place_maps", "stages"]


def test_iterators_of_all_threads_side_by_side(bundled: Backbone, home: Path) -> None:
    """Each thread has several runs under way at once, more batches than there are requests, and none stands still."""
    path = home / "queries" / "00.jpg"
    extractor = Extractor(bundled, expected=100)
    expected = extractor.feature(path)
    content = path.read_bytes()
    # bytes after the picture's end: the same picture, other contents
    files = [content + bytes([number]) for number in range(20)]

    def run(number: int) -> None:
        runs = [extractor.run(enumerate(files)) for _ in range(3)]
        for results in zip(*runs, strict=True):
            assert all(np.allclose(l2_normalize(result.feature), expected, atol=0.01) for result in results)

    together(run)


def test_an_index_knows_at_once_which_rows_count(index: Index) -> None:
    for _ in range(200):
        fresh = Index(index.directory, index.meta)
        assert together(lambda number, fresh=fresh: fresh.valid.tolist()) == [index.valid.tolist()] * THREADS


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the networks that engines were opened for, whoever opened them."""
    names: list[str] = []
    really = OpenVINOEngine.__init__

    def opening(self: OpenVINOEngine, backbone: Backbone, **options: Any) -> None:
        names.append(backbone.name)
        really(self, backbone, **options)

    monkeypatch.setattr(OpenVINOEngine, "__init__", opening)
    return names


def test_one_engine_is_opened_by_a_search_with_a_segment(
    home: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBIR_HOME", str(home / "indexes"))
    query = str(home / "queries" / "00.jpg")
    for options in ([], ["--parts"], ["--no-parts"]):
        opened.clear()
        result = CliRunner().invoke(cli, ["search", query, "--segment", "0", *options])
        assert result.exit_code == 0, result.output
        assert opened == ["efficientnet_lite0"]


def test_one_engine_is_opened_by_locate_with_a_segment(home: Path, opened: list[str]) -> None:
    query, other = (str(home / "queries" / name) for name in ("00.jpg", "01.jpg"))
    result = CliRunner().invoke(cli, ["locate", query, other, "--segment", "0"])
    assert result.exit_code == 0, result.output
    assert opened == ["efficientnet_lite0"]


def test_a_copy_of_an_extractor_shares_its_engine(home: Path, bundled: Backbone, opened: list[str]) -> None:
    extractor = Extractor(bundled)
    other = extractor.with_makers([])
    for one in (extractor, other):
        one.feature(home / "queries" / "00.jpg")
    assert opened == ["efficientnet_lite0"]


def test_an_engine_is_opened_once_by_all_threads(bundled: Backbone, opened: list[str]) -> None:
    lazy = LazyEngine(bundled)
    engines = together(lambda number: lazy.opened())
    assert len(set(map(id, engines))) == 1
    assert opened == ["efficientnet_lite0"]

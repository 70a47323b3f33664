"""Pictures, words and texts in one query, each with a weight: `2:a.jpg --text horse --not-word 3:stripes`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cbir
from cbir.backbones.backbone import describe
from cbir.backbones.imagenet import classes as imagenet
from cbir.cli import cli
from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError, ModelError
from cbir.index.columns.classes import COUNT, pack
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.search.queries import (
    AnyQuery,
    CombinedQuery,
    FeedbackQuery,
    NounQuery,
    Text,
    TextQuery,
    VectorQuery,
    WordQuery,
)
from cbir.search.ranker import Ranker
from cbir.search.resolve import QueryPicture
from cbir.search.searched import SearchedIndex
from cbir.search.strategies import Strategies
from cbir.search.strategy import SearchLimits, SearchRequest
from cbir.search.weights import typed_with, weighted, weighted_name
from cbir.utils.vectors import l2_normalize
from tests.search.test_text import ColourEngine

NUMBER = {one.wordnet_id: one.number for one in imagenet()}
BEAGLE, SEASHORE = NUMBER["n02088364"], NUMBER["n09428293"]

#: A third is red, a third green, a third blue; how probably each picture shows a dog, and the sea.
PICTURES = 60
RANDOM = np.random.default_rng(3)
FEATURES = l2_normalize(np.repeat(np.eye(3, dtype=np.float32), 20, axis=0) + RANDOM.random((60, 3), dtype=np.float32))
DOG, SEA = RANDOM.permutation(np.linspace(0.01, 0.6, 60)), RANDOM.permutation(np.linspace(0.01, 0.3, 60))
DOG, SEA = (probabilities.astype(np.float16).astype(np.float64) for probabilities in (DOG, SEA))


def make(directory: Path, *, with_classes: bool = True) -> Index:
    directory.mkdir(parents=True)
    model = {**describe("fake").to_json(), "dimension": 3}
    writer = Writer(directory, Meta(model, 3, "/photos", "2026", "2026"))
    others = [number for number in range(700, 700 + COUNT) if number != SEASHORE][: COUNT - 2]
    for row, feature in enumerate(FEATURES):
        numbers, shares = np.array([BEAGLE, SEASHORE, *others]), np.array([DOG[row], SEA[row], *[0.0] * len(others)])
        columns = {"classes": pack(numbers, shares)} if with_classes else {}
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature, columns)
    writer.commit()
    writer.tidy()
    return Index.open(directory)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return make(tmp_path_factory.mktemp("arithmetic") / "index")


def vector(*numbers: float, weight: float = 1.0) -> VectorQuery:
    return VectorQuery(np.array(numbers, dtype=np.float32), weight=weight)


def found(
    index: Index, query: AnyQuery, request: SearchRequest | None = None, engine: LazyEngine | None = None
) -> list[int]:
    request = request or SearchRequest(PICTURES, reranked=False)
    strategies = Strategies(SearchedIndex(index, engine or ColourEngine()))
    query = strategies.settled(query, request)
    strategy = strategies.of(query)
    strategy.check(query, request)
    pictures = [QueryPicture([], l2_normalize(one.vector)) for one in query.images if isinstance(one, VectorQuery)]
    return [match.row for match in strategy.find(query, pictures, [], request).matches]


def words(*typed: str, without: Sequence[str] = (), picture: object = None) -> WordQuery:
    return WordQuery.from_text(*typed, without=without, picture=picture)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "weight", "text"),
    [
        ("dog", 1, "dog"),
        ("2:dog", 2, "dog"),
        (".5: golden retriever ", 0.5, "golden retriever"),
        ("10:15 at sea", 1, "10:15 at sea"),
        ("a:b", 1, "a:b"),
        ("2:", 2, ""),
    ],
)
def test_a_number_before_a_colon_is_a_weight(typed: str, weight: float, text: str) -> None:
    assert weighted(typed) == (weight, text)


def test_a_picture_has_its_weight_before_its_name() -> None:
    for typed, expected in {
        "2:./a.jpg": (2, "./a.jpg"),
        "0.5:0123.jpg": (0.5, "0123.jpg"),
        "C:\\a.jpg": (1, "C:\\a.jpg"),
        "./2:a.jpg": (1, "./2:a.jpg"),
        "2:https://host/a.jpg": (2, "https://host/a.jpg"),
        "2:": (1, "2:"),
    }.items():
        assert weighted_name(typed) == expected
    for typed in ("0:a.jpg", "0000000.0000000001:a.jpg", "9999999:a.jpg"):
        with pytest.raises(ValueError, match=r"the weight of 'a\.jpg' is no number from"):
            weighted_name(typed)
    assert typed_with(2, "dog") == "2:dog"
    assert typed_with(1, "dog") == "dog"


def test_weights_are_the_powers_of_what_speaks_for_each(index: Index) -> None:
    red = Ranker(index).scanner.likenesses(np.array([1, 0, 0], dtype=np.float32))
    for own, wanted, unwanted in ((1, 1, 1), (3, 1, 0.5), (1, 4, 2)):
        score = np.maximum(red, 0) ** (2 * own) * np.sqrt(DOG**wanted / (1 + 300 * SEA) ** unwanted)
        expected = [row for row in np.argsort(-score, kind="stable").tolist() if score[row] > 0]
        query = words(f"{wanted}:dog", without=[f"{unwanted}:seashore"], picture=vector(1, 0, 0, weight=own))
        rows = found(index, query)
        assert rows == expected
        many = replace(query, picture=vector(1, 0, 0, weight=own * 1e4))
        many = replace(
            many,
            **{
                side: tuple(replace(one, counts=one.counts * 1e4) for one in getattr(query, side))
                for side in ("words", "without")
            },
        )
        assert found(index, many) == rows, "only the ratios of weights count, however large they are"


def test_what_counts_more_is_found_more(index: Index) -> None:
    def share(own: float, wanted: float) -> tuple[float, float]:
        first = found(index, words(f"{wanted}:dog", picture=vector(1, 0, 0, weight=own)))[:10]
        return float(FEATURES[first, 0].mean()), float(DOG[first].mean())

    red, dogs = zip(share(8, 1), share(1, 1), share(1, 8), strict=True)
    assert red[0] > red[1] > red[2]
    assert dogs[0] < dogs[1] < dogs[2]


def test_pictures_together_and_unlike_have_weights() -> None:
    one, other, third = np.eye(3, dtype=np.float32)
    pictures = vector(1, 0, 0, weight=3), vector(0, 1, 0)
    combined = CombinedQuery(pictures).combine([one, other])
    shared = CombinedQuery((vector(1, 0, 0), vector(0, 1, 0)), shares=(3, 1)).combine([one, other])
    np.testing.assert_allclose(combined.direction, shared.direction, atol=1e-6)
    assert CombinedQuery(pictures).weight == 2
    plain = CombinedQuery((vector(1, 0, 0),), (vector(0, 0, 1),), strength=0.6).combine([one, third])
    weighed = CombinedQuery((vector(1, 0, 0),), (vector(0, 0, 1, weight=2),), strength=0.3).combine([one, third])
    np.testing.assert_allclose(weighed.direction, plain.direction, atol=1e-6)
    halved = CombinedQuery((vector(1, 0, 0, weight=2),), (vector(0, 0, 1),), strength=1.2).combine([one, third])
    np.testing.assert_allclose(halved.direction, plain.direction, atol=1e-6)
    with pytest.raises(ValueError, match="weights or shares, and not both"):
        CombinedQuery(pictures, shares=(1, 2))
    with pytest.raises(ValueError, match="the weight of 'the vector' is no number"):
        vector(1, 0, 0, weight=0)


def test_pictures_words_and_texts_go_together(index: Index) -> None:
    text = TextQuery.from_text("red", without=["blue"], picture=vector(1, 1, 0))
    first = found(index, words("dog", without=["seashore"], picture=text))[:8]
    assert np.mean([row < 20 for row in first]) > 0.5
    assert DOG[first].mean() > DOG.mean() + 0.1
    more = found(index, words("20:dog", picture=text))[:8]
    assert DOG[more].mean() > DOG[first].mean()
    heavy = TextQuery.from_text("red", picture=vector(0, 1, 0, weight=10))
    assert np.mean([20 <= row < 40 for row in found(index, words("0.1:dog", picture=heavy))[:8]]) > 0.8
    judged = FeedbackQuery(words("dog", picture=TextQuery.from_text("red")), more=(vector(0, 0, 1),))
    assert any(row >= 40 for row in found(index, judged)[:8])
    limited = SearchRequest(PICTURES, limits=SearchLimits(min_percentile=90.0))
    rows = found(index, words("dog", picture=TextQuery.from_text("red")), limited)
    assert sorted(rows) == sorted(np.argsort(-FEATURES[:, 0])[:6].tolist())


def test_words_are_texts_where_a_network_knows_no_classes(tmp_path: Path) -> None:
    index = make(tmp_path / "index", with_classes=False)
    strategies = Strategies(SearchedIndex(index, ColourEngine()))
    request = SearchRequest(10)
    inner = TextQuery.from_text("2:green", picture=vector(0, 1, 0))
    put = strategies.settled(words("3:red", without=["blue"], picture=inner), request)
    assert put == TextQuery((Text("green", 2), Text("red", 3)), (Text("blue"),), inner.picture)
    assert strategies.settled(words("red", picture=inner.picture), request) == TextQuery(
        (Text("red"),), (), inner.picture
    )
    judged = strategies.settled(FeedbackQuery(words("red"), (vector(1, 0, 0),)), request)
    assert isinstance(judged, FeedbackQuery)
    assert judged.start == TextQuery((Text("red"),))
    assert set(found(index, words("red"))[:15]) <= set(range(20))
    with pytest.raises(ModelError, match="knows no classes: say also what pictures are to show"):
        found(index, words(without=["blue"]))
    with pytest.raises(CbirError, match="texts have no probability"):
        found(index, words("red"), SearchRequest(10, limits=SearchLimits(min_probability=0.5)))


def test_texts_are_nouns_where_a_network_reads_none(index: Index) -> None:
    engine = LazyEngine(describe("fake"))
    strategies = Strategies(SearchedIndex(index, engine))
    text = TextQuery.from_text("2:a dog", without=["the cat"], picture=vector(1, 0, 0))
    put = strategies.settled(words("3:seashore", picture=text), SearchRequest(10))
    assert isinstance(put, NounQuery)
    assert [(word.name, word.counts) for word in put.words] == [("seashore", 3), ("dog", 2)]
    assert [word.name for word in put.without] == ["cat"]
    assert put.picture is text.picture
    assert found(index, words("3:seashore", picture=text), engine=engine)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    folder = tmp_path_factory.mktemp("weighed")
    (folder / "photos").mkdir()
    for number in range(4):
        draw_picture(number).save(folder / "photos" / f"{number}.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBIR_HOME", str(folder / "indexes"))
        cbir.index_folder(folder / "photos", "photos", model="fake")
    return folder


@pytest.fixture
def here(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(photos)
    monkeypatch.setenv("CBIR_HOME", str(photos / "indexes"))
    return photos


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["search", *map(str, arguments)])


def test_in_the_shell(here: Path) -> None:
    options = ("--text", "0.5:a horse", "--not-word", "3:zebra", "--unlike", "2:photos/1.jpg", "--format", "json")
    result = run("2:photos/0.jpg", *options, "--html", "page.html", "--force")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["query"] == "photos/0.jpg"
    assert (record["weights"], record["unlike_weights"]) == ([2], [2])
    assert [(one["word"], one["weight"]) for one in record["words"]] == [("horse", 0.5)]
    assert [(one["word"], one["weight"]) for one in record["not_words"]] == [("zebra", 3)]
    page = (here / "page.html").read_text("utf-8")
    for text in ("2:photos/0.jpg", "2:photos/1.jpg", "0.5:horse", "not 3:zebra"):
        assert text in page
    alone = json.loads(run("--word", "2:dog", "--word", "cat", "--format", "json").stdout)
    assert alone["query"] == "2:dog + cat"
    assert json.loads(run("2:photos/0.jpg", "--format", "json").stdout)["weight"] == 2


def test_a_file_of_that_very_name_is_the_file(here: Path) -> None:
    (here / "2:photos").mkdir()
    (here / "2:photos/0.jpg").write_bytes((here / "photos/3.jpg").read_bytes())
    try:
        record = json.loads(run("2:photos/0.jpg", "--format", "json", "--self", "-k", 1).stdout)
        assert record["query"] == "2:photos/0.jpg"
        assert "weight" not in record
        assert record["matches"][0]["path"].endswith("/3.jpg")
    finally:
        (here / "2:photos/0.jpg").unlink()
        (here / "2:photos").rmdir()


def test_lists_have_weights(here: Path) -> None:
    (here / "list").write_text("2:photos/0.jpg\nphotos/1.jpg\n0:photos/2.jpg\n")
    result = run("--files-from", "list", "--word", "dog", "--format", "jsonl", "-k", 1)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one.get("weight") for one in records] == [2, None, None]
    assert "0:photos/2.jpg" in records[2]["error"]
    together = json.loads(
        run("--files-from", "list", "photos/1.jpg", "2:photos/3.jpg", "--together", "--format", "json").stdout
    )
    assert together["query"][0] == "photos/1.jpg"


def test_impossible_weights_are_wrong_usage(here: Path) -> None:
    for arguments in (("0:photos/0.jpg",), ("--word", "0:dog"), ("photos/0.jpg", "--text", "9999999:dog")):
        result = run(*arguments)
        assert result.exit_code == 2, arguments
        assert "is no number from 0.000001 to 1,000,000" in result.stderr
    result = run("2:photos/0.jpg", "photos/1.jpg", "--together", "--shares", "1,2")
    assert "Pictures have weights or shares, and not both" in result.stderr
    assert result.exit_code == 2

"""Search by a text, where the network of an index has an encoder of texts, and where it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones.backbone import describe
from cbir.engines.lazy import LazyEngine
from cbir.errors import ModelError
from cbir.search.queries import AnyQuery, TextQuery
from cbir.search.searched import SearchedIndex
from cbir.search.searcher import Searcher
from cbir.search.strategies import Strategies
from cbir.search.strategy import SearchLimits, SearchRequest
from cbir.utils.vectors import l2_normalize
from tests.helpers.feature_index import make_index

COLOURS = ("red", "green", "blue")


class ColourEngine(LazyEngine):
    """An engine whose encoder of texts knows three words: the first, second and third number of a feature."""

    def __init__(self) -> None:
        super().__init__(replace(describe("fake"), modalities=("image", "text")))

    def text(self, texts: Sequence[str]) -> np.ndarray:
        counts = [[text.split().count(colour) for colour in COLOURS] for text in texts]
        return l2_normalize(np.array(counts, dtype=np.float32))


def found(directory: Path, query: AnyQuery, request: SearchRequest) -> list[int]:
    random = np.random.default_rng(3)
    features = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0) + random.random((60, 3), dtype=np.float32) * 0.3
    directory.mkdir(exist_ok=True)
    index = make_index(directory / "index", features)
    strategy = Strategies(SearchedIndex(index, ColourEngine())).of(query)
    strategy.check(query, request)
    matches = strategy.find(query, [], [], request).matches
    assert all(match.percentile is None and match.relevance is None for match in matches)
    return [match.row for match in matches]


@pytest.mark.parametrize(("text", "rows"), [("red", range(20)), ("a blue blue thing", range(40, 60))])
@pytest.mark.parametrize("reranked", [True, False])
def test_pictures_are_found_by_a_text(tmp_path: Path, text: str, rows: range, reranked: bool) -> None:
    assert set(found(tmp_path, TextQuery(text), SearchRequest(20, reranked))) == set(rows)


def test_a_least_score_cuts_off(tmp_path: Path) -> None:
    assert found(tmp_path, TextQuery("red blue"), SearchRequest(60, limits=SearchLimits(min_score=0.99))) == []
    with pytest.raises(ValueError, match="no percentiles"):
        found(tmp_path / "x", TextQuery("red"), SearchRequest(limits=SearchLimits(min_percentile=99)))


def test_a_network_without_an_encoder_of_texts_says_so(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", np.eye(4, dtype=np.float32))
    with pytest.raises(ModelError, match=r"efficientnet_lite0, has no encoder of texts.*--word"):
        next(Searcher(index).search([TextQuery("red")]))


def test_a_text_has_letters_and_tells_itself() -> None:
    with pytest.raises(ValueError, match="needs one"):
        TextQuery(" ")
    assert TextQuery("a dog").to_dict() == {"query": "a dog", "text": "a dog"}
    assert (TextQuery("a dog").name, TextQuery("a dog").images) == ("a dog", ())

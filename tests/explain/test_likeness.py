"""Shares of places: they add up to what searches compute, of one network, of several, and by a notion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cbir
from cbir.backbones.backbone import describe
from cbir.backbones.head import open_classifier
from cbir.engines.lazy import LazyEngine
from cbir.errors import ModelError
from cbir.explain.draw import drawn_pair, heated, spread_out
from cbir.explain.explainer import Explainer, Explanation
from cbir.explain.likeness import Likeness, centred, learnt
from cbir.explain.looks import FINE, Look, Looker
from cbir.explain.words import shared_words, word_places
from cbir.extract.extractor import Extractor
from cbir.index.open import open_index
from cbir.notions.notion import Notion
from cbir.search.centre import Centre
from cbir.utils.vectors import l2_normalize
from cbir.words.vocabulary import look_up
from tests.helpers.notions import make_notion


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """Nine drawn pictures, wide, high and square."""
    folder = tmp_path_factory.mktemp("explain")
    for number in range(9):
        draw_picture(number, ((300, 240), (240, 330), (280, 280))[number % 3]).save(folder / f"{number}.png")
    return folder


def looks(name: str, paths: Sequence[Path], views: int = 1, times: float = 1) -> list[Look]:
    looker = Looker(LazyEngine(describe(name, views=views), "auto:f32"))
    return [looker.look(Image.open(path).convert("RGB"), times=times) for path in paths]


@pytest.mark.parametrize(
    ("name", "views", "places"),
    [
        ("efficientnet_lite0", 1, 49),
        ("fake", 1, 49),
        ("fake", 2, 98),
        ("efficientnet_lite0+fake", 1, 98),
        ("fake_small+fake", 2, 298),
    ],
)
def test_places_add_up_to_the_feature(folder: Path, name: str, views: int, places: int) -> None:
    paths = [folder / f"{number}.png" for number in range(3)]
    found = looks(name, paths, views)
    features = Extractor(describe(name, views=views), engine="auto:f32").encode(paths)
    assert [len(look.vectors) for look in found] == [places] * 3
    for look, feature in zip(found, features, strict=True):
        assert np.abs(look.feature - feature).max() < 1e-5
        assert abs(float(look.densities.sum()) - 1) < 1e-5
        assert look.panes[-1].places.stop == places
    raw = Likeness(found[0].vectors, found[1].vectors)
    score = float(features[0] @ features[1])
    for shares in (raw.of_query, raw.of_match, raw.pairs):
        assert abs(float(shares.sum()) - score) < 1e-5
    assert abs(raw.score - score) < 1e-5


def test_centred_shares_add_up_to_the_centred_cosine(folder: Path) -> None:
    paths = [folder / f"{number}.png" for number in range(9)]
    features = Extractor("efficientnet_lite0", engine="auto:f32").encode(paths)
    centre = Centre.of(features, len(features))
    query, match = looks("efficientnet_lite0", paths[:2])
    likeness = Likeness(centred(query, centre.mean), centred(match, centre.mean))
    expected = centre.cosines(features[1:2], centre.lengths(features[1:2]), centre.direction(features[0]))[0]
    for shares in (likeness.of_query, likeness.of_match, likeness.pairs):
        assert abs(float(shares.sum()) - expected) < 1e-5


def notion_of(folder: Path) -> tuple[Notion, np.ndarray]:
    index, _ = cbir.index_folder(folder, "photos", model="fake")
    return make_notion(index, np.arange(9), np.arange(9) % 3), index.features(range(9))


def test_learnt_shares_add_up_to_the_notion(folder: Path) -> None:
    notion, _ = notion_of(folder)
    found = looks("fake", [folder / "0.png", folder / "3.png"])
    vectors = notion.vectors(np.stack([look.feature for look in found]))
    likeness = Likeness(learnt(found[0], notion), learnt(found[1], notion))
    assert notion.scores(found[0].feature[np.newaxis]).max() > 0.1  # or there is nothing learnt in it
    assert abs(likeness.score - float(vectors[0] @ vectors[1])) < 1e-5
    assert abs(float(likeness.pairs.sum()) - likeness.score) < 1e-5


def test_a_finer_look_has_as_much_of_the_picture(folder: Path) -> None:
    (own,), (fine,) = (looks("efficientnet_lite0", [folder / "0.png"], times=times) for times in (1, FINE))
    assert (own.panes[0].rows, fine.panes[0].rows) == (7, 14)
    assert np.allclose(own.panes[0].extent, fine.panes[0].extent, atol=0.01)
    assert own.feature @ fine.feature > 0.5


def test_lines_join_each_place_once(folder: Path) -> None:
    query, match = looks("efficientnet_lite0", [folder / "0.png", folder / "1.png"])
    found = Likeness(query.vectors, match.vectors).strongest(5)
    assert len({pair.query for pair in found}) == len({pair.match for pair in found}) == len(found) == 5
    assert [pair.share for pair in found] == sorted((pair.share for pair in found), reverse=True)


def explained(folder: Path, query: str, match: str, **options: bool) -> Explanation:
    engine = LazyEngine(describe("fake"))
    explainer = Explainer(engine, open_index("photos"), **options)
    return explainer.explain(explainer.see(folder / query), explainer.see(folder / match))


@pytest.mark.parametrize("fine", [False, True])
def test_an_explanation_of_an_index(folder: Path, fine: bool) -> None:
    cbir.index_folder(folder, "photos", model="fake")
    one = explained(folder, "0.png", "1.png", fine=fine)
    (match,) = [match for match in cbir.open("photos").search(folder / "0.png", 9) if match.path == folder / "1.png"]
    assert one.by == "centred"
    assert abs(one.score - match.score) < 2e-3  # the index's numbers have 16 bits
    assert one.way is not None
    assert one.way.steps[-1].row == match.row
    sides = {len(one.of_query.raw), len(one.of_match.likeness), *one.pairs.pairs.shape}
    assert sides == {196 if fine else 49}
    if not fine:
        assert abs(float(one.of_query.raw.sum()) - one.score) < 1e-5
        assert abs(float(one.of_match.likeness.sum()) - one.likeness) < 1e-5


def test_what_is_alike_is_bright(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> None:
    thing = draw_picture(5, (128, 128))
    scene = draw_picture(40, (256, 256))
    scene.paste(thing, (16, 16))
    scene.save(tmp_path / "scene.png")
    thing.resize((256, 256)).save(tmp_path / "thing.png")
    explainer = Explainer(LazyEngine(describe("efficientnet_lite0")))
    one = explainer.explain(explainer.see(tmp_path / "scene.png"), explainer.see(tmp_path / "thing.png"))
    heat = spread_out(one.query.look, one.of_query.above(one.query.look), (256, 256))
    assert heat[16:144, 16:144].mean() > 2 * heat[144:, 144:].mean()
    drawn = drawn_pair(one, 200)
    assert drawn.size == (412, 200)
    assert heated(one.match, one.of_match.above(one.match.look), 100).size == (100, 100)


def test_evidence_for_a_word_adds_up(folder: Path) -> None:
    classifier = open_classifier(describe("efficientnet_lite0"))
    (look,) = looks("efficientnet_lite0", [folder / "0.png"])
    word = look_up("hamster")
    found = word_places(classifier, look, word)
    (number,) = word.used[0].classes
    raw = Extractor("efficientnet_lite0", engine="auto:f32").encode([folder / "0.png"], normalize=False)
    logits = np.log(classifier.probabilities(raw)[0].astype(np.float64))
    assert abs(found.evidence - (logits[number] - logits.mean())) < 1e-3
    assert abs(float(found.shares.sum()) + found.rest - found.evidence) < 1e-4
    assert abs(found.probability - float(np.exp(logits[number]))) < 1e-5


def test_words_that_both_show(folder: Path) -> None:
    classifier = open_classifier(describe("efficientnet_lite0"))
    query, match = looks("efficientnet_lite0", [folder / "0.png", folder / "1.png"])
    found = shared_words(classifier, query, match, 1000)
    features = np.stack([l2_normalize(look.feature) * look.length for look in (query, match)])
    roots = np.sqrt(classifier.probabilities(features))
    assert abs(sum(word.part for word in found) - float(roots[0] @ roots[1])) < 1e-4
    assert abs(found[0].part - np.sqrt(found[0].query * found[0].match)) < 1e-6


def test_a_network_without_places_says_so(folder: Path) -> None:
    looker = Looker(LazyEngine(describe("alexnet", "untrained")))
    with pytest.raises(ModelError, match=r"No place of a picture has its own share in what alexnet makes of it"):
        looker.look(Image.open(folder / "0.png").convert("RGB"))

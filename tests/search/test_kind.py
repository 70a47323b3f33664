"""Searching for the same kind of thing, and for the same thing again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.backbones.head import open_classifier
from cbir.cli import cli
from cbir.errors import CbirError
from cbir.extract.extractor import Extractor
from cbir.images.regions import Region
from cbir.index.ann.codes import SCALE
from cbir.index.columns.classes import CLASSES
from cbir.index.columns.parts import PARTS
from cbir.index.format import load_meta
from cbir.index.open import open_index
from cbir.index.writer import Writer
from cbir.parts.reader import Means, PartReader
from cbir.parts.whitening import general
from cbir.search import by_kind, by_parts
from cbir.search.queries import CombinedQuery, FeedbackQuery, Query, WordQuery
from cbir.search.searcher import Searcher
from cbir.utils.vectors import l2_normalize

PICTURES = 8


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def found(*arguments: object) -> dict[str, dict[str, object]]:
    result = run("search", *arguments, "--format", "json", "-k", PICTURES)
    assert result.exit_code == 0, result.output
    return {Path(match["path"]).name: match for match in json.loads(result.stdout)["matches"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """Drawn `photos`, their index `whole`, and `parts`, the same with parts."""
    top = tmp_path_factory.mktemp("kind")
    (top / "photos").mkdir()
    for seed in range(PICTURES):
        draw_picture(seed, (240, 180)).save(top / "photos" / f"{seed}.png")
    draw_picture(30, (300, 200)).save(top / "query.png")
    for name, option in (("whole", "--no-parts"), ("parts", "--parts")):
        told = run("index", top / "photos", "--index", top / name, option, "--model", "efficientnet_lite0", "-q")
        assert told.exit_code == 0, told.output
    return top


def class_likenesses(query: Path, made: Path, bundled: Backbone) -> dict[str, float]:
    """The likeness of classes, computed without anything of the search: the features of both pictures, and the head."""
    classifier = open_classifier(bundled)
    crop = Image.open(query).convert("RGB").crop((40, 30, 190, 180)).resize((224, 224), Image.Resampling.BICUBIC)
    engine = Extractor(bundled).engine
    asked = classifier.top(engine.last_map(np.asarray(crop)[np.newaxis]).mean(axis=(2, 3)))
    roots = dict(zip(asked.numbers[0].tolist(), np.sqrt(asked.probabilities[0]).tolist(), strict=True))
    index = open_index(made / "whole")
    classes = index.classes()
    return {
        record.path: sum(
            roots.get(number, 0.0) * np.sqrt(float(probability))
            for number, probability in zip(classes.numbers[row].tolist(), classes.probabilities[row], strict=True)
        )
        for row, record in index.records()
    }


def test_without_parts_the_likeness_is_that_of_classes(made: Path, bundled: Backbone) -> None:
    query, region = made / "query.png", ("--region", "40,30,150,150")
    wanted = class_likenesses(query, made, bundled)
    assert len({round(value, 3) for value in wanted.values()}) > 2
    matches = found(query, *region, "--kind", "--index", made / "whole")
    assert {name: match["score"] for name, match in matches.items()} == pytest.approx(
        {name: value for name, value in wanted.items() if value > 0}, abs=0.01
    )
    scores = [match["score"] for match in matches.values()]
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
    assert all(match["percentile"] is None and "box" not in match for match in matches.values())
    assert found(query, *region, "--kind", "--no-parts", "--index", made / "parts") == matches
    least = scores[1] - 0.001  # type: ignore[operator]
    limited = found(query, *region, "--kind", "--index", made / "whole", "--min-score", f"{least:.4f}")
    assert list(limited) == list(matches)[:2]


def test_with_parts_the_score_is_the_mean_of_classes_and_the_best_part(made: Path, bundled: Backbone) -> None:
    query = made / "query.png"
    of_classes, whitening = class_likenesses(query, made, bundled), general(bundled)
    assert whitening is not None
    region = Region((40, 30, 150, 150))
    part = whitening.kinds(PartReader(bundled).region(Image.open(query).convert("RGB"), region))[0]
    index = open_index(made / "parts")
    (result,) = Searcher(index).search([Query.from_path(query, region="40,30,150,150", kind=True)], count=PICTURES)
    assert len(result.matches) == PICTURES
    for match in result.matches:
        records = index.stored(PARTS, [match.row])[0]
        parts = records["numbers"][:, : len(part)].astype(np.float32) @ part / SCALE
        assert match.score == pytest.approx((parts.max() + of_classes[match.path.name]) / 2, abs=0.01)
        assert match.box is not None
        place = records["box"].tolist().index(list(match.box))
        assert parts[place] == pytest.approx(parts.max(), abs=0.01)
    scores = [match.score for match in result.matches]
    assert scores == sorted(scores, reverse=True)
    assert result.to_dict()["kind"] is True


def test_a_query_for_a_kind_is_half_whitened_and_knows_nothing_of_the_fine_map(bundled: Backbone) -> None:
    whitening = general(bundled)
    assert whitening is not None
    random = np.random.default_rng(2)
    coarse, fine = (
        l2_normalize(random.random((3, 1280), dtype=np.float32)),
        l2_normalize(random.random((3, 112), dtype=np.float32)),
    )
    rows, kinds = whitening.rows(Means(coarse, fine)), whitening.kinds(Means(coarse, fine))
    count = len(whitening.coarse_variances)
    assert kinds.shape == rows.shape
    assert np.linalg.norm(kinds, axis=1) == pytest.approx(1, abs=1e-5)
    assert (kinds[:, count:] == 0).all()
    assert kinds[:, :count] == pytest.approx(
        l2_normalize(rows[:, :count] * np.sqrt(whitening.coarse_variances)), abs=1e-5
    )
    assert (whitening.kinds(Means(coarse, fine[::-1])) == kinds).all()


def test_a_kind_is_found_by_its_classes_however_unlike_its_parts_are(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query.from_path(made / "query.png", region="40,30,150,150", kind=True)
    searcher = Searcher(open_index(made / "parts"))
    (everything,) = searcher.search([query], count=PICTURES)
    monkeypatch.setattr(by_parts, "_candidates", lambda *_: np.zeros(0, dtype=np.int64))
    monkeypatch.setattr(by_kind, "_BY_CLASSES", 2)
    (by_classes,) = searcher.search([query], count=1)
    assert by_classes.matches[0] in everything.matches


def test_the_same_thing_is_found_by_parts_as_regions_are(made: Path) -> None:
    query, region = made / "query.png", ("--region", "40,30,150,150")
    same = found(query, *region, "--same", "--index", made / "parts")
    assert same == found(query, *region, "--index", made / "parts")
    assert list(same)
    assert same != found(query, *region, "--kind", "--index", made / "parts")
    assert found(query, "--same", "--index", made / "parts") == found(query, "--parts", "--index", made / "parts")
    refused = run("search", query, *region, "--same", "--index", made / "whole")
    assert refused.exit_code == 1
    assert "has no parts" in refused.stderr
    with pytest.raises(ValueError, match="by parts"):
        list(Searcher(open_index(made / "parts")).search([Query.from_path(query, parts=False, kind=False)]))


def test_a_picture_of_the_index_is_left_out_and_a_folder_is_kept_to(made: Path) -> None:
    query = made / "photos" / "3.png"
    for index in (made / "whole", made / "parts"):
        assert "3.png" not in found(query, "--kind", "--index", index)
        assert next(iter(found(query, "--kind", "--self", "--index", index))) == "3.png"
        nothing = run("search", query, "--kind", "--index", index, "--since", "2999-01-01", "--format", "json")
        assert json.loads(nothing.stdout)["matches"] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--same", "--no-parts"), "--same is found by parts"),
        (("--kind", "--word", "dog"), "--kind and --same are for queries by one picture each"),
        (("--same", "--together"), "--kind and --same are for queries by one picture each"),
        (("--kind", "--unlike", "other.png"), "--kind and --same are for queries by one picture each"),
    ],
)
def test_options_that_mean_nothing_together(made: Path, options: tuple[str, ...], told: str) -> None:
    refused = run("search", made / "query.png", *options, "--index", made / "parts")
    assert refused.exit_code == 2
    assert told in refused.stderr.replace("\n", " ")


def test_kinds_are_asked_of_one_picture_by_itself(made: Path) -> None:
    query = Query.from_path(made / "query.png", kind=True)
    with pytest.raises(ValueError, match="several together"):
        CombinedQuery((query,))
    with pytest.raises(ValueError, match="by words too"):
        WordQuery.from_text("dog", picture=query)
    with pytest.raises(ValueError, match="judgements"):
        FeedbackQuery(query)
    with pytest.raises(CbirError, match="percentiles"):
        list(Searcher(open_index(made / "parts")).search([query], min_percentile=50))


def test_pictures_without_classes_are_told_and_an_index_of_none_says_what_to_do(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "whole", tmp_path / "lacking")
    index = open_index(tmp_path / "lacking")
    writer = Writer(index.directory, load_meta(index.directory))
    writer.backfill(CLASSES, [0], CLASSES.blank(1)[0])
    writer.commit()
    searcher = Searcher(open_index(tmp_path / "lacking"))
    (result,) = searcher.search([Query.from_path(made / "query.png", kind=True)])
    assert "classes" in " ".join(result.notices)
    writer = Writer(index.directory, load_meta(index.directory))
    for row in range(PICTURES):
        writer.backfill(CLASSES, [row], CLASSES.blank(1)[0])
    writer.commit()
    with pytest.raises(CbirError, match="cannot be searched for the same kind of thing"):
        list(Searcher(open_index(tmp_path / "lacking")).search([Query.from_path(made / "query.png", kind=True)]))

"""Notions of parts: learnt from boxes and cut-out pictures, and what they order."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.errors import CbirError
from cbir.index.ann.codes import SCALE
from cbir.index.columns.parts import PARTS as PARTS_COLUMN
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.learn.labels import by_content
from cbir.learn.lists import GivenLabel
from cbir.learn.marks import learn_marks
from cbir.learn.parts import Parts, basis_of_parts
from cbir.learn.pictures import Picture
from cbir.learn.run import Learner
from cbir.notions.notion import PARTS
from cbir.notions.parts import DOUBTED, FLOOR, SURE, PartLikeness, part_scores
from cbir.notions.store import keep_notion, load_notion, read_notion, to_bytes
from cbir.search.queries import CombinedQuery, Query, WordQuery
from cbir.search.searcher import Searcher
from cbir.utils.vectors import l2_normalize

KINDS, EACH = ("stripes", "rings"), 4

#: Where the thing is in each picture.
BOX = (120, 60, 66, 66)


def thing(kind: str, seed: int) -> Image.Image:
    """A thing of a kind in colours of its own."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:66, :66]
    wave = x + y if kind == "stripes" else np.hypot(x - 33, y - 33)
    light = (np.sin(wave * random.uniform(0.5, 0.7)) > 0)[..., None]
    one, other = random.integers(0, 256, (2, 3))
    return Image.fromarray(np.where(light, one, other).astype(np.uint8))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def learn(made: Path, *arguments: object, code: int = 0) -> dict:
    told = run("learn", "things", *arguments, "--index", made / "index", "--json")
    assert told.exit_code == code, told.output
    return json.loads(told.stdout)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """Pictures `photos`, four with things of each kind and four with none, their index with parts, and `boxes.csv`."""
    top = tmp_path_factory.mktemp("learnt")
    (top / "photos").mkdir()
    lines = ["path,label,x,y,width,height"]
    for number, kind in enumerate((*KINDS, "none")):
        for one in range(EACH):
            picture = draw_picture(10 * number + one, (240, 180))
            if kind != "none":
                picture.paste(thing(kind, 10 * number + one), BOX[:2])
                lines.append(f"{kind}-{one}.png,{kind},{','.join(map(str, BOX))}")
            picture.save(top / "photos" / f"{kind}-{one}.png")
    (top / "boxes.csv").write_text("\n".join(lines))
    query = draw_picture(99, (240, 180))
    query.paste(thing("rings", 99), (20, 20))
    query.save(top / "query.png")
    told = run("index", top / "photos", "--index", top / "index", "--parts", "--model", "efficientnet_lite0", "-q")
    assert told.exit_code == 0, told.output
    return top


@pytest.fixture
def made(drawn: Path, tmp_path: Path) -> Path:
    """The same, with an index of one's own."""
    shutil.copytree(drawn / "index", tmp_path / "index")
    for name in ("boxes.csv", "query.png"):
        shutil.copy(drawn / name, tmp_path)
    return tmp_path


@pytest.fixture
def index(made: Path) -> Index:
    return open_index(str(made / "index"))


def search(made: Path, *options: object) -> dict:
    found = run("search", made / "query.png", "--index", made / "index", "--format", "json", "-k", 12, *options)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def names(found: dict) -> list[str]:
    return [Path(match["path"]).stem for match in found["matches"]]


def test_labels_of_boxes_order_searches_by_parts(made: Path) -> None:
    learnt = learn(made, "--labels", made / "boxes.csv")
    assert (learnt["of"], learnt["verdict"], learnt["labels"]) == ("parts", "applied", 2 * EACH)
    region = ("--region", "20,20,66,66")
    for way in ((), ("--same",), ("--kind",), ("--parts",)):
        plain, found = search(made, *region, *way), search(made, *region, *way, "--learnt", "things")
        assert found.get("learnt") == "things"
        assert {name.split("-")[0] for name in names(found)[:EACH]} == {"rings"}
        its = {name: match["score"] for name, match in zip(names(found), found["matches"], strict=True)}
        before = {name: match["score"] for name, match in zip(names(plain), plain["matches"], strict=True)}
        lead = [min(one[f"rings-{n}"] for n in range(EACH)) - one["stripes-1"] for one in (before, its)]
        assert lead[1] > lead[0] + 0.05
        boxes = [match["box"] for match in found["matches"][:EACH]]
        assert all(120 <= x + width / 2 <= 186 and 60 <= y + height / 2 <= 126 for x, y, width, height in boxes)
    # without a region, parts are compared too; and what nothing claims is searched without
    assert "box" in search(made, "--learnt", "things")["matches"][0]
    told = search(made, "--region", "150,120,60,50", "--learnt", "things")
    assert "learnt" not in told
    assert "claims nothing" in told["notices"][0]
    assert names(told) == names(search(made, "--region", "150,120,60,50"))


def test_the_likeness_is_the_cosine_of_the_row_and_its_scores(made: Path, index: Index) -> None:
    learn(made, "--labels", made / "boxes.csv")
    notion = load_notion(Index.open(index.directory), "things", PARTS)
    rows = l2_normalize(index.stored(PARTS_COLUMN, range(12))["numbers"][:, :20].reshape(-1, 896).astype(np.float32))
    query = notion.labels.features[-1].astype(np.float32)
    scores = np.maximum(part_scores(notion, rows) - FLOOR, 0)
    asked = part_scores(notion, query[np.newaxis])[0]
    sure = min(max((asked.max() - DOUBTED) / (SURE - DOUBTED), 0), 1)
    wanted = sure * np.maximum(asked - FLOOR, 0)
    assert wanted.any()
    likeness = PartLikeness(notion, query)
    joined = l2_normalize(np.concatenate([rows, 0.8 * scores], axis=1))
    assert likeness.of(rows @ query, rows) == pytest.approx(
        joined @ l2_normalize(np.concatenate([query, 0.8 * wanted])), abs=1e-3
    )
    # the direction of candidates is that of all scores, those below what counts as well
    whole = rows @ query + 0.64 * part_scores(notion, rows) @ wanted
    assert rows @ likeness.towards(query) == pytest.approx(whole, abs=1e-4)
    assert not PartLikeness(notion, -query).claims


def test_pictures_that_are_cut_out_teach_parts(made: Path) -> None:
    for kind in KINDS:
        (made / "cut" / kind).mkdir(parents=True)
        for seed in range(4):
            thing(kind, 50 + seed).save(made / "cut" / kind / f"{seed}.png")
    learnt = learn(made, "--from", made / "cut", "--parts")
    assert (learnt["of"], learnt["outside"], learnt["verdict"]) == ("parts", 2 * EACH, "applied")
    shutil.rmtree(made / "cut")
    assert learn(made)["labels"] == 2 * EACH  # anew, from what was kept
    found = search(made, "--region", "20,20,66,66", "--learnt", "things")
    assert {name.split("-")[0] for name in names(found)[:EACH]} == {"rings"}


def test_labels_of_one_picture_tell_nothing_of_each_other(index: Index, drawn: Path) -> None:
    learner = Learner(index)
    boxes = ["120,60,66,66", "122,62,64,64", "118,58,66,66"]
    given = [GivenLabel(f"{kind}-0.png", kind, box) for kind in KINDS for box in boxes]
    learnt = learner.from_labels("things", given)
    assert (learnt.verdict, learnt.quality, learnt.doubtful) == ("refused", 0, [])
    more = [*given, *(GivenLabel(f"{kind}-1.png", kind, boxes[0]) for kind in KINDS)]
    assert learner.from_labels("things", more).verdict != "refused"
    # a window of the index that is the same part has the label, too, and is of the same picture
    found, _ = learner.parts.find([(drawn / "photos" / one.path, one.region) for one in more])
    labelled, _ = by_content((part, one.class_name) for part, one in zip(found, more, strict=True) if part)
    basis = basis_of_parts(index, labelled)
    assert basis.groups is not None
    assert len(basis.again) == len(basis.labelled) - len(more) > 0
    assert len(set(basis.groups.tolist())) == 4
    assert np.linalg.norm(basis.labelled, axis=1) == pytest.approx(1, abs=1e-3)
    unlabelled = [row for row in range(12) if index.record(row).path not in {one.path for one in more}]
    others = index.stored(PARTS_COLUMN, unlabelled)["numbers"]
    known = l2_normalize(others.reshape(-1, 896).astype(np.float32) / SCALE)
    assert (basis.unlabelled @ known.T).max(axis=1) == pytest.approx(1, abs=1e-3)


def test_shuffled_labels_are_refused_and_nothing_is_kept(made: Path, index: Index) -> None:
    lines = (made / "boxes.csv").read_text().splitlines()
    swapped = [
        line.replace("-0.png,stripes", "-0.png,rings").replace("-1.png,stripes", "-1.png,rings") for line in lines
    ]
    swapped = [
        line.replace("-2.png,rings", "-2.png,stripes").replace("-3.png,rings", "-3.png,stripes") for line in swapped
    ]
    (made / "boxes.csv").write_text("\n".join(swapped))
    told = learn(made, "--labels", made / "boxes.csv", code=1)
    assert told["verdict"] == "refused"
    assert not Index.open(index.directory).meta.notions


def test_what_cannot_be_learnt_from_is_named(made: Path, index: Index, drawn: Path) -> None:
    (made / "broken.png").write_bytes(b"no picture")
    more = [
        "rings-0.png,rings,200,100,300,300",
        "rings-1.png,rings,10,10,5,5",
        f"{made / 'broken.png'},rings,0,0,40,40",
    ]
    with (made / "boxes.csv").open("a") as file:
        file.write("\n" + "\n".join(more))
    learnt = learn(made, "--labels", made / "boxes.csv")
    reasons = [one["reason"] for one in learnt["skipped"]]
    assert len(reasons) == 3
    assert "not within" in reasons[0]
    assert "too small" in reasons[1]
    learner = Learner(Index.open(index.directory))
    added = learner.from_labels("things", [GivenLabel("none-0.png", "", "10,10,60,60")], add=True)
    assert added.labels == 2 * EACH + 1
    with pytest.raises(CbirError, match="was learnt from classes of parts"):
        learner.from_labels("things", [GivenLabel("none-0.png", "none")], add=True)
    (made / "none.csv").write_text("rings-0.png,rings\nrings-1.png,rings,1,1,40,40\n")
    told = run("learn", "more", "--labels", made / "none.csv", "--index", made / "index")
    assert "labels of pictures and of parts" in told.output


def test_a_notion_of_other_parts_is_stale_and_learnt_anew_from_the_pictures(
    made: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(made, "--labels", made / "boxes.csv")
    state = Index.open(index.directory)
    old = replace(read_notion(state, "things"), model="0" * 64)
    Writer(index.directory, state.meta).keep_notion("things", to_bytes(old))
    with pytest.raises(CbirError, match="from other parts than those of the index"):
        load_notion(Index.open(index.directory), "things", PARTS)
    assert json.loads(run("learn", "--list", "--index", made / "index", "--json").stdout)[0]["stale"]
    assert learn(made)["labels"] == 2 * EACH
    again = load_notion(Index.open(index.directory), "things", PARTS)
    assert sorted(map(tuple, again.labels.boxes.tolist())) == [BOX] * 2 * EACH
    # and now nothing is read
    monkeypatch.setattr(Parts, "find", lambda *_: pytest.fail("pictures are read"))
    assert learn(made)["labels"] == 2 * EACH


def test_a_notion_orders_what_it_is_of_and_nothing_else(made: Path, index: Index) -> None:
    learn(made, "--labels", made / "boxes.csv")
    searcher = Searcher(Index.open(index.directory))
    query = Query.from_path(made / "query.png")
    refused = [WordQuery.from_text("dog"), CombinedQuery((query,), (query,)), replace(query, parts=False)]
    for one in (*refused, replace(query, kind=True, parts=False)):
        with pytest.raises(CbirError, match=r"A notion of parts"):
            list(searcher.search([one], learnt="things"))
    with pytest.raises(CbirError, match="no percentiles"):
        list(searcher.search([query], learnt="things", min_percentile=50))
    for command in (("tags",), ("map", "--html", made / "map.html"), ("duplicates",), ("classify",)):
        told = run(*command, "--index", made / "index", "--learnt", "things")
        assert told.exit_code != 0
        assert "is of parts of pictures: it orders searches by parts (--region" in told.output, told.output
    assert "is of parts" in run("learn", "things", "--ask", 3, "--index", made / "index").output
    marks = [Picture(index.root / "rings-0.png", index.record(0).sha256, 0)]
    keep_notion(index.directory, learn_marks(Index.open(index.directory), "whole", marks, []))
    told = run("search", made / "query.png", "--parts", "--learnt", "whole", "--index", made / "index")
    assert "orders what whole pictures find" in told.output


def test_without_parts_there_is_nothing_to_learn(made: Path, drawn: Path) -> None:
    run("index", drawn / "photos", "--index", made / "index", "--no-parts", "-q")
    told = run("learn", "things", "--labels", made / "boxes.csv", "--index", made / "index")
    assert told.exit_code == 1
    assert "has no parts" in told.output

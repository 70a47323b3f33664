"""Notions learnt from folders, lists and pairs of an index whose features are given."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.errors import CbirError
from cbir.extract.extractor import Extractor
from cbir.index.files import FileRecord
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.learn.doubtful import doubtful_of
from cbir.learn.fitting import Basis, fit_classes, fit_guesses
from cbir.learn.lists import GivenLabel, GivenPair
from cbir.learn.pairs import groups_of
from cbir.learn.run import Learner
from cbir.notions.notion import NONE
from cbir.notions.store import keep_notion, load_notion, notions_of
from cbir.utils.vectors import l2_normalize
from tests.helpers.feature_index import make_index
from tests.helpers.photo_index import index_photos

FOLDERS = ("boats", "cars", "trees")


@pytest.fixture
def root(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> Path:
    """Three folders of twelve pictures, of which those of one are alike in the index."""
    for number, folder in enumerate(FOLDERS):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for one in range(12):
            draw_picture(100 * number + one, (32, 24)).save(tmp_path / "photos" / folder / f"{one:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def index(root: Path) -> Index:
    return Index.open(index_photos(root))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read and no network runs."""

    def run(self: Extractor, *_: object) -> None:
        raise AssertionError("pictures are read")

    monkeypatch.setattr(Extractor, "run", run)


def reopened(index: Index) -> Index:
    return Index.open(index.directory)


def labels(wrong: dict[str, str] | None = None) -> list[GivenLabel]:
    names = [f"{folder}/{one:02}.png" for folder in FOLDERS for one in range(12)]
    return [GivenLabel(name, (wrong or {}).get(name, name.split("/")[0])) for name in names]


# --- folders


@pytest.mark.usefixtures("no_network")
def test_folders_are_classes_and_no_picture_is_read(index: Index, root: Path) -> None:
    shutil.rmtree(root / "trees")
    learnt = Learner(index).from_folders("kinds", [root / name for name in FOLDERS])
    assert learnt.verdict == "applied"
    assert learnt.quality == 1
    assert learnt.classes == dict.fromkeys(FOLDERS, 12)
    notion = load_notion(reopened(index), "kinds")
    told = notion.scores(index.features(range(36))).argmax(axis=1)
    assert told.tolist() == [number for number in range(3) for _ in range(12)]
    assert notion.claims(notion.scores(index.features(range(36)))).mean() > 0.8
    assert notion.cosines is not None
    assert notion.cosines.rows == 36


@pytest.mark.usefixtures("no_network")
def test_of_one_folder_its_subfolders_are_the_classes(index: Index, root: Path) -> None:
    assert Learner(index).from_folders("kinds", [root]).classes == dict.fromkeys(FOLDERS, 12)
    one = Learner(index).from_folders("boats alone", [root / "boats"])
    assert one.classes == {"boats": 12}
    assert one.verdict == "applied"  # told from those without labels
    scores = load_notion(reopened(index), "boats alone").scores(index.features(range(36)))[:, 0]
    assert scores[:12].min() > scores[12:].max()


def test_folders_of_one_name_are_told_apart(index: Index, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "boats", tmp_path / "other" / "cars")
    learnt = Learner(index).from_folders("kinds", [root / "cars", tmp_path / "other" / "cars"])
    assert learnt.classes == {"other/cars": 12, "photos/cars": 12}
    with pytest.raises(CbirError, match="named twice"):
        Learner(index).from_folders("twice", [root / "cars", root / "cars"])


def test_copies_outside_are_known_by_content_and_others_seen_by_the_network(
    index: Index, root: Path, tmp_path: Path, draw_picture: Callable[..., Image.Image]
) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(root / "boats", outside / "afloat")
    shutil.copytree(root / "cars", outside / "ashore")
    learnt = Learner(index, engine="openvino").from_folders("copies", [outside])
    assert learnt.outside == 0
    assert learnt.classes == {"afloat": 12, "ashore": 12}
    draw_picture(999, (300, 300)).save(outside / "afloat" / "new.png")
    (outside / "ashore" / "broken.png").write_bytes(b"no picture")
    learnt = Learner(index).from_folders("more", [outside])
    assert learnt.outside == 1
    assert [one.path.name for one in learnt.skipped] == ["broken.png"]
    notion = load_notion(reopened(index), "more")
    assert notion.labels.features.shape == (1, index.dimension)
    assert np.linalg.norm(notion.labels.features[0].astype(np.float32)) == pytest.approx(1, abs=0.01)
    # the file may go: what was learnt from it is kept
    shutil.rmtree(outside)
    assert Learner(reopened(index)).again("more").outside == 1


@pytest.mark.parametrize("name", ["nothing", "nothing/here"])
def test_folders_that_are_none_are_errors(index: Index, root: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(CbirError, match="knows no folder"):
        Learner(index).from_folders("kinds", [root / name])
    with pytest.raises(CbirError, match="Cannot list the folder"):
        Learner(index).from_folders("kinds", [tmp_path / "else" / name])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CbirError, match="There are no pictures in"):
        Learner(index).from_folders("kinds", [tmp_path / "empty"])
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CbirError, match="is no folder"):
        Learner(index).from_folders("kinds", [tmp_path / "file"])
    assert reopened(index).meta.notions == ()


# --- lists


def test_labels_by_path_wrong_ones_are_doubtful_and_contradictory_ones_left_out(index: Index, root: Path) -> None:
    wrong = {"boats/03.png": "cars", "trees/05.png": "boats"}
    given = [*labels(wrong), GivenLabel(str(root / "cars/07.png"), "boats")]
    learnt = Learner(index).from_labels("kinds", given)
    told = {(one.picture.path.relative_to(root).as_posix(), one.given, one.likelier) for one in learnt.doubtful}
    assert told == {("boats/03.png", "cars", "boats"), ("trees/05.png", "boats", "trees")}
    assert [one.margin for one in learnt.doubtful] == sorted((one.margin for one in learnt.doubtful), reverse=True)
    assert [(one.paths, set(one.said)) for one in learnt.contradictions] == [
        ((root / "cars/07.png",), {"boats", "cars"})
    ]
    assert learnt.labels == 35
    now = reopened(index)
    again = doubtful_of(now, load_notion(now, "kinds"), Learner(now).pictures, 1)
    assert [one.picture.path for one in again] == [learnt.doubtful[0].picture.path]


def test_a_label_of_none_is_unlike_all_classes(index: Index) -> None:
    given = [one if one.class_name != "trees" else one._replace(class_name="") for one in labels()]
    learnt = Learner(index).from_labels("kinds", given)
    assert learnt.classes == {"boats": 12, "cars": 12}
    notion = load_notion(reopened(index), "kinds")
    assert (notion.labels.classes == NONE).sum() == 12
    lengths = np.linalg.norm(notion.scores(index.features(range(36))), axis=1)
    assert lengths[24:].max() < lengths[:24].min()


def test_shuffled_labels_are_refused_and_nothing_is_kept(index: Index) -> None:
    names = [one.class_name for one in labels()]
    shuffled = np.random.default_rng(2).permutation(names)
    given = [GivenLabel(one.path, str(name)) for one, name in zip(labels(), shuffled, strict=True)]
    learnt = Learner(index).from_labels("kinds", given)
    assert learnt.notion is None
    assert learnt.verdict == "refused"
    assert "hardly better than by chance" in learnt.why
    assert reopened(index).meta.notions == ()


def test_labels_are_added_replaced_and_learnt_again(index: Index) -> None:
    learner = Learner(index)
    learner.from_labels("kinds", labels()[:18])
    with pytest.raises(CbirError, match="has a notion kinds already"):
        learner.from_labels("kinds", labels())
    now = Learner(reopened(index))
    with pytest.raises(CbirError, match="There is no notion other"):
        now.from_labels("other", labels(), add=True)
    # a newer label takes the place of an older one
    added = now.from_labels("kinds", [*labels()[24:], GivenLabel("boats/00.png", "ships")], add=True)
    assert added.classes == {"boats": 11, "cars": 6, "ships": 1, "trees": 12}
    anew = Learner(reopened(index)).from_labels("kinds", labels()[:24], anew=True)
    assert anew.classes == {"boats": 12, "cars": 12}
    before = load_notion(reopened(index), "kinds")
    again = Learner(reopened(index)).again("kinds")
    assert again.notion is not None
    assert np.array_equal(again.notion.weights, before.weights)
    assert again.notion.gate == before.gate


def without(index: Index, names: list[str]) -> Index:
    """The index without some pictures, as when a run has not found them; their labels are somebody's work."""
    writer = Writer(index.directory, index.meta)
    writer.invalidate([row for row, record in index.records() if record.path in names])
    writer.commit()
    return reopened(index)


def kept(index: Index, name: str) -> dict[str, str]:
    """The labels of a notion: classes by content."""
    notion = load_notion(index, name)
    names = {NONE: "", **dict(enumerate(notion.classes))}
    pairs = zip(notion.labels.sha256s, notion.labels.classes.tolist(), strict=True)
    return {content.tobytes().hex(): names[number] for content, number in pairs}


def test_labels_of_pictures_that_are_not_there_now_are_kept(index: Index, caplog: pytest.LogCaptureFixture) -> None:
    Learner(index).from_labels("kinds", labels()[:24])
    before = kept(reopened(index), "kinds")
    gone = [f"boats/{one:02}.png" for one in range(12)] + ["cars/00.png"]
    less = without(reopened(index), gone)
    again = Learner(less).again("kinds")
    assert "13 labelled pictures are not in the index now: their labels are kept" in caplog.text
    assert again.verdict == "applied"
    assert (again.labels, again.classes) == (11, {"boats": 0, "cars": 11})
    assert kept(reopened(less), "kinds") == before
    added = Learner(reopened(less)).from_labels("kinds", labels()[24:], add=True)
    assert added.verdict == "applied"
    assert added.classes == {"boats": 0, "cars": 11, "trees": 12}
    found = kept(reopened(less), "kinds")
    assert before.items() < found.items()
    assert len(found) == 36
    # what is there again counts again
    shutil.rmtree(less.directory)
    whole = Index.open(index_photos(index.root))
    keep_notion(whole.directory, added.notion)  # type: ignore[arg-type]
    assert Learner(reopened(whole)).again("kinds").classes == {"boats": 12, "cars": 12, "trees": 12}


def test_pairs_of_pictures_that_are_not_there_now_are_kept(root: Path) -> None:
    index = Index.open(_noisy(root))
    Learner(index).from_pairs("mine", pairs())
    before = load_notion(reopened(index), "mine").labels
    less = without(reopened(index), ["boats/00.png", "cars/01.png", "trees/02.png"])

    def named() -> set[tuple[str, str, int]]:
        labels = load_notion(reopened(index), "mine").labels
        names = [content.tobytes().hex() for content in labels.sha256s]
        return {(names[one], names[other], same) for one, other, same in labels.pairs.tolist()}

    wanted = named()
    again = Learner(less).again("mine")
    assert again.notion is not None
    assert again.labels == len(before) - 3
    assert named() == wanted
    Learner(reopened(less)).from_pairs("mine", pairs()[:10], add=True)
    assert named() == wanted
    assert len(load_notion(reopened(index), "mine").labels) == len(before)


def test_what_another_run_has_learnt_meanwhile_is_not_lost(index: Index) -> None:
    Learner(index).from_labels("kinds", labels()[:18])
    first, second = Learner(reopened(index)), Learner(reopened(index))
    first.from_labels("kinds", labels()[18:30], add=True)
    with pytest.raises(CbirError, match="changed meanwhile by another run: run the same command again"):
        second.from_labels("kinds", labels()[30:], add=True)
    Learner(reopened(index)).from_labels("kinds", labels()[30:], add=True)
    assert len(kept(reopened(index), "kinds")) == 36


def test_labels_go_over_to_an_index_by_another_network(index: Index, tmp_path: Path) -> None:
    Learner(index).from_labels("kinds", labels())
    files = [(record.path, record.sha256) for _, record in index.records()]
    features = np.concatenate([index.features(range(36))[:, ::-2], np.ones((36, 1))], axis=1)
    other = make_index(tmp_path / "other", features)
    model = {**other.meta.model, "name": "another"}
    writer = Writer(other.directory, other.meta.but(blocks=(), model=model))
    for (path, sha256), feature in zip(files[:30], features, strict=False):
        writer.add(FileRecord(path, 1, 1, sha256), feature)
    writer.commit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cbir.learn.run.backbone_of", lambda index, weights: "efficientnet_lite0")
        learner = Learner(Index.open(other.directory))
        learnt = learner.from_index("kinds", reopened(index))
        assert learnt.classes == {"boats": 12, "cars": 12, "trees": 6}
        assert learnt.verdict == "applied"
        with pytest.raises(CbirError, match="has a notion kinds already"):
            learner.from_index("kinds", reopened(index))
        with pytest.raises(CbirError, match="There is no notion others"):
            learner.from_index("others", reopened(index))


def test_what_has_no_class_teaches_nothing(index: Index) -> None:
    with pytest.raises(CbirError, match="none of the pictures given has a class"):
        Learner(index).from_labels("kinds", [GivenLabel("boats/00.png", "")])
    with pytest.raises(CbirError, match=r"has a class \(nowhere.png: "):
        Learner(index).from_labels("kinds", [GivenLabel("nowhere.png", "boats")])


def test_a_report_is_json(index: Index) -> None:
    record = Learner(index).from_labels("kinds", labels({"boats/03.png": "cars"})).to_dict()
    assert record["verdict"] == "applied"
    assert record["classes"][0] == {"class": "boats", "labels": 11}
    assert record["doubtful"][0]["likelier"] == "boats"
    assert notions_of(reopened(index))[0][0].labels == 36


# --- pairs


def pairs(shuffle: int | None = None) -> list[GivenPair]:
    """Pairs of pictures of one folder, and of two."""
    random = np.random.default_rng(4)
    found = []
    for number in range(120):
        first, second = random.choice(12, 2, replace=False)
        one, other = random.choice(3, 2, replace=False)
        is_same = number % 2 == 0
        folder = FOLDERS[one] if is_same else FOLDERS[other]
        found.append(GivenPair(is_same, f"{FOLDERS[one]}/{first:02}.png", f"{folder}/{second:02}.png"))
    if shuffle is not None:
        said = np.random.default_rng(shuffle).permutation([one.is_same for one in found])
        found = [one._replace(is_same=bool(same)) for one, same in zip(found, said, strict=True)]
    return found


def test_pictures_that_are_the_same_are_united() -> None:
    groups = groups_of(np.array([[0, 1, 1], [1, 2, 1], [3, 4, 1], [2, 3, 0]], np.int32), 6)
    assert groups.tolist() == [0, 0, 0, 1, 1, NONE]


def test_pairs_make_groups_and_held_out_ones_decide(tmp_path: Path, root: Path) -> None:
    index = Index.open(_noisy(root))
    learnt = Learner(index).from_pairs("mine", pairs())
    assert learnt.plain is not None
    assert learnt.quality > max(learnt.plain, 0.7)
    assert learnt.verdict == "applied"
    assert len(learnt.classes) == 3
    again = Learner(reopened(index)).again("mine")
    assert (again.quality, again.classes) == (pytest.approx(learnt.quality, abs=1e-5), learnt.classes)
    with pytest.raises(CbirError, match="was learnt from pairs"):
        Learner(reopened(index)).from_labels("mine", labels(), add=True)
    more = Learner(reopened(index)).from_pairs("mine", pairs()[:10], add=True)
    assert more.labels == learnt.labels


def test_shuffled_pairs_are_refused_and_contradictions_told(root: Path) -> None:
    index = Index.open(_noisy(root))
    learnt = Learner(index).from_pairs("mine", pairs(shuffle=1))
    assert learnt.verdict == "refused"
    assert "does not help" in learnt.why
    assert len(learnt.contradictions) > 30
    assert learnt.contradictions[0].said == ("different", "same")
    with pytest.raises(CbirError, match="five of `same` and five of `different`"):
        Learner(index).from_pairs("mine", pairs()[:8])


def _noisy(root: Path) -> Path:
    """The same index, whose features say less of the folders than of something else."""
    directory = index_photos(root)
    file = next(directory.glob("features-*"))
    features = np.load(file).astype(np.float32)
    random = np.random.default_rng(5)
    other = random.normal(0, 0.12, (12, features.shape[1]))
    features += other[np.arange(len(features)) % 12]
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    header = file.read_bytes()[:128]
    file.write_bytes(header + features.astype("<f2").tobytes())
    return directory


def _few_of_many(seed: int = 4) -> tuple[Basis, np.ndarray]:
    """Rows around three centres that are near each other, of which two of each have labels; and all classes."""
    random = np.random.default_rng(seed)
    classes = np.arange(60) % 3
    rows = random.normal(0, 1, (3, 40))[classes] + random.normal(0, 1.6, (60, 40))
    made = l2_normalize(rows.astype(np.float32))
    return Basis(np.zeros(40, np.float32), made[:6], made[6:], np.zeros(60, np.float32)), classes


def _right(basis: Basis, weights: np.ndarray, classes: np.ndarray) -> float:
    return float(((basis.unlabelled @ weights).argmax(axis=1) == classes[6:]).mean())


def test_guesses_of_what_has_no_label_teach_and_labels_are_told_as_before() -> None:
    gains = []
    for seed in range(12):
        basis, classes = _few_of_many(seed)
        numbers = classes[:6].astype(np.int32)
        found = fit_classes(basis, numbers, 3)
        found = replace(found, left_out_unlabelled=found.left_out_unlabelled + 1)  # as if they covered all
        again = fit_guesses(basis, numbers, found)
        gains.append(_right(basis, again.weights, classes) - _right(basis, found.weights, classes))
        # what labels tell of each other is as before, but for the length of all scores
        assert l2_normalize(again.left_out) == pytest.approx(l2_normalize(found.left_out), abs=1e-4)
        assert np.linalg.norm(again.left_out_unlabelled) > 0
    assert np.mean(gains) > 0.01


def test_nothing_is_guessed_where_classes_do_not_cover_the_index() -> None:
    basis, classes = _few_of_many()
    numbers = classes[:6].astype(np.int32)
    found = fit_classes(basis, numbers, 3)
    uncovered = replace(found, left_out_unlabelled=np.zeros_like(found.left_out_unlabelled))
    assert fit_guesses(basis, numbers, uncovered) is uncovered
    alone = replace(fit_classes(basis, np.zeros(6, np.int32), 1), left_out_unlabelled=np.ones((54, 1), np.float32))
    assert fit_guesses(basis, np.zeros(6, np.int32), alone) is alone

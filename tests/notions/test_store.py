"""Notions in an index: kept, replaced, forgotten, damaged, and forged."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbir.errors import CbirError, IndexDamagedError, IndexLockedError
from cbir.index.arrays import pack_arrays, unpack_arrays
from cbir.index.files import FileRecord
from cbir.index.format import META, load_meta
from cbir.index.lock import exclusive
from cbir.index.similarity import sample
from cbir.index.store import Index
from cbir.index.verify import find_problems, without_damage
from cbir.index.writer import Writer
from cbir.notions.notion import GATE, Labels, LearntRows, Notion, fingerprint
from cbir.notions.probability import Certainty
from cbir.notions.store import forget_notion, from_bytes, keep_notion, load_notion, notions_of, to_bytes
from tests.helpers.feature_index import make_index
from tests.helpers.notions import make_notion

DIMENSION = 16


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An index of 12 pictures around three centres."""
    random = np.random.default_rng(1)
    centres = random.normal(0, 1, (3, DIMENSION))
    return make_index(tmp_path / "index", centres[np.arange(12) % 3] + random.normal(0, 0.5, (12, DIMENSION)))


def notion_of(index: Index, name: str = "kinds", **changes: Any) -> Notion:
    return make_notion(index, np.arange(9), np.arange(9) % 3, name, **changes)


def reopened(index: Index) -> Index:
    return Index.open(index.directory)


def assert_same(one: Notion, other: Notion) -> None:
    assert to_bytes(one) == to_bytes(other)


def test_an_open_index_goes_on_to_notions_that_are_newer_and_to_nothing_else(index: Index) -> None:
    keep_notion(index.directory, notion_of(index))
    with pytest.raises(CbirError, match="There is no notion kinds"):
        load_notion(index, "kinds")
    assert index.take_notions(load_meta(index.directory))
    assert_same(load_notion(index, "kinds"), notion_of(index))
    writer = Writer(index.directory, index.meta)
    writer.invalidate([0])
    writer.commit()
    forget_notion(index.directory, "kinds")
    assert not index.take_notions(load_meta(index.directory))
    assert [entry.name for entry in index.meta.notions] == ["kinds"]
    assert index.valid.all()


# --- the notion itself


def test_scores_are_those_of_the_class_and_its_gate_claims_its_own(index: Index) -> None:
    notion = notion_of(index)
    scores = notion.scores(index.features(range(12)))
    assert (scores.argmax(axis=1) == np.arange(12) % 3).all()
    assert (scores >= 0).all()
    assert notion.claims(scores).all()
    centre = notion.mean[None]
    assert not notion.claims(notion.scores(centre)).any()
    assert (np.linalg.norm(scores, axis=1) >= GATE).all()


def test_a_notion_keeps_how_sure_it_is(index: Index) -> None:
    for certainty in (Certainty(7.5), Certainty(3.0, -0.25)):
        assert from_bytes(to_bytes(notion_of(index, certainty=certainty))).certainty == certainty
    features = index.features(range(12))
    sure, unsure = (notion_of(index, certainty=Certainty(slope)).probabilities(features) for slope in (8.0, 1.0))
    assert (sure.argmax(axis=1) == np.arange(12) % 3).all()
    assert np.allclose(sure.sum(axis=1), 1, atol=1e-5)
    assert (sure.max(axis=1) > unsure.max(axis=1)).all()


def test_likeness_is_the_cosine_of_feature_and_scores(index: Index) -> None:
    notion = notion_of(index)
    features = index.features([0, 3])
    centred = notion.centred(features)
    assert np.allclose(np.linalg.norm(centred, axis=1), 1, atol=1e-5)
    scores = notion.scores(features)
    both = [np.concatenate([one, 0.8 * its]) for one, its in zip(centred, scores, strict=True)]
    expected = both[0] @ both[1] / np.linalg.norm(both[0]) / np.linalg.norm(both[1])
    vectors = notion.vectors(features)
    assert vectors[0] @ vectors[1] == pytest.approx(expected, abs=1e-5)


def test_rows_by_a_notion_are_sampled_like_those_of_an_index(index: Index) -> None:
    notion = notion_of(index)
    learnt = LearntRows(index, notion)
    assert learnt.dimension == DIMENSION + 3
    assert np.allclose(np.concatenate([chunk for _, chunk in learnt.chunks()]), learnt.features(range(12)))
    plain, found = sample(index), sample(learnt)
    assert plain is not None
    assert found is not None
    assert found.nearest[8] > plain.nearest[8]  # the nearest of the same class have come nearer


def test_networks_are_the_same_wherever_their_weights_lie(index: Index) -> None:
    model = index.model
    elsewhere = {**model, "weights": {**model["weights"], "path": "/elsewhere"}}
    assert fingerprint(elsewhere) == fingerprint(model)
    assert fingerprint({**model, "weights": {"sha256": "1" * 64}}) != fingerprint(model)
    assert fingerprint({**model, "views": 2}) != fingerprint(model)


# --- in the index


def test_a_notion_is_kept_replaced_and_forgotten(index: Index) -> None:
    assert notions_of(index) == ([], [])
    kept = notion_of(index)
    keep_notion(index.directory, kept)
    keep_notion(index.directory, notion_of(index, "Other", quality=0.4, verdict="weak"))
    now = reopened(index)
    assert_same(load_notion(now, "kinds"), kept)
    infos, problems = notions_of(now)
    assert [(one.name, one.quality, one.labels, one.stale) for one in infos] == [
        ("kinds", 0.8, 9, False),
        ("Other", 0.4, 9, False),
    ]
    assert problems == []
    keep_notion(index.directory, replace(kept, quality=0.9))
    assert load_notion(reopened(index), "kinds").quality == 0.9
    assert load_notion(now, "kinds").quality == 0.9  # its file of then is gone
    assert len(list(index.directory.glob("notion-*"))) == 2
    assert find_problems(reopened(index), verify=True) == []
    forget_notion(index.directory, "kinds")
    assert [one.name for one in notions_of(reopened(index))[0]] == ["Other"]
    assert len(list(index.directory.glob("notion-*"))) == 1
    with pytest.raises(CbirError, match="There is no notion kinds in the index index: it has Other"):
        forget_notion(index.directory, "kinds")
    with pytest.raises(CbirError, match="There is no notion kinds"):
        load_notion(now, "kinds")


def test_notions_survive_runs_and_compaction(index: Index) -> None:
    kept = notion_of(index)
    keep_notion(index.directory, kept)
    writer = Writer(index.directory, load_meta(index.directory))
    for number in range(1100):
        writer.add(FileRecord(f"{number}.png", 1, 1, f"{number:064x}"), np.arange(DIMENSION))
    writer.commit()
    writer.invalidate(range(1100))
    writer.commit()
    writer.tidy()
    assert len(writer.meta.blocks) == 1
    assert writer.meta.rows == 12
    assert_same(load_notion(reopened(index), "kinds"), kept)


def test_an_index_without_notions_says_nothing_of_them(index: Index) -> None:
    assert "notions" not in json.loads((index.directory / META).read_text())
    keep_notion(index.directory, notion_of(index))
    forget_notion(index.directory, "kinds")
    assert "notions" not in json.loads((index.directory / META).read_text())


def test_a_notion_waits_for_no_other_writer_unasked(index: Index) -> None:
    with exclusive(index.directory), pytest.raises(IndexLockedError):
        keep_notion(index.directory, notion_of(index))
    assert reopened(index).meta.notions == ()


def test_a_notion_of_another_network_is_stale(index: Index) -> None:
    keep_notion(index.directory, notion_of(index))
    forge(index.directory, lambda meta: meta["model"].update(views=2))
    now = reopened(index)
    assert notions_of(now)[0][0].stale
    with pytest.raises(CbirError, match=r"another network .* `cbir learn 'kinds' --index index` learns it anew"):
        load_notion(now, "kinds")
    with pytest.raises(CbirError, match="made anew meanwhile"):
        keep_notion(index.directory, notion_of(index))


def test_an_index_has_so_many_notions_and_no_more(index: Index) -> None:
    for number in range(100):
        keep_notion(index.directory, notion_of(index, f"n{number}"))
    with pytest.raises(CbirError, match="has 100 notions, and cannot have more"):
        keep_notion(index.directory, notion_of(index, "one more"))
    keep_notion(index.directory, notion_of(index, "n99", quality=0.7))
    assert len(notions_of(reopened(index))[0]) == 100


@pytest.mark.parametrize("name", ["", " a", "a ", "-a", ".a", "a/b", "a\nb", "a\x1b[31m", "a" * 65, "a\udc80", "a:b"])
def test_names_that_a_shell_or_a_file_could_not_have_are_refused(index: Index, name: str) -> None:
    with pytest.raises(CbirError, match="A notion cannot be called"):
        keep_notion(index.directory, notion_of(index, name))


@pytest.mark.parametrize("name", ["a", "a b", "häuser-2_x.y", "花"])
def test_names_of_letters_of_any_script_are_taken(index: Index, name: str) -> None:
    keep_notion(index.directory, notion_of(index, name))
    assert load_notion(reopened(index), name).name == name


# --- damage


def damaged(index: Index) -> Path:
    keep_notion(index.directory, notion_of(index, "sound"))
    keep_notion(index.directory, notion_of(index))
    return index.directory / reopened(index).meta.notions[-1].file.name


@pytest.mark.parametrize("how", ["missing", "short", "changed", "link"])
def test_a_damaged_notion_is_told_and_ends_nothing_else(index: Index, how: str) -> None:
    path = damaged(index)
    data = bytearray(path.read_bytes())
    path.unlink()
    if how == "short":
        path.write_bytes(data[:-1])
    elif how == "changed":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif how == "link":
        path.symlink_to(index.directory / META)
    now = reopened(index)
    with pytest.raises(IndexDamagedError, match=r"Searches without the notion kinds go on\..* learn it anew"):
        load_notion(now, "kinds")
    infos, problems = notions_of(now)
    assert [one.name for one in infos] == ["sound"]
    assert [str(path) in one for one in problems] == [True]
    assert any(path.name in problem for problem in find_problems(now, verify=True))
    sound, _ = without_damage(index.directory, load_meta(index.directory))
    assert [notion.name for notion in sound.notions] == ["sound"]
    assert sound.rows == 12


def forge(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change meta.json, and make its checksum fit."""
    meta = json.loads((directory / META).read_text())
    del meta["checksum"]
    change(meta)
    canonical = json.dumps(meta, sort_keys=True, separators=(",", ":"))
    meta["checksum"] = hashlib.sha256(canonical.encode("ascii")).hexdigest()
    (directory / META).write_text(json.dumps(meta))


@pytest.mark.parametrize(
    "notions",
    [
        {"name": "a/b"},
        {"name": 3},
        {"name": "a", "file": {"name": "../notion-000001.npz", "bytes": 1, "sha256": "0" * 64}},
        {"name": "a", "file": {"name": "features-000001.npy", "bytes": 1, "sha256": "0" * 64}},
        {"name": "a", "file": None},
    ],
)
def test_entries_that_cannot_be_are_damage(index: Index, notions: dict[str, Any]) -> None:
    sound = {"name": "a", "file": {"name": "notion-000009.npz", "bytes": 1, "sha256": "0" * 64}}
    forge(index.directory, lambda meta: meta.update(notions=[{**sound, **notions}]))
    with pytest.raises(IndexDamagedError):
        load_meta(index.directory)


def test_a_name_twice_or_too_many_are_damage(index: Index) -> None:
    def entries(names: list[str]) -> list[dict[str, Any]]:
        files = [{"name": f"notion-{9 + i:06}.npz", "bytes": 1, "sha256": "0" * 64} for i in range(len(names))]
        return [{"name": name, "file": file} for name, file in zip(names, files, strict=True)]

    for names in (["a", "a"], [f"{number}" for number in range(101)]):
        forge(index.directory, lambda meta, names=names: meta.update(notions=entries(names)))
        with pytest.raises(IndexDamagedError):
            load_meta(index.directory)


def test_a_forged_file_is_damage_whatever_stands_in_it(index: Index) -> None:
    sound = notion_of(index)
    arrays = unpack_arrays(to_bytes(sound), ("|u1", "<f2", "<f4", "<i4"))
    about = json.loads(arrays["about"].tobytes())

    def with_about(**changes: Any) -> dict[str, np.ndarray]:
        return {**arrays, "about": np.frombuffer(json.dumps({**about, **changes}).encode(), np.uint8)}

    infinite = arrays["weights"].copy()
    infinite[3, 1] = np.inf
    unknown = arrays["mean"].copy()
    unknown[0] = np.nan
    forged = [
        *(with_about(**{key: None}) for key in about if key != "cosines"),
        *(with_about(scale=value) for value in (-1, 1e30, True, "1")),
        with_about(quality=7),
        with_about(kind="pears"),
        with_about(verdict="refused"),
        with_about(name="../x"),
        with_about(classes=["a", "b"]),
        with_about(classes=[]),
        with_about(classes=["a", "b\0", "c"]),
        with_about(cosines={"rows": 1}),
        with_about(certainty={"slope": 1}),
        with_about(certainty={"slope": -1, "none": None}),
        with_about(certainty={"slope": 1, "none": "1"}),
        with_about(model="x"),
        {**arrays, "about": np.frombuffer(b"[" * 100_000, np.uint8)},
        {**arrays, "about": np.frombuffer(b'{"name": NaN}', np.uint8)},
        {**arrays, "weights": infinite},
        {**arrays, "mean": unknown},
        {**arrays, "mean": arrays["mean"][None]},
        {**arrays, "mean": arrays["mean"][:-1]},
        {**arrays, "weights": arrays["weights"].T.copy()},
        {**arrays, "label_classes": arrays["label_classes"] + 1},
        {**arrays, "label_classes": arrays["label_classes"] - 2},
        {**arrays, "label_classes": arrays["label_classes"][1:]},
        {**arrays, "label_sha256s": arrays["label_sha256s"][:, 1:]},
        {**arrays, "label_features": np.zeros((10, DIMENSION), np.float16)},
        {**arrays, "label_features": np.zeros((1, DIMENSION - 1), np.float16)},
        {**arrays, "label_features": np.full((1, DIMENSION), np.nan, np.float16)},
        {**arrays, "label_features": np.zeros((1, DIMENSION), np.float32)},
        {**arrays, "label_pairs": np.array([[0, 9, 1]], np.int32)},
        {**arrays, "label_pairs": np.array([[-1, 0, 1]], np.int32)},
        {**arrays, "label_pairs": np.array([[0, 1, 2]], np.int32)},
        {**arrays, "label_pairs": np.zeros((1, 2), np.int32)},
        {**arrays, "weights": arrays["weights"].astype(np.float64)},
        {key: value for key, value in arrays.items() if key != "mean"},
    ]
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.int32), (9, 1))
    forged += [
        with_about(of="pears"),
        with_about(of="parts"),
        {**with_about(of="parts"), "label_boxes": boxes[1:]},
        {**with_about(of="parts"), "label_boxes": boxes - 1},
        {**with_about(of="parts"), "label_boxes": boxes << 26},
        {**with_about(of="parts"), "label_boxes": boxes.astype(np.float32)},
        {**arrays, "label_boxes": boxes},
    ]
    assert from_bytes(pack_arrays({**with_about(of="parts"), "label_boxes": boxes})).of == "parts"
    assert_same(from_bytes(pack_arrays(arrays)), sound)
    for one in forged:
        with pytest.raises((ValueError, TypeError, KeyError, RecursionError)):
            from_bytes(pack_arrays(one))
    # any of them is one sentence in an index
    keep_notion(index.directory, sound)
    path = index.directory / reopened(index).meta.notions[0].file.name
    for one in forged:
        data = pack_arrays(one)
        path.write_bytes(data)
        changed = {"name": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        forge(index.directory, lambda meta, changed=changed: meta["notions"][0].update(file=changed))
        with pytest.raises(IndexDamagedError, match="Searches without the notion"):
            load_notion(reopened(index), "kinds")


def test_a_small_file_of_large_arrays_is_refused_before_they_are_made(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("mean.npy", bytes(10_000_000))
    with pytest.raises(ValueError, match="compressed"):
        unpack_arrays(path.read_bytes(), ("<f4",))
    # one content, named by a thousand members
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mean.npy", bytes(1_000_000))
        first = file.infolist()[0]
        for number in range(1000):
            again = zipfile.ZipInfo(f"{number}.npy")
            again.header_offset, again.CRC = first.header_offset, first.CRC
            again.compress_size = again.file_size = first.file_size
            file.filelist.append(again)
            file.NameToInfo[again.filename] = again
    with pytest.raises(ValueError, match="larger than the file"):
        unpack_arrays(path.read_bytes(), ("<f4",))


def test_labels_of_pictures_that_the_index_has_not_come_with_their_features(index: Index) -> None:
    notion = notion_of(index)
    outside = index.features([0, 1]).astype(np.float16)
    labels = Labels(notion.labels.sha256s, notion.labels.classes, outside, np.array([[0, 1, 0]], np.int32))
    keep_notion(index.directory, replace(notion, labels=labels))
    read = load_notion(reopened(index), "kinds").labels
    assert (read.features == outside).all()
    assert read.pairs.tolist() == [[0, 1, 0]]


@pytest.mark.skipif(os.name != "posix", reason="rights of owner, group and others")
def test_a_notion_is_for_those_who_may_read_the_index(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    index = make_index(tmp_path / "index", np.random.default_rng(1).normal(0, 1, (12, DIMENSION)), tmp_path / "private")
    keep_notion(index.directory, notion_of(index))
    assert (index.directory / "notion-000002.npz").stat().st_mode & 0o077 == 0

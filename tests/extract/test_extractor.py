"""From files to features: in order, each content once, and no bad file stops the others."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

import cbir.engines.select
import cbir.extract.extractor
import cbir.images.read
from benchmarks.processes import descendants
from cbir.errors import ImageReadError, ModelError
from cbir.extract.extractor import Extractor
from cbir.extract.loader import AHEAD
from cbir.images.fit import fit
from cbir.images.read import decode, decode_reduced, read_views
from cbir.images.source import NamedImage
from cbir.utils.vectors import l2_normalize
from cbir.utils.workers import usable_cores


def jpeg(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class MeanColour:
    """An engine whose features are a picture's mean colour; it remembers how many pictures each call had."""

    description, precision, batch, depth = "mean colour", "f32", 4, 2

    def __init__(self):
        self.calls = []
        self.under_way = 0

    def start(self, pictures):
        assert pictures.dtype == np.uint8
        assert pictures.shape[1:] == (224, 224, 3)
        assert self.under_way < self.depth
        self.under_way += 1
        self.calls.append(len(pictures))

        def finish():
            self.under_way -= 1
            return pictures.mean((1, 2), dtype=np.float32)

        return finish

    def features(self, pictures):
        return self.start(pictures)()


@pytest.fixture
def engine(monkeypatch):
    """The engine that every Extractor opens here."""
    opened = MeanColour()
    monkeypatch.setattr(cbir.engines.select, "open_engine", lambda *args, **options: opened)
    return opened


def plain(level):
    """The bytes of a plain grey picture, and its mean colour."""
    return jpeg(Image.new("RGB", (8, 8), (level, level, level)))


def test_decoders_that_are_kept_serve_one_run_after_another(engine, bundled, photo_folder):
    def decoders():
        return set(descendants(os.getpid())) - before

    before = set(descendants(os.getpid()))
    files = [(path.name, path) for path in sorted(photo_folder(6).iterdir())]
    extractor = Extractor(bundled, isolated=True)
    results = [list(one.run(files)) for one in [extractor.keeping_decoders()] * 2]
    assert [result.error for result in results[1]] == [None] * 6
    kept = decoders()
    assert 1 <= len(kept) <= max(2, usable_cores()), "the second run had those of the first"
    list(extractor.run(files))
    assert decoders() == kept, "others end with their run"
    for process in kept:
        os.kill(process, signal.SIGKILL)


def test_results_come_in_the_order_of_the_files(engine, bundled, photo_folder):
    root = photo_folder(11)
    paths = sorted(root.iterdir(), reverse=True)
    results = list(Extractor(bundled).run((path.name, path) for path in paths))
    assert [result.key for result in results] == [path.name for path in paths]
    for path, result in zip(paths, results, strict=True):
        picture = fit(decode(path.read_bytes(), name=""), bundled.preprocessing)
        assert np.allclose(result.feature, picture.mean((0, 1)), atol=1e-3)
        assert result.sha256 == sha256(path.read_bytes())
        assert result.error is None
    assert engine.calls == [4, 4, 3]


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, AHEAD + 3])
def test_any_number_of_pictures_is_cut_into_batches(engine, bundled, n):
    results = list(Extractor(bundled).run((i, plain(i)) for i in range(n)))
    assert [result.key for result in results] == list(range(n))
    assert np.allclose([result.feature[0] for result in results], range(n), atol=1.5)
    assert engine.calls == [4] * (n // 4) + ([n % 4] if n % 4 else [])


def test_no_files_need_no_engine(bundled, monkeypatch):
    monkeypatch.setattr(cbir.engines.select, "open_engine", None)
    assert list(Extractor(bundled).run([])) == []


def test_bad_files_are_errors_in_their_place_and_stop_nothing(engine, bundled, tmp_path):
    good = [plain(level) for level in range(6)]
    (tmp_path / "text.jpg").write_bytes(b"only words")
    (tmp_path / "half.jpg").write_bytes(good[0][: len(good[0]) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    bad = ["text.jpg", "missing.jpg", "half.jpg", "empty.jpg", "."]
    files = [(name, tmp_path / name) for name in bad]
    mixed = [pair for both in itertools.zip_longest(files, enumerate(good)) for pair in both if pair is not None]
    results = {result.key: result for result in Extractor(bundled).run(mixed)}
    assert list(results) == [key for key, _ in mixed]
    assert all(results[i].feature is not None and results[i].error is None for i in range(6))
    for name, reason in zip(bad, ["no picture", "no such file", "damaged", "empty", "folder"], strict=True):
        assert results[name].feature is None
        assert isinstance(results[name].error, ImageReadError)
        assert reason in results[name].error.reason
        assert str(tmp_path / name) in str(results[name].error)
    assert results["text.jpg"].sha256 == sha256(b"only words")
    assert results["missing.jpg"].sha256 == ""
    assert [name for name in bad if results[name].error.transient] == ["missing.jpg"]
    assert sum(engine.calls) == 6


def test_bytes_that_are_no_picture_are_named_in_words(engine, bundled):
    (result,) = Extractor(bundled).run([("key", b"words")])
    assert "the picture" in str(result.error)
    assert engine.calls == []


def test_only_bad_files_need_no_engine(bundled, monkeypatch, tmp_path):
    monkeypatch.setattr(cbir.engines.select, "open_engine", None)
    assert all(result.error for result in Extractor(bundled).run((i, tmp_path / "missing") for i in range(20)))


def test_known_contents_are_not_decoded(engine, bundled, monkeypatch):
    decoded = []

    def watched(data, *args, **options):
        decoded.append(data)
        return read_views(data, *args, **options)

    monkeypatch.setattr(cbir.images.read, "read_views", watched)
    contents = [plain(0), b"no picture, but known", plain(2), plain(3)]
    known = {sha256(contents[1]), sha256(contents[2])}
    results = list(Extractor(bundled).run(enumerate(contents), known=lambda sha256: () if sha256 in known else None))
    assert [result.feature is None for result in results] == [False, True, True, False]
    assert all(result.error is None for result in results)
    assert [result.sha256 for result in results] == [sha256(data) for data in contents]
    assert sorted(decoded) == sorted([contents[0], contents[3]])
    assert engine.calls == [2]


@pytest.mark.parametrize("apart", [1, 2, 4, 50, AHEAD + 10])
def test_the_same_content_goes_through_the_network_once(engine, bundled, apart):
    files = [("first", plain(200)), *((i, plain(i)) for i in range(apart - 1)), ("again", plain(200))]
    results = {result.key: result for result in Extractor(bundled).run(files)}
    assert list(results) == [key for key, _ in files]
    assert results["first"].feature is not None
    assert results["again"].feature is None
    assert results["again"].error is None
    assert results["again"].sha256 == results["first"].sha256
    assert sum(engine.calls) == apart


def test_another_run_knows_nothing_of_the_last(engine, bundled):
    extractor = Extractor(bundled)
    for _ in range(2):
        (result,) = extractor.run([(0, plain(9))])
        assert result.feature is not None
    assert engine.calls == [1, 1]


@pytest.mark.usefixtures("engine")
def test_files_are_read_only_so_far_ahead(bundled):
    taken = itertools.count()
    run = Extractor(bundled).run((next(taken), plain(i % 256)) for i in range(10 * AHEAD))
    next(run)
    assert next(taken) <= AHEAD + (MeanColour.depth + 1) * MeanColour.batch
    run.close()


def test_what_fails_in_the_engine_ends_the_run(bundled, monkeypatch):
    def fail(*args, **options):
        raise ModelError("It cannot.")

    monkeypatch.setattr(cbir.engines.select, "open_engine", fail)
    with pytest.raises(ModelError, match="It cannot"):
        list(Extractor(bundled).run((i, plain(i)) for i in range(50)))


def test_the_engine_is_opened_once_with_what_was_asked_for(bundled, monkeypatch):
    opened = []

    def open_engine(*args, **options):
        opened.append((args, options))
        return MeanColour()

    monkeypatch.setattr(cbir.engines.select, "open_engine", open_engine)
    extractor = Extractor("efficientnet_lite0", engine="torch", expected=500)
    assert not opened
    extractor.feature(plain(1))
    extractor.feature(plain(2))
    assert opened == [((bundled,), {"engine": "torch", "expected": 500})]


# --- with the network


def test_features_are_those_of_torch(bundled, photo_folder):
    root, extractor = photo_folder(20), Extractor(bundled, engine="auto:f32")
    paths = sorted(root.iterdir())
    results = list(extractor.run((path.name, path) for path in paths))
    pictures = np.stack([fit(decode(path.read_bytes(), name=""), bundled.preprocessing) for path in paths])
    with torch.inference_mode():
        expected = bundled.build()(torch.from_numpy(pictures)).numpy()
    features = np.stack([result.feature for result in results])
    assert features.dtype == np.float32
    assert (l2_normalize(features) * l2_normalize(expected)).sum(1).min() >= 0.999


def test_a_single_feature_has_length_1(extractor, draw_picture, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(draw_picture(1)))
    feature = extractor.feature(path)
    assert (feature.shape, feature.dtype) == ((1280,), np.float32)
    assert np.linalg.norm(feature) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(extractor.feature(path.read_bytes()), feature)
    (result,) = extractor.run([("a", path)])
    assert np.allclose(l2_normalize(result.feature), feature, atol=1e-6)
    assert np.linalg.norm(result.feature) != pytest.approx(1, abs=0.1)


def test_different_pictures_have_different_features(extractor, draw_picture):
    first, second = (extractor.feature(jpeg(draw_picture(seed))) for seed in (1, 2))
    assert first @ second < 0.99


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((1600, 1200), (800, 600)),
        ((1601, 1201), (801, 601)),
        ((4001, 2999), (1001, 750)),
        ((4000, 3000), (1000, 750)),
        ((1100, 2400), (550, 1200)),
    ],
)
def test_a_reduced_decode_keeps_the_feature(bundled, draw_picture, size, decoded):
    data = jpeg(draw_picture(3, (400, 300)).resize(size, Image.Resampling.BICUBIC), quality=90)
    reduced, _ = decode_reduced(data, name="", at_least=bundled.preprocessing.decode_at_least)
    assert reduced.size == decoded
    whole = fit(decode(data, name=""), bundled.preprocessing)
    extractor = Extractor(bundled, engine="auto:f32")
    expected = l2_normalize(extractor.engine.features(whole[np.newaxis])[0])
    assert extractor.feature(data) @ expected >= 0.999


def test_a_single_picture_that_cannot_be_read_is_an_error(extractor, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"words")
    with pytest.raises(ImageReadError, match=r"bad\.jpg"):
        extractor.feature(tmp_path / "bad.jpg")
    with pytest.raises(ImageReadError, match="that one"):
        extractor.feature(NamedImage(b"words", "that one"))


def test_unit_keeps_zero_and_the_shape():
    vectors = np.array([[3, 4], [0, 0], [1e-30, 0]], dtype=np.float32)
    result = l2_normalize(vectors)
    assert result.dtype == np.float32
    assert np.allclose(result[:2], [[0.6, 0.8], [0, 0]])
    assert np.isfinite(result).all()
    assert np.allclose(l2_normalize(vectors[0]), [0.6, 0.8])

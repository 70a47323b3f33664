"""Collections: an index with its network, for Python code. The network is the fake one where any will do."""

from __future__ import annotations

import inspect
import io
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cbir
import cbir.errors
from cbir.index.store import Index
from cbir.learn.marks import learn_marks
from cbir.learn.pictures import Picture
from cbir.notions.store import keep_notion


@pytest.fixture
def root(photo_folder: Callable[..., Path]) -> Path:
    """Nine drawn pictures, indexed as `photos` by the fake network."""
    root = photo_folder(9)
    cbir.index_folder(root, "photos", model="fake")
    return root


@pytest.fixture
def photos(root: Path) -> cbir.Collection:
    return cbir.open("photos")


def test_a_collection_tells_what_it_is(photos: cbir.Collection, root: Path) -> None:
    assert (len(photos), photos.name, photos.root, photos.backbone.name) == (9, "photos", root, "fake")
    assert repr(photos) == "<Collection photos: 9 images by fake>"
    assert photos.paths == tuple(sorted(root.iterdir()))
    features = photos.features()
    assert (features.dtype, features.shape) == (np.float32, (9, photos.dimension))
    assert np.linalg.norm(features, axis=1) == pytest.approx(np.ones(9), abs=1e-3)
    assert np.array_equal(photos.features([4, 2]), features[[4, 2]])
    for wrong in ([9], [-1]):
        with pytest.raises(IndexError, match="rows 0 to 8"):
            photos.features(wrong)


def test_the_only_index_needs_no_name_and_one_that_is_missing_is_told(root: Path) -> None:
    assert cbir.open().name == "photos"
    with pytest.raises(cbir.IndexNotFoundError):
        cbir.open("others")


def test_any_kind_of_image_is_a_query(photos: cbir.Collection, root: Path) -> None:
    path = root / "img_003.jpg"
    data, image = path.read_bytes(), Image.open(path)
    expected = photos.search(path, count=3, include_self=True)
    assert expected[0].path == path
    for query in (str(path), data, io.BytesIO(data), image, np.asarray(image), cbir.Query.from_path(path)):
        found = photos.search(query, count=3, include_self=True)
        assert [match.path for match in found] == [match.path for match in expected]


def test_search_raises_and_search_many_tells(photos: cbir.Collection, root: Path, tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_text("no picture")
    with pytest.raises(cbir.ImageReadError, match=r"no\.jpg"):
        photos.search(tmp_path / "no.jpg")
    with pytest.raises(cbir.RegionError):
        photos.search(cbir.Query.from_path(root / "img_000.jpg", region="0,0,5000,5000"))
    one, other = photos.search_many([tmp_path / "no.jpg", root / "img_001.jpg"], count=2)
    assert isinstance(one.error, cbir.ImageReadError)
    assert (other.error, len(other.matches)) == (None, 2)


def test_vectors_are_what_images_are_known_by(photos: cbir.Collection) -> None:
    vectors = photos.encode(photos.paths[:2])
    assert (vectors.dtype, vectors.shape) == (np.float32, (2, photos.dimension))
    assert np.sum(vectors * photos.features()[:2], axis=1) == pytest.approx(np.ones(2), abs=1e-3)
    for scale in (1, 7.5):  # of any length
        found = photos.search_vector(scale * vectors[1], count=2)
        assert (found[0].path, found[0].score) == (photos.paths[1], pytest.approx(1, abs=1e-3))
    plain = photos.search_vector(vectors[0].tolist(), count=9, reranked=False)
    assert [match.score for match in plain] == sorted((match.score for match in plain), reverse=True)
    for wrong in (np.zeros(photos.dimension), np.full(photos.dimension, np.nan), vectors):
        with pytest.raises(ValueError, match="vector"):
            photos.search_vector(wrong)
    with pytest.raises(ValueError, match="shape"):
        photos.search_vector(np.ones(3))


def test_update_answers_from_the_new_state_and_others_see_it_after_reload(
    photos: cbir.Collection, photo_folder: Callable[..., Path], root: Path
) -> None:
    other = cbir.open("photos")
    old = photos.index
    photo_folder(2, "more", first_seed=70)
    for path in (root.parent / "more").iterdir():
        path.rename(root / f"more_{path.name}")
    (root / "img_000.jpg").unlink()
    report = photos.update()
    assert (report.added, report.removed, len(photos), len(old)) == (2, 1, 10, 9)
    assert root / "img_000.jpg" not in photos.paths
    assert len(photos.features()) == len(photos.paths) == 10
    assert photos.search(root / "more_img_000.jpg", include_self=True)[0].score == pytest.approx(1, abs=1e-3)
    assert len(other) == 9
    assert (other.reload(), other.reload(), len(other)) == (True, False, 10)


def test_it_asks_for_pictures_without_a_label_also_of_labels_that_came_since(photos: cbir.Collection) -> None:
    assert [one.likely for one in photos.ask("mine", 3)] == [(), (), ()]
    index = Index.open(photos.index.directory)  # another run's
    alike, unlike = (
        [Picture(index.root / index.record(row).path, index.record(row).sha256, row) for row in rows]
        for rows in ((0, 1, 2), (5, 6))
    )
    keep_notion(index.directory, learn_marks(index, "mine", alike, unlike))
    asked = photos.ask("mine")
    assert sorted(one.row for one in asked) == [3, 4, 7, 8]
    assert {one.path for one in asked} == {photos.paths[row] for row in (3, 4, 7, 8)}
    assert all(one.path.is_file() for one in asked)
    with pytest.raises(cbir.CbirError, match="cannot be called"):
        photos.ask("a/b")


def test_an_index_that_another_network_made_anew_is_not_mixed_up(photos: cbir.Collection, root: Path) -> None:
    for path in photos.index.directory.iterdir():
        path.unlink()
    cbir.index_folder(root, "photos", model="efficientnet_lite0")
    with pytest.raises(cbir.IndexConflictError, match="efficientnet_lite0 now, not by fake"):
        photos.reload()
    assert photos.search(root / "img_001.jpg", count=1)  # the old state still answers


def test_eight_threads_share_one_while_it_is_updated(photos: cbir.Collection, root: Path, tmp_path: Path) -> None:
    queries = [path.read_bytes() for path in sorted(root.iterdir())]
    expected = [[match.path for match in photos.search(query, count=3)] for query in queries]
    wrong: list[object] = []

    def ask() -> None:
        try:
            for _ in range(5):
                found = [[match.path for match in photos.search(query, count=3)] for query in queries]
                wrong.extend(one for one, other in zip(found, expected, strict=True) if one != other)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        photos.update(rehash=True)
    for thread in threads:
        thread.join()
    assert wrong == []


def test_all_errors_are_at_the_top() -> None:
    errors = {name for name, one in vars(cbir.errors).items() if inspect.isclass(one) and issubclass(one, Exception)}
    assert errors <= set(cbir.__all__)


@pytest.mark.parametrize("name", sorted(set(cbir.__all__) - {"__version__"}))
def test_whatever_is_exported_has_a_docstring(name: str) -> None:
    exported = getattr(cbir, name)
    members = [exported]
    if inspect.isclass(exported):
        members += [one for key, one in vars(exported).items() if not key.startswith("_") and callable(one)]
    for member in members:
        assert inspect.getdoc(member), f"{member} has none"

"""Records of faces for an index: those of each picture, in order, also after a way through a pickle."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.engines.lazy import LazyEngine
from cbir.extract.records import Item
from cbir.faces.finder import FaceFinder
from cbir.faces.maker import FaceMaker
from cbir.index.columns.faces import FACES, FOUND, VECTORS, check_vectors, count_faces, unpack
from tests.faces.conftest import faces_in, read


def items_of(finder: FaceFinder, images: list[Image.Image]) -> list[Item]:
    """Pictures as an extractor gives them."""
    arrays = [finder.view.make(image, (0, 0, *image.size), image.size) for image in images]
    return [
        Item(str(number), image.size, array) for number, (image, array) in enumerate(zip(images, arrays, strict=True))
    ]


def test_each_picture_gets_its_faces(
    finder: FaceFinder, people: Path, bundled: Backbone, draw_picture: Callable[..., Image.Image]
) -> None:
    counts = json.loads((people / "faces.json").read_text("utf-8"))
    images = [*(read(people / name) for name in counts), draw_picture(1, (300, 200))]
    items = items_of(finder, images)
    items.insert(1, Item("not wanted"))
    made = list(FaceMaker(finder).run(items, LazyEngine(bundled)))
    assert made.pop(1) == {}
    assert [int(count_faces(one[FOUND.name][np.newaxis])[0]) for one in made] == [*counts.values(), 0]
    for image, one in zip(images, made, strict=True):
        boxes, scores, heights = unpack(one[FACES.name])
        check_vectors(one[VECTORS.name])
        faces = faces_in(finder, image)
        assert boxes.tolist() == [list(face.box) for face in faces]
        assert heights.tolist() == [face.height for face in faces]
        assert all(abs(score - face.score) < 1e-4 for score, face in zip(scores, faces, strict=True))
        assert all(np.array_equal(vector, face.vector) for vector, face in zip(one[VECTORS.name], faces, strict=True))


def test_a_maker_goes_to_another_process(finder: FaceFinder, people: Path, bundled: Backbone) -> None:
    maker = FaceMaker(finder, engine="openvino:f32", expected=3)
    other = pickle.loads(pickle.dumps(maker))
    assert (other.columns, other.view, other._opened_with) == (maker.columns, maker.view, (None, "openvino:f32", 3))
    items = items_of(finder, [read(people / "group" / "010_2.jpg")])
    (found,) = other.run(items, LazyEngine(bundled))
    assert int(count_faces(found[FOUND.name][np.newaxis])[0]) == 2

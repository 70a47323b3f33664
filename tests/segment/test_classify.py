"""Classes of pictures and their segments: the map that is pooled, the masks, the head, and who has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.head import open_classifier
from cbir.engines.select import open_engine
from cbir.errors import ModelError
from cbir.images.fit import fit
from cbir.segment.classify import SegmentClassifier, cover, masked_means
from cbir.segment.describe import describe_segments
from cbir.segment.segmentation import Segmentation
from cbir.segment.segmenter import Segmenter


def segmentation_of(labels: np.ndarray, image: Image.Image) -> Segmentation:
    return Segmentation(image, labels, describe_segments(np.asarray(image), labels))


def saved(name: str, folder: Path) -> Backbone:
    """The backbone with the random weights of an untrained one in a file, head and all."""
    import torchvision

    torch.manual_seed(3)
    model = torchvision.models.get_model(name, weights=None)
    torch.save(model.state_dict(), folder / f"{name}.pth")
    return describe(name, str(folder / f"{name}.pth"))


# --- the map


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_the_mean_of_the_last_map_is_the_features(bundled: Backbone, draw_picture: Callable, kind: str) -> None:
    engine = open_engine(bundled, engine=f"{kind}:f32")  # else features may be in bfloat16, and maps not
    pictures = np.stack([np.asarray(draw_picture(seed, (224, 224))) for seed in range(2)])
    map_ = engine.last_map(pictures)
    assert map_.shape == (2, 1280, 7, 7)
    features = engine.features(pictures)
    assert np.abs(map_.mean(axis=(2, 3)) - features).max() < 0.02 * features.max()
    wide = engine.last_map(np.asarray(draw_picture(1, (320, 192)))[np.newaxis])
    assert wide.shape == (1, 1280, 6, 10)


def test_both_engines_have_the_same_last_map(bundled: Backbone, draw_picture: Callable) -> None:
    picture = np.asarray(draw_picture(7, (256, 192)))[np.newaxis]
    one, other = (open_engine(bundled, engine=kind).last_map(picture) for kind in ("openvino", "torch"))
    assert (one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other) > 0.999


@pytest.mark.parametrize(
    ("name", "has_map"),
    [("resnet18", True), ("densenet121", True), ("shufflenet_v2_x0_5", True), ("mobilenet_v3_small", False)],
)
def test_the_last_map_is_found_where_there_is_one(name: str, has_map: bool) -> None:
    from cbir.backbones.network import LastMap

    network = describe(name, "untrained").build()
    pictures = torch.randint(0, 256, (1, 224, 288, 3), dtype=torch.uint8)
    if not has_map:
        with pytest.raises(ModelError, match="not the mean of a map"):
            LastMap(network)
        return
    with torch.inference_mode():
        found, features = LastMap(network)(pictures), network(pictures)
    assert found.shape[2:] == (7, 9)
    assert torch.allclose(found.mean((2, 3)), features, rtol=1e-3, atol=1e-4)


# --- masks


def test_a_cell_is_shared_out_among_its_parts() -> None:
    labels = np.zeros((64, 96), dtype=np.uint8)
    labels[:, 40:] = 1  # a quarter into the second of three columns
    labels[63, 3] = 2  # too small for any point that is looked at
    shares = cover(labels, (2, 3), 3)
    assert shares.shape == (3, 2, 3)
    assert np.allclose(shares[0], [[1, 0.25, 0], [1, 0.25, 0]], atol=0.02)
    assert np.allclose(shares[1], [[0, 0.75, 1], [0, 0.75, 1]])
    assert np.array_equal(shares[2], [[0, 0, 0], [1, 0, 0]])


def test_masked_means_by_hand() -> None:
    map_ = np.array([[[1, 2], [3, 4]], [[0, 0], [0, 8]]], dtype=np.float32)
    shares = np.array([[[1, 1], [0, 0]], [[0, 0], [0.5, 0.5]], [[0, 0], [0, 0.25]]], dtype=np.float32)
    assert np.allclose(masked_means(map_, shares), [[1.5, 0], [3.5, 4], [4, 8]])


def test_weights_without_imagenets_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="untrained: they know no classes"):
        SegmentClassifier(Segmenter(describe("efficientnet_lite0", "untrained")))
    with pytest.raises(ModelError, match=r"squeezenet1_1 finds .* of each place .* such as efficientnet_lite0"):
        SegmentClassifier(Segmenter(saved("squeezenet1_1", tmp_path)))


# --- all together


def test_two_photos_side_by_side_have_their_own_classes(bundled: Backbone, shared: Callable[[str], Path]) -> None:
    names = ("grand piano", "accordion")
    files = ("photos/grand_piano/image_0001.jpg", "photos/accordion/image_0001.jpg")
    piano = shared(files[0])
    accordion = shared(files[1])
    image = Image.new("RGB", (600, 300))
    labels = np.zeros((300, 600), dtype=np.uint8)
    for place, file in enumerate((piano, accordion)):
        with Image.open(file) as photo:
            image.paste(photo.convert("RGB").resize((300, 300)), (300 * place, 0))
        labels[:, 300 * place : 300 * place + 300] = place
    found = SegmentClassifier(Segmenter(bundled)).classify(segmentation_of(labels, image), count=1000)
    assert [segment[0].name for segment in found.segments] == list(names)
    for classes in (found.whole, *found.segments):
        assert sum(likely.probability for likely in classes) == pytest.approx(1, abs=1e-4)
    assert set(names) <= {likely.name for likely in found.whole[:5]}
    assert found.segments[0][0].wordnet_id == "n03452741"


def test_one_part_that_is_all_has_the_pictures_classes(bundled: Backbone, draw_picture: Callable) -> None:
    image = draw_picture(3, (224, 224))
    found = SegmentClassifier(Segmenter(bundled)).classify(segmentation_of(np.zeros((224, 224), dtype=np.uint8), image))
    assert [one[:2] for one in found.segments[0]] == [one[:2] for one in found.whole]


def test_where_there_is_no_map_the_parts_are_shown_alone(tmp_path: Path, draw_picture: Callable) -> None:
    backbone = saved("mobilenet_v3_small", tmp_path)
    segmenter = Segmenter(backbone, engine="torch")
    image = draw_picture(3, (160, 120))
    labels = np.zeros((120, 160), dtype=np.uint8)
    labels[30:100, 20:90] = 1
    found = SegmentClassifier(segmenter).classify(segmentation_of(labels, image), count=1000)
    known = open_classifier(backbone)

    def expected(picture: Image.Image) -> np.ndarray:
        features = segmenter.engine.features(fit(picture, backbone.preprocessing)[np.newaxis])[0]
        return known.probabilities(features[np.newaxis])[0]

    alone = Image.new("RGB", (80, 80), (124, 116, 104))
    alone.paste(image.crop((20, 30, 90, 100)), (5, 5))
    for classes, picture in ((found.whole, image), (found.segments[1], alone)):
        probabilities = np.array([likely.probability for likely in classes])
        assert np.allclose(probabilities, np.sort(expected(picture))[::-1], rtol=1e-3)

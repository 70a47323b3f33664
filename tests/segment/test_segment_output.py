"""What is made of a segmentation: overlay, label map, cut-outs, polygons, run lengths, descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.draw import polygon2mask

from cbir.segment.classify import Likely
from cbir.segment.coco import document, run_lengths, segmentations
from cbir.segment.colours import distinct_colours
from cbir.segment.describe import describe_segments
from cbir.segment.layers import colour_map, layers_picture, mean_activations
from cbir.segment.overlay import OVERLAY_SIDE, roomy_spots
from cbir.segment.polygons import outlines
from cbir.segment.runs import neighbours
from cbir.segment.segmentation import Segmentation
from cbir.segment.segmenter import Segmenter

RING = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=np.uint8)


def segmentation_of(labels: np.ndarray, image: Image.Image | None = None) -> Segmentation:
    image = image or Image.new("RGB", labels.shape[::-1], (90, 120, 60))
    return Segmentation(image, labels, describe_segments(np.asarray(image), labels))


def blobs(size: tuple[int, int], count: int, seed: int = 0, grain: int = 12) -> np.ndarray:
    """Labels in blobs: the largest of `count` smooth random fields, at a size (width, height)."""
    random = np.random.default_rng(seed)
    fields = [
        np.asarray(Image.fromarray(random.normal(size=(grain, grain)).astype(np.float32)).resize(size, 3))
        for _ in range(count)
    ]
    winners = np.argmax(fields, axis=0)
    present, labels = np.unique(winners, return_inverse=True)
    order = np.argsort(np.argsort(-np.bincount(labels.ravel()), kind="stable"), kind="stable")
    assert len(present) == len(order)
    return order[labels].reshape(size[::-1]).astype(np.uint8)


def filled(rings: Iterable[list[int]], shape: tuple[int, ...]) -> np.ndarray:
    """The pixels whose centre an odd number of rings is around, counted by the upright edges to the left of it."""
    crossings = np.zeros((shape[0], shape[1] + 1), dtype=int)
    for ring in rings:
        corners = list(zip(ring[0::2], ring[1::2], strict=True))
        for (x, y), (next_x, next_y) in zip(corners, [*corners[1:], corners[0]], strict=True):
            assert (x == next_x) != (y == next_y), "an edge that follows no pixels, or of no length"
            if x == next_x:
                crossings[min(y, next_y) : max(y, next_y), x] += 1
    return np.cumsum(crossings, axis=1)[:, : shape[1]] % 2 == 1


def decoded(counts: list[int], size: list[int]) -> np.ndarray:
    """The mask of COCO's uncompressed run lengths, as its format is defined: columns first, zeros first."""
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape(size, order="F")


# --- polygons and run lengths


def test_polygons_of_hand_drawn_parts() -> None:
    around, inside = outlines(RING)
    assert around.polygons == [[0, 0, 4, 0, 4, 5, 0, 5]]
    assert around.holes == [[1, 1, 3, 1, 3, 3, 1, 3]]
    assert inside == ([[1, 1, 3, 1, 3, 3, 1, 3]], [])
    # pixels that touch at a corner only are apart; those around them are then joined, and surround nothing
    diagonal, rest = outlines(np.array([[0, 1, 1], [1, 0, 1]], dtype=np.uint8))
    assert sorted(diagonal.polygons) == [[0, 0, 1, 0, 1, 1, 0, 1], [1, 1, 2, 1, 2, 2, 1, 2]]
    assert sorted(rest.polygons) == [[0, 1, 1, 1, 1, 2, 0, 2], [1, 0, 3, 0, 3, 2, 2, 2, 2, 1, 1, 1]]
    assert outlines(np.zeros((1, 1), dtype=np.uint8)) == [([[0, 0, 1, 0, 1, 1, 0, 1]], [])]


def test_run_lengths_of_hand_drawn_parts() -> None:
    assert run_lengths(RING) == [[0, 6, 2, 3, 2, 7], [6, 2, 3, 2, 7]]
    assert run_lengths(np.zeros((2, 3), dtype=np.uint8)) == [[0, 6]]
    assert run_lengths(np.full((2, 3), 2, dtype=np.uint8)) == [[6], [6], [0, 6]]


@pytest.mark.parametrize("seed", range(40))
def test_polygons_and_run_lengths_give_any_mask_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 12, 2)
    noise = random.integers(0, random.integers(1, 4), (height, width))
    labels = np.unique(noise, return_inverse=True)[1].reshape(height, width).astype(np.uint8)
    for label, (outline, counts) in enumerate(zip(outlines(labels), run_lengths(labels), strict=True)):
        mask = labels == label
        assert np.array_equal(filled([*outline.polygons, *outline.holes], mask.shape), mask)
        assert len(outline.polygons) == ndimage.label(mask)[1]
        assert len(outline.holes) == ndimage.label(~np.pad(mask, 1), np.ones((3, 3)))[1] - 1
        assert np.array_equal(decoded(counts, [height, width]), mask)


def test_scikit_image_fills_the_polygons_of_a_picture_to_its_parts() -> None:
    labels = blobs((120, 90), 6)
    for label, shape in enumerate(segmentations(labels)):
        mask = labels == label
        where = shape["segmentation"]
        if isinstance(where, dict):
            assert where["size"] == [90, 120]
            assert np.array_equal(decoded(where["counts"], where["size"]), mask)
            where = shape["outlines"]
            mask = ndimage.binary_fill_holes(mask)
        painted = np.zeros(mask.shape, dtype=bool)
        for ring in where:
            # scikit-image has a pixel's centre at whole numbers
            corners = np.reshape(ring, (-1, 2))[:, ::-1] - 0.5
            painted |= polygon2mask(mask.shape, corners)
        assert np.array_equal(painted, mask)


def test_holes_make_run_lengths_and_nothing_else_does() -> None:
    around, inside = segmentations(RING)
    assert around == {
        "segmentation": {"size": [5, 4], "counts": [0, 6, 2, 3, 2, 7]},
        "outlines": [[0, 0, 4, 0, 4, 5, 0, 5]],
        "holes": [[1, 1, 3, 1, 3, 3, 1, 3]],
    }
    assert inside == {"segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}


def test_a_coco_document_of_two_pictures() -> None:
    def record(name: str, *best: str) -> dict:
        segments = [segment.to_json() for segment in segmentation_of(RING).segments]
        for segment, shape in zip(segments, segmentations(RING), strict=True):
            segment |= shape
        for segment, likely in zip(segments, best, strict=False):
            segment["classes"] = [Likely(likely, "n1", 0.5).to_json()]
        return {"image": name, "width": 4, "height": 5, "segments": segments}

    found = document([record("a.jpg"), record("b.jpg", "cat", "mat")])
    assert found["images"] == [
        {"id": 1, "file_name": "a.jpg", "width": 4, "height": 5},
        {"id": 2, "file_name": "b.jpg", "width": 4, "height": 5},
    ]
    assert found["categories"] == [{"id": 1, "name": "segment"}, {"id": 2, "name": "cat"}, {"id": 3, "name": "mat"}]
    annotations = found["annotations"]
    assert [(one["id"], one["image_id"], one["category_id"]) for one in annotations] == [
        *((1, 1, 1), (2, 1, 1)),
        *((3, 2, 2), (4, 2, 3)),
    ]
    assert [(one["area"], one["bbox"], one["iscrowd"]) for one in annotations[:2]] == [
        (16, [0, 0, 4, 5], 1),
        (4, [1, 1, 2, 2], 0),
    ]


# --- descriptions


def test_parts_are_described_as_a_plain_count_describes_them(draw_picture: Callable) -> None:
    labels = blobs((83, 61), 7)
    pixels = np.asarray(draw_picture(2, (83, 61)))
    for segment in describe_segments(pixels, labels):
        rows, columns = np.nonzero(labels == segment.label)
        assert segment.area == len(rows)
        assert segment.share == pytest.approx(len(rows) / labels.size)
        assert segment.centroid == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5))
        x, y, width, height = segment.box
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(np.array(segment.colour) - pixels[rows, columns].mean(axis=0)).max() <= 0.5


# --- colours


def test_neighbours_are_parts_that_share_an_edge() -> None:
    labels = np.array([[0, 0, 1], [0, 2, 1], [3, 2, 1]], dtype=np.uint8)
    touching = {(int(a), int(b)) for a, b in np.argwhere(neighbours(labels))}
    assert touching == {(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0), (1, 2), (2, 1), (2, 3), (3, 2)}


def cells(size: tuple[int, int], count: int) -> np.ndarray:
    """Labels in `count` convex pieces: the nearest of as many points."""
    width, height = size
    random = np.random.default_rng(count)
    points = random.uniform(0, 1, (count, 2)) * (height, width)
    down, across = np.mgrid[0:height, 0:width]
    distances = [(down - y) ** 2 + (across - x) ** 2 for y, x in points]
    return np.argmin(distances, axis=0).astype(np.uint8)


@pytest.mark.parametrize(
    ("labels", "least"),
    [
        (blobs((300, 200), 4, grain=30), 80),
        (blobs((300, 200), 12, grain=30), 40),  # each touches each
        (cells((300, 200), 40), 50),
        (cells((300, 200), 150), 50),
    ],
    ids=["4", "12", "40", "150"],
)
def test_parts_that_touch_have_colours_far_apart(labels: np.ndarray, least: float) -> None:
    segmentation = segmentation_of(labels)
    colours = distinct_colours(labels, segmentation.segments)
    assert np.array_equal(colours, distinct_colours(labels, segmentation.segments))
    lab = rgb2lab(colours[np.newaxis] / 255)[0]
    distances = np.linalg.norm(lab[:, np.newaxis] - lab, axis=2)
    assert distances[neighbours(labels)].min() > least
    own = rgb2lab(np.array([[segment.colour for segment in segmentation.segments]]) / 255)[0]
    assert np.linalg.norm(lab - own, axis=1)[:4].min() > 30
    if len(colours) <= 12:
        assert len({tuple(colour) for colour in colours}) == len(colours)


def test_256_parts_have_colours() -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, axis=0).repeat(4, axis=1)
    colours = distinct_colours(labels, segmentation_of(labels).segments)
    lab = rgb2lab(colours[np.newaxis] / 255)[0]
    assert np.linalg.norm(lab[:, np.newaxis] - lab, axis=2)[neighbours(labels)].min() > 75


# --- pictures


def test_the_label_map_has_the_overlays_colours(tmp_path: Path) -> None:
    labels = blobs((100, 70), 5)
    segmentation = segmentation_of(labels)
    segmentation.label_map().save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as saved:
        assert saved.mode == "P"
        assert np.array_equal(np.array(saved), labels)
        shown = np.asarray(saved.convert("RGB"))
    assert np.array_equal(shown, distinct_colours(labels, segmentation.segments)[labels])


@pytest.mark.parametrize("background", ["white", "black"])
def test_outlines_stand_out_from_light_and_dark(background: str) -> None:
    labels = np.zeros((200, 300), dtype=np.uint8)
    labels[60:140, 120:] = 1
    overlay = segmentation_of(labels, Image.new("RGB", (300, 200), background)).overlay()
    drawn = np.asarray(overlay).astype(int)
    across = drawn[100, 100:140].sum(axis=1)
    line = int(across.argmax())
    assert across[line] > 3 * 235
    assert 16 <= line <= 23
    assert min(across[line - 5 : line]) < 3 * 130
    assert min(across[line + 1 : line + 6]) < 3 * 130


def test_numbers_stand_where_room_is() -> None:
    labels = np.zeros((90, 200), dtype=np.uint8)
    labels[20:70, 10:60] = 1  # a square with a tail
    labels[44:46, 60:180] = 1
    labels[5, 100:102] = 2
    _, square, speck = roomy_spots(labels, 3)
    assert abs(square.x - 35) <= 5
    assert abs(square.y - 45) <= 5
    assert square.radius == pytest.approx(25, abs=5)
    assert speck.radius <= 1
    tiny = segmentation_of(labels).overlay()
    # two pixels have no number: around them is nothing but their outline
    assert np.array_equal(np.asarray(tiny)[10:18, 96:108].std(axis=(0, 1)) < 1, [True] * 3)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 300), (5000, 3), (31, 33)])
def test_pictures_of_any_size_are_drawn(size: tuple[int, int]) -> None:
    labels = (np.arange(size[0] * size[1]) % 2).astype(np.uint8).reshape(size[1], size[0])
    drawn = segmentation_of(labels).overlay()
    assert max(drawn.size) == min(max(size), OVERLAY_SIDE)


def test_cut_outs_are_transparent_where_other_parts_are(draw_picture: Callable) -> None:
    labels = blobs((90, 70), 4)
    image = draw_picture(5, (90, 70))
    pixels = np.asarray(image)
    segmentation = segmentation_of(labels, image)
    for segment, cut in segmentation.cut_outs():
        x, y, width, height = segment.box
        assert (cut.mode, cut.size) == ("RGBA", (width, height))
        inside = labels[y : y + height, x : x + width] == segment.label
        values = np.asarray(cut)
        assert np.array_equal(values[..., 3], np.where(inside, 255, 0))
        assert np.array_equal(values[inside][:, :3], pixels[y : y + height, x : x + width][inside])
        assert not values[~inside].any()


# --- layers


def test_the_layers_of_a_picture(bundled, draw_picture: Callable) -> None:  # type: ignore[no-untyped-def]
    engine = Segmenter(bundled).engine
    image = draw_picture(3, (320, 192))
    found = mean_activations(image, engine)
    assert [(channels, stride) for _, channels, stride in found] == [(16, 2), (24, 4), (40, 8), (112, 16), (320, 32)]
    assert [activation.shape for activation, _, _ in found] == [(192 // s, 320 // s) for s in (2, 4, 8, 16, 32)]
    sheet = layers_picture(image, engine)
    assert sheet.width > 3 * 480
    # where there is an edge in the picture, the first stage responds
    half = Image.new("RGB", (320, 192), "black")
    half.paste("white", (160, 0, 320, 192))
    first = mean_activations(half, engine)[0][0]
    assert abs(int(first[48].argmax()) - 80) <= 2
    # and the border is none
    assert np.ptp(first[:, :60]) < 0.01 * first[48].max()


def test_thecolour_map_grows_lighter_evenly() -> None:
    lightness = rgb2lab(colour_map()[np.newaxis] / 255)[0, :, 0]
    assert lightness[0] < 12
    assert lightness[-1] > 88
    assert (np.diff(lightness) > -0.5).all()
    assert np.abs(lightness - np.linspace(lightness[0], lightness[-1], 256)).max() < 8

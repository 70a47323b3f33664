"""Point 8: the private memory that indexing takes must not grow with the number of pictures."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import pictures, plain, processes
from benchmarks.harness import Settings, cbir_command, run_command
from benchmarks.results import Result, measured


def run(settings: Settings) -> Iterator[Result]:
    """Index few pictures, then ten times as many, and watch the whole command."""
    few, many = settings.pick((2_000, 20_000), (600, 6_000))
    if not processes.is_supported():
        raise RuntimeError("this system does not tell the private memory of processes")
    files = pictures.thumbnails(settings.work, settings.shared, many)
    common = ["--model", plain.LITE, "--engine", "openvino", "-q"]
    warm_up = pictures.folder_of(files[:16], settings.scratch / "warm-up")
    run_command([*cbir_command(), "index", warm_up, *common])  # compiles the network if this machine has not yet
    peaks = {}
    for count in (few, many):
        folder = pictures.folder_of(files[:count], settings.scratch / f"thumbnails-{count}")
        peaks[count] = processes.peak_memory([*cbir_command(), "index", folder, *common])
    grown = peaks[many].tree - peaks[few].tree
    details = (
        f"{many:,}: {peaks[many].tree:.0f} MB with the decoders' processes ({peaks[many].own:.0f} MB without, "
        f"{peaks[many].seconds:.0f} s); {few:,}: {peaks[few].tree:.0f} MB ({peaks[few].own:.0f} MB)"
    )
    yield measured("memory", grown, details, peaks={count: vars(peak) for count, peak in peaks.items()})

"""Point 15, once more with 4,000,000 windows: five minutes, 5 GB of disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from benchmarks import parts_scale
from benchmarks.composites import composites, others
from benchmarks.harness import Settings, Worker
from benchmarks.parts import indexed
from benchmarks.results import Result, measured, noted

#: Pictures, of 40 windows each; those of a real index, whose windows they have with noise.
PICTURES, REAL = 100_000, 2000

#: Gigabytes: joining blocks needs the last ones twice.
DISK = 9


def run(settings: Settings) -> Iterator[Result]:
    """Write the index, build the lists, and ask; nothing where the photos are not there."""
    if shutil.disk_usage(settings.scratch).free / 2**30 < DISK:
        raise RuntimeError(f"4,000,000 windows need {DISK} GB of disk")
    files = others(settings.shared, composites(settings.work, settings.shared)[:0], REAL)
    if not files:
        yield noted(15, "photos", 0, "pictures", f"{settings.shared} has no photos: parts are not measured")
        return
    with Worker() as worker:
        found = worker.call(indexed, files, settings.scratch)
    making = (found.seconds - found.plain) / len(files)
    directory = settings.scratch / "many"
    with Worker() as writer:
        writer.call(parts_scale.write, directory, settings.scratch / "parts", PICTURES)
        built = writer.call(parts_scale.build, directory)
    share = f"making the parts of so many pictures takes {making * PICTURES:,.0f} s; a search reads {built.share:.3f}"
    details = f"{built.seconds:.0f} s; {share} of the lists, for a recall of {built.recall:.3f}"
    yield measured("parts-lists-build", built.seconds / (making * PICTURES), details)
    with Worker() as searcher:
        cost = searcher.call(parts_scale.search, directory, 40)
    details = f"by a scan of all {cost.scan:.0f} ms; of the exact scan's ten {cost.recall:.3f}"
    yield measured("parts-lists-query", cost.milliseconds / 1000, details)
    yield measured("parts-lists-recall", cost.of_scan)
    yield measured("parts-lists-private", cost.peak, f"{cost.before:.0f} MB before")

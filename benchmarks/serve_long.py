"""Point 19, once more with 200,000 requests: whether `cbir serve` grows. Takes half an hour."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Settings
from benchmarks.results import Result
from benchmarks.serve import growth, made

ROWS, REQUESTS = 100_000, 200_000


def run(settings: Settings) -> Iterator[Result]:
    """Write the index, start the server, and ask."""
    yield growth(made(settings, ROWS), ROWS, REQUESTS, "serve-long-growth")

"""Executors: where extraction is done, here or elsewhere, in chunks of files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Generic, Protocol

from cbir.extract.extractor import Extractor
from cbir.extract.loader import Key, Known
from cbir.extract.results import Extracted
from cbir.images.sources.address import Location

#: Files of a chunk.
CHUNK = 256

Chunk = Sequence[tuple[Key, Location]]


@dataclass(frozen=True)
class Work(Generic[Key]):
    """The work to do with each file: the extractor's, but for the contents that are `known`.

    It can be pickled, as can chunks of files and their results: the engine is opened where it arrives.
    """

    extractor: Extractor
    known: Known

    def run(self, files: Iterable[tuple[Key, Location]]) -> Iterator[Extracted[Key]]:
        """Do the work with files, and yield the results in order."""
        return self.extractor.run(files, self.known)


class Executor(Protocol):
    """Does work with chunks of files, wherever and in whatever order it likes."""

    def map(self, work: Work[Key], chunks: Iterable[Chunk[Key]]) -> Iterator[Iterable[Extracted[Key]]]:
        """Yield the results of each chunk, in order; each is read before the next is asked for.

        Chunks are taken as they are needed, and those that are left are not begun when the run is interrupted. What
        comes twice in one chunk is extracted once, in two chunks perhaps twice.
        """


class LocalExecutor:
    """Works in this process, which reads ahead beyond the ends of chunks."""

    def map(self, work: Work[Key], chunks: Iterable[Chunk[Key]]) -> Iterator[Iterable[Extracted[Key]]]:
        """Yield the results of each chunk as they come."""
        lengths: deque[int] = deque()

        def files() -> Iterator[tuple[Key, Location]]:
            for chunk in chunks:
                lengths.append(len(chunk))
                yield from chunk

        results = iter(work.run(files()))
        for first in results:
            yield chain([first], islice(results, lengths.popleft() - 1))


def chunks_of(files: Iterable[tuple[Key, Location]], count: int = CHUNK) -> Iterator[Chunk[Key]]:
    """Cut files into chunks of so many."""
    rest = iter(files)
    while chunk := tuple(islice(rest, count)):
        yield chunk

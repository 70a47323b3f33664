"""An executor made in this file alone: chunks are done elsewhere, in another order, and answered in order."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from cbir.backbones.backbone import describe
from cbir.extract.executor import Chunk, LocalExecutor, Work, chunks_of
from cbir.extract.extractor import Extractor
from cbir.extract.loader import Key
from cbir.extract.results import Extracted
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing import run
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from tests.helpers.faults import content

Folder = Callable[..., Path]


class Backwards:
    """Does the last chunk first; work, chunks and results go through a pickle, as to another machine and back."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def map(self, work: Work[Key], chunks: Iterable[Chunk[Key]]) -> Iterator[Iterable[Extracted[Key]]]:
        sent = pickle.dumps(work)
        done: list[bytes] = []
        for chunk in reversed([pickle.dumps(chunk) for chunk in chunks]):
            there, files = pickle.loads(sent), pickle.loads(chunk)
            done.append(pickle.dumps(list(there.run(files))))
            self.sizes.append(len(files))
        return (pickle.loads(results) for results in reversed(done))


@pytest.mark.parametrize("parts", [False, True])
def test_an_index_is_the_same_whoever_extracts(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, parts: bool
) -> None:
    monkeypatch.setattr(run, "chunks_of", lambda files: chunks_of(files, 5))
    root = photo_folder(12)
    shutil.copy(root / "img_001.jpg", root / "img_011_copy.jpg")  # in another chunk
    (root / "img_003_broken.jpg").write_bytes((root / "img_003.jpg").read_bytes()[:300])
    options, elsewhere = Options(model="fake", parts=parts or None), Backwards()
    here, _ = build_index(choose_target(root, "here"), options)
    there, _ = build_index(choose_target(root, "there"), options, executor=elsewhere)
    assert elsewhere.sizes == [4, 5, 5]
    assert (
        (there.added, there.copied, there.skipped) == (here.added, here.copied, here.skipped) == (12, 1, here.skipped)
    )
    assert [path for path, _ in there.skipped] == ["img_003_broken.jpg"]
    directories = [choose_target(root, name).directory for name in ("here", "there")]
    assert content(directories[0]) == content(directories[1])
    rows = [[record.path for _, record in Index.open(directory).records()] for directory in directories]
    assert rows[0] == rows[1]
    assert not find_problems(Index.open(directories[1]))
    # and an update knows what is known
    (root / "img_000.jpg").rename(root / "moved.jpg")
    again, _ = build_index(choose_target(root, "there"), options, executor=elsewhere)
    assert (again.moved, again.added, elsewhere.sizes[3:]) == (1, 0, [1])


def test_this_process_reads_ahead_of_chunks(photo_folder: Folder) -> None:
    files = [(number, path) for number, path in enumerate(sorted(photo_folder(12).iterdir()))]
    begun = 0

    def chunks() -> Iterator[Chunk[int]]:
        nonlocal begun
        for chunk in chunks_of(files, 2):
            begun += 1
            yield chunk

    work = Work(Extractor(describe("fake")), lambda sha256: None)
    results = LocalExecutor().map(work, chunks())
    first = next(results)
    assert begun == 6
    assert [result.key for result in first] == [0, 1]
    rest = [[result.key for result in chunk] for chunk in results]
    assert rest == [[2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]

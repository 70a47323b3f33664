"""Whatever happens to a folder between runs, and however runs end: the last one's index equals a clean build's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cbir.errors import CbirError
from cbir.extract.results import Extracted
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.policy import CommitPolicy
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from tests.helpers.faults import Steps, content, replace_in, unnamed_files

_FOLDERS = ("", "a/", "a/deep/")
NAMES = [folder + name for folder in _FOLDERS for name in ("one.png", "two.png", "thrée.png", "4 .png")]

names = st.sampled_from(NAMES)
pictures = st.integers(0, 9)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("add or change"), names, pictures),
        st.tuples(st.just("rename"), names, names),
        st.tuples(st.just("duplicate"), names, names),
        st.tuples(st.just("delete"), names),
        st.tuples(st.just("touch"), names),
        st.tuples(st.just("index")),
        st.tuples(st.just("faces"), st.booleans()),
        st.tuples(st.just("index with an older cbir")),
        st.tuples(st.just("kill"), st.integers(1, 120)),
        st.tuples(st.just("interrupt"), st.integers(0, 12)),
    ),
    min_size=6,
    max_size=30,
)


class Killed(BaseException):
    """Ends a run without any of the tidying up that an error or an interruption brings."""


@pytest.fixture(autouse=True, scope="module")
def _replaced() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        replace_in(patch)
        # twelve names at most, so that merging, compaction and candidates need smaller numbers still
        patch.setattr("cbir.index.writer.WORTH_COMPACTING", 2)
        patch.setattr("cbir.index.ann.base.SMALL", 11)
        yield


@cache
def picture(number: int) -> bytes:
    """The bytes of a picture; number 9 is none."""
    if number == 9:
        return b"no picture"
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).resize((40, 40)).save(buffer, "PNG", compress_level=0)  # all of the same length
    return buffer.getvalue()


class Machine:
    """A folder and its index. Times of files count up, so that no change hides behind an equal size and time."""

    def __init__(self, folder: Path) -> None:
        self.root, self.directory = folder / "photos", folder / "index"
        (self.root / "a/deep").mkdir(parents=True)
        self._time = 10**18
        self.put("one.png", 0)

    def put(self, name: str, number: int) -> None:
        (self.root / name).write_bytes(picture(number))
        self.touch(name)

    def touch(self, name: str) -> None:
        self._time += 1
        os.utime(self.root / name, ns=(self._time, self._time))

    def index(self, directory: Path | None = None, stop_at: int | None = None, *, faces: bool | None = None) -> None:
        def watch(results: Iterator[Extracted], total: int) -> Iterator[Extracted]:
            for number, result in enumerate(results):
                if number == stop_at:
                    raise KeyboardInterrupt
                yield result

        target = choose_target(self.root, str(directory or self.directory))
        build_index(target, Options(prune=True, faces=faces), watch=watch, commits=CommitPolicy(3, seconds=1000))

    def killed_index(self, step: int) -> None:
        def before(number: int, name: str) -> None:
            # what tidies up after the kill does not count, so it must not find anything to remove either
            if number >= step:
                raise Killed

        self.directory.mkdir(exist_ok=True)
        with Steps(self.directory, before).watched():
            self.index()

    def index_with_an_older_cbir(self) -> None:
        """As one does that knows no classes and no faces: those of an index that it changes it forgets."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cbir.indexing.makers.classifier_of", lambda backbone: None)
            self.index()
        meta = load_meta(self.directory)
        blocks = tuple(block.with_columns({"classes": None}) for block in meta.blocks)
        Writer(self.directory, meta).replace(meta.but(blocks=blocks).without("faces"))

    def happen(self, what: str, *details: str | int) -> None:
        present = [name for name in NAMES if (self.root / name).exists()]
        match what, *details:
            case "add or change", str(name), int(number):
                self.put(name, number)
            case "rename", str(old), str(new) if old in present:
                os.replace(self.root / old, self.root / new)
            case "duplicate", str(old), str(new) if old in present and old != new:
                shutil.copyfile(self.root / old, self.root / new)
                self.touch(new)
            case "delete", str(name) if name in present:
                (self.root / name).unlink()
            case "touch", str(name) if name in present:
                self.touch(name)
            case ("index",):
                self.index()
            case "faces", bool(wanted):
                self.index(faces=wanted)
            case ("index with an older cbir",):
                self.index_with_an_older_cbir()
            case "kill", int(step):
                self.killed_index(step)
            case "interrupt", int(number):
                self.index(stop_at=number)


def check(directory: Path) -> None:
    if (directory / "meta.json").exists():
        assert find_problems(Index.open(directory), verify=True) == []


@settings(max_examples=120, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(happenings)
def test_any_sequence_of_changes_kills_and_runs_ends_in_what_a_clean_build_makes(sequence: list[tuple]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        for happening in sequence:
            try:
                machine.happen(*happening)
            except (Killed, KeyboardInterrupt):
                pass
            except CbirError as error:
                # a folder without pictures makes no index; that is all that may fail
                if "There are no pictures" not in str(error):
                    raise
            check(machine.directory)
        machine.put("one.png", 0)
        machine.index()
        has_faces = load_meta(machine.directory).faces is not None
        machine.index(Path(folder, "clean"), faces=has_faces)
        assert content(machine.directory) == content(Path(folder, "clean"))
        assert unnamed_files(machine.directory) == set()
        assert find_problems(Index.open(machine.directory), verify=True) == []

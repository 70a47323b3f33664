"""Damaged and hostile index directories: each ends in answers or in a CbirError, within bounds of time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="bounds its memory with setrlimit")

#: Files without which an index is whole: what needs none of them goes on.
COLUMNS = ("classes", "faces", "face_boxes", "face_vectors", "treatment", "treatment_numbers")
KINDS = ("meta", "features", "files", *COLUMNS, "projection", "trees")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forged", [False, True], ids=["damaged", "forged"])
def test_mutations_of_an_index_end_in_answers_or_an_error(kind: str, forged: bool, tmp_path: Path) -> None:
    """`forged`: lengths, hashes and the checksum in meta.json are made to fit, as someone with bad intent would."""
    path = str(Path(__file__).parents[2])
    command = [sys.executable, "-X", "faulthandler", "-W", "ignore", Path(__file__), kind, str(int(forged)), tmp_path]
    result = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * GUARD_SECONDS,
    )
    last = (tmp_path / "mutation").read_text()
    assert result.returncode == 0, f"{last}\n{result.stderr[-3000:]}"
    counts = json.loads(result.stdout)
    assert counts["errors"] + counts["answers"] >= 300
    assert counts["errors"] > 20


# What follows runs in the process that the test starts.

ROWS, DIMENSION = 400, 32
#: Numbers of a face's vector.
NUMBERS = 16
MEMORY = 500 << 20
#: Work of the processor on one mutation at most; and after how long it counts as hanging.
SECONDS, GUARD_SECONDS = 5, 120


def make_index(directory: Path) -> None:
    import numpy as np

    from cbir.backbones.backbone import describe
    from cbir.index.ann import annoy, base
    from cbir.index.columns import faces, treatment
    from cbir.index.columns.classes import COUNT, pack
    from cbir.index.entries import FacesEntry, TreatmentEntry
    from cbir.index.files import FileRecord
    from cbir.index.format import Meta
    from cbir.index.writer import Writer

    base.SMALL = 300  # so that few rows have candidates, and a mutation takes milliseconds
    annoy.TREES = 4
    directory.mkdir()
    model = describe("efficientnet_lite0", "untrained").to_json()
    model["dimension"] = DIMENSION
    writer = Writer(directory, Meta(model, DIMENSION, "/photos", "2026", "2026"))
    rng = np.random.default_rng(0)
    for row in range(ROWS):
        # two blocks, 300 rows and 100, so that a file of one can take the place of one of the other
        classes = pack(rng.choice(1000, COUNT, replace=False), np.sort(rng.random(COUNT))[::-1])
        vectors = np.eye(NUMBERS, dtype=np.float32)[row % NUMBERS : row % NUMBERS + row % 3]
        its = faces.pack([((row, 1, 20, 30), 0.9, 30, vector) for vector in vectors])
        its |= treatment.pack(np.roll(np.eye(NUMBERS, dtype=np.float32)[0], row) if row % 5 else np.zeros(NUMBERS))
        feature = rng.gamma(0.5, 1.0, DIMENSION)
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature, {"classes": classes, **its})
        if row in (299, 399):
            writer.commit(faces=FacesEntry("toy", "cd" * 32, NUMBERS), treatment=TreatmentEntry(NUMBERS))
    writer.tidy()


class Fuzzer:
    def __init__(self, kind: str, forged: bool, folder: Path) -> None:
        import random

        self.kind, self.forged, self.folder = kind, forged, folder
        self.rng = random.Random(f"{kind} {forged}")
        self.directory = folder / "index"
        make_index(self.directory)
        self.original = {path.name: path.read_bytes() for path in self.directory.iterdir()}
        prefix = {"trees": "index-"}.get(kind, kind)
        self.targets = sorted(name for name in self.original if name.startswith(prefix))
        self.baseline = self.answers()

    def mutations(self) -> list[tuple[str, dict[str, bytes | None]]]:
        """Pairs of a description and the files to be replaced (None: removed)."""
        from functools import partial

        ways = [partial(self.mutate, way) for way in ("flip", "numbers", "cut", "extend", "zero", "splice", "swap")]
        if self.kind == "meta" and self.forged:
            ways = [self.edit_json]
        special = self.special() if self.forged else []
        return [*special, *(self.rng.choice(ways)() for _ in range(300))]

    def mutate(self, way: str) -> tuple[str, dict[str, bytes | None]]:
        rng, name = self.rng, self.rng.choice(self.targets)
        data = bytearray(self.original[name])
        # half of the mutations hit the beginning, where the structure is
        end = len(data) if rng.random() < 0.5 else min(len(data), 200)
        at = rng.randrange(end)
        if way == "flip":
            for _ in range(rng.choice([1, 1, 4, 64])):
                data[rng.randrange(end)] ^= 1 << rng.randrange(8)
        elif way == "numbers":
            for _ in range(rng.choice([1, 8, 256])):
                start = rng.randrange(len(data)) // 4 * 4
                data[start : start + 4] = rng.choice([0, 1, 2, 33, 399, 400, 2**31 - 1, 2**31, 2**32 - 1]).to_bytes(
                    4, "little"
                )
            del data[len(self.original[name]) :]
        elif way == "cut":
            del data[rng.choice([at, 0, len(data) - 1, len(data) // 140 * 70]) :]
        elif way == "extend":
            data += rng.choice([b"\0", b"\n", rng.randbytes(140), bytes(140 * 7)])
        elif way == "zero":
            length = rng.choice([1, 8, 1000, len(data)])
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif way == "splice":
            other = rng.randrange(len(data))
            data[at : at + 64] = data[other : other + 64]
        elif way == "swap":
            other_name = rng.choice([other for other in sorted(self.original) if other != name])
            if rng.random() < 0.2:
                return f"remove {name}", {name: None}
            return f"swap {name} {other_name}", {name: self.original[other_name], other_name: self.original[name]}
        return f"{way} {name} at {at}", {name: bytes(data)}

    def edit_json(self) -> tuple[str, dict[str, bytes | None]]:
        """Another value somewhere in meta.json."""
        rng = self.rng
        meta = json.loads(self.original["meta.json"])
        deep: object = 1
        for _ in range(rng.choice([5, 900])):
            deep = [deep]
        names = sorted(self.original)
        values = [
            *(None, True, -1, 0, 1, 2, 33, 100, 400, 401, 2**31, 2**63, 2**64, 10**30, -(10**30), 0.5, 1e300),
            *(float("nan"), float("inf"), "", "x", "/", "../../../etc/passwd", "\0", "\udcff", "1" * 5000),
            *([], {}, [[]], [[0, 1]], [[0, 10**30]], [[5, 2]], [[0, 1, 2]], [["a", "b"]], deep, *names),
        ]
        described = []
        for _ in range(rng.choice([1, 1, 2])):
            holder, key = meta, rng.choice(sorted(meta))
            while isinstance(holder[key], (dict, list)) and holder[key] and rng.random() < 0.85:
                holder = holder[key]
                key = rng.choice(sorted(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
            if rng.random() < 0.1:
                del holder[key]
                described.append(f"del {key}")
            else:
                holder[key] = rng.choice(values)
                described.append(f"{key} = {str(holder[key])[:40]}")
        return ", ".join(described), {"meta.json": json.dumps(meta).encode()}

    def special(self) -> list[tuple[str, dict[str, bytes | None]]]:
        """What chance does not find."""
        import numpy as np

        name = self.targets[0]
        data = self.original[name]
        made: list[tuple[str, bytes]] = []
        if self.kind == "meta":
            for key in ("rows", "search_k", "recall", "bytes", "next_number", "dimension", "format", "invalid"):
                for value in (b"Infinity", b"-1e999", b"NaN", b"[[0, Infinity]]", b"1" * 4000, b"-1", b"1e999"):
                    start = data.index(f'"{key}": '.encode()) + len(key) + 4
                    stop = start + min(data[start:].index(end) for end in (b",\n", b"\n"))
                    made.append((f"{key} = {value[:20]!r}", data[:start] + value + data[stop:]))
        if self.kind in ("features", *COLUMNS, "projection"):
            for header in (
                "-" * 9000 + "1",
                "(" * 5000,
                "[" * 150 + "]" * 150,
                "{'descr': '|O', 'fortran_order': False, 'shape': (300, 32)}",
                "{'descr': '<f2', 'fortran_order': False, 'shape': (99999999999999, 32)}",
                "{'descr': '<f2', 'fortran_order': False, 'shape': (-1, 32)}",
                "{'descr': '<f2', 'fortran_order': False, 'shape': (10000000000, 10000000000, 10000000000)}",
                "{'descr': '<f2', 'fortran_order': True, 'shape': (300, 32)}",
                "{'descr': [('a', '<f2')], 'fortran_order': False, 'shape': (300, 32)}",
                "{'descr': ('<f2', (1000000, 1000000)), 'fortran_order': False, 'shape': ()}",
                "{'descr': '<U99999999', 'fortran_order': False, 'shape': (300, 32)}",
                "{'descr': 5, 'fortran_order': False, 'shape': 'x'}",
                "{'descr': '<f2', 'fortran_order': False, 'shape': (True, 32.0)}",
            ):
                text = header.encode() + b"\n"
                made.append((header[:60], b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data[128:]))
            if self.kind == "classes":
                made.append(("no such class", data[:128] + b"\xe8\x03\0\0" * ((len(data) - 128) // 4)))
                made.append(("no probability", data[:128] + b"\0\0\x01\x3c" * ((len(data) - 128) // 4)))
            made.append(("all not finite", data[:128] + b"\xff" * (len(data) - 128)))
        if self.kind == "files":
            line = json.dumps(["../x", 1, 1, "0" * 64])
            for row in (line, "[" * 100_000, '"x"', "1" * 5000, '["a",1e999,1,"b"]', '["\\u0000",1,1,"b"]'):
                made.append((row[:40], b"[\n" + b",\n".join([row.encode()] * 300) + b"\n]\n"))
            made.append(("nothing but line ends", b"\n" * 302))
        if self.kind == "trees":
            nodes = np.frombuffer(data, dtype=np.int32).reshape(-1, DIMENSION + 3)
            last = len(nodes) - 1

            def forged(change: object) -> bytes:
                copy = nodes.copy()
                change(copy)  # type: ignore[operator]
                return copy.tobytes()

            def chain(copy: np.ndarray) -> None:
                # every node has the one before it as both of its children: 2**n ways down
                for number in range(ROWS + 1, len(copy)):
                    copy[number, :3] = (ROWS, number - 1, number - 1)

            def setting(row: slice | int, column: int, value: int) -> bytes:
                def change(copy: np.ndarray) -> None:
                    copy[row, column] = value

                return forged(change)

            for value in (-(2**31), -1, 0, 1, 10**6, 2**31 - 1):
                for column in (0, 1, 2):
                    made.append((f"roots {column} = {value}", setting(slice(-4, None), column, value)))
                    made.append((f"all {column} = {value}", setting(slice(ROWS, None), column, value)))
            made.append(("root is its own child", setting(slice(-4, None), 1, last)))
            made.append(("two children alike", forged(chain)))
            made.append(("not finite", forged(lambda copy: copy.__setitem__((slice(None), slice(3, None)), -1))))
        return [(text, {name: content}) for text, content in made]

    def forge(self, files: dict[str, bytes | None]) -> dict[str, bytes | None]:
        """Make lengths, hashes and the checksum in meta.json fit."""
        import hashlib

        if self.kind != "meta":
            files = {name: data for name, data in files.items() if name != "meta.json"}
        meta = json.loads(files.get("meta.json") or self.original["meta.json"])
        meta.pop("checksum", None)
        if "meta.json" not in files:
            entries = [block[name] for block in meta["blocks"] for name in ("features", "files", *COLUMNS)]
            entries += [meta["shortlist"]["trees"], meta["shortlist"]["projection"]]
            for entry in entries:
                data = files.get(entry["name"])
                if data is not None:
                    entry["bytes"], entry["sha256"] = len(data), hashlib.sha256(data).hexdigest()
        canonical = json.dumps(meta, sort_keys=True, separators=(",", ":"))
        meta["checksum"] = hashlib.sha256(canonical.encode("ascii")).hexdigest()
        return {**files, "meta.json": json.dumps(meta).encode()}

    def answers(self) -> list[object]:
        """What a user may ask of an index, all of it."""
        from cbir.index.store import Index
        from cbir.index.treatments import treatment_of, treatments_of

        index = Index.open(self.directory)
        found = index.classes()
        names = table_of_classes()[found.numbers]  # as a caller does, who trusts the numbers
        faces = index.faces()
        its = [faces.rows, faces.numbers, faces.boxes, faces.scores, faces.heights, faces.vectors, faces.known]
        assert [len(one) for one in its] == [len(faces)] * 6 + [index.rows]
        some = [index.faces_of(row).vectors.tolist() for row in (1, 2, 301) if row < index.rows]
        treatments = treatments_of(index)
        assert len(treatments.rows) == len(treatments.vectors)
        its += [treatments.rows, treatments.vectors]
        known = (treatment_of(index, row) for row in (1, 5, 301) if row < index.rows)
        some += [None if one is None else one.tolist() for one in known]
        told = [names, found.probabilities, found.known, *its]
        return [*self.answers_without_columns(), *(one.tolist() for one in told), some]

    def answers_without_columns(self) -> list[object]:
        """All that needs no columns."""
        import numpy as np

        from cbir.index.store import Index
        from cbir.search.queries import VectorQuery
        from cbir.search.searcher import Searcher

        index = Index.open(self.directory)
        query = np.random.default_rng(5).random(DIMENSION, dtype=np.float32)
        candidates = index.candidates()
        searcher = Searcher(index)
        found = [searcher.ranked(query, count, reranked=count == 5) for count in (10, 5, 150)]
        records = [record for _, record in index.records()]
        probes = sorted({0, index.rows // 2, index.rows - 1} & set(range(index.rows)))
        return [
            [(rows.tolist(), scores.tolist()) for rows, scores in found],
            [one.matches for one in searcher.search([VectorQuery(query)], count=150)],
            records,
            [index.record(row) for row in probes],
            [index.find(f"{row:064x}") for row in (0, 7, 350)],
            index.features(probes).tolist(),
            None if candidates is None else candidates.search(query[np.newaxis], 50)[0].tolist(),
            len(index),
        ]

    def run(self) -> dict[str, int]:
        import faulthandler
        import resource

        from cbir.errors import CbirError
        from cbir.index.store import Index
        from cbir.index.verify import find_problems

        counts = {"errors": 0, "answers": 0}
        for number, (text, files) in enumerate(self.mutations()):
            (self.folder / "mutation").write_text(f"{self.kind} {number}: {text!r}")
            for name, data in (self.forge(files) if self.forged else files).items():
                (self.directory / name).unlink()  # the mapping of an index that is still open keeps the old content
                if data is not None:
                    (self.directory / name).write_bytes(data)
            faulthandler.dump_traceback_later(GUARD_SECONDS, exit=True)
            before = resource.getrusage(resource.RUSAGE_SELF)
            try:
                answers = self.answers()
                counts["answers"] += 1
                changed = any(data != self.original[name] for name, data in files.items())
                if not self.forged and changed and str(answers) != str(self.baseline):
                    # numbers may be other ones, since a search hashes no features; --verify notices
                    assert find_problems(Index.open(self.directory), verify=True), "not noticed"
            except CbirError:
                counts["errors"] += 1
                if all(name.startswith(COLUMNS) for name in files):
                    self.answers_without_columns()
            used = resource.getrusage(resource.RUSAGE_SELF)
            assert used.ru_utime - before.ru_utime < SECONDS, "too much work"
            faulthandler.cancel_dump_traceback_later()
            for name in {*files, "meta.json"}:
                (self.directory / name).unlink(missing_ok=True)
                (self.directory / name).write_bytes(self.original[name])
        assert str(self.answers()) == str(self.baseline)
        return counts


def table_of_classes() -> np.ndarray:
    """Something for each class."""
    import numpy as np

    return np.arange(1000) * 3


def limit_memory() -> None:
    import resource

    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


if __name__ == "__main__":
    fuzzer = Fuzzer(sys.argv[1], sys.argv[2] == "1", Path(sys.argv[3]))
    if sys.platform == "linux":
        limit_memory()
    print(json.dumps(fuzzer.run()))

"""Hundreds of damaged picture files: each becomes a picture or an ImageReadError, in bounded time and memory.

All are read in one process of its own, under limits, so that a decoder's crash is told and named. To see one again:
`python tests/faults/test_fuzz_images.py NUMBER`, which reads only that mutation and says what became of it.
`CBIR_FUZZ` is how many are tried, if more than usual.
"""

from __future__ import annotations

import faulthandler
import os
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

SEED = 20260
MUTATIONS_PER_FILE = 100
MORE = int(os.environ.get("CBIR_FUZZ", "0"))
SECONDS, GUARD_SECONDS = 5, 120
MEMORY = 600 * 2**20
MAX_PIXELS = 16_000_000

Random = np.random.Generator

#: What a header's number is replaced by: nothing, one, and the largest of one, two and four bytes, signed or not.
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 60_000, 1_000_000]


def flip_bits(data: bytearray, random: Random, other: bytes) -> bytearray:
    for at in random.integers(0, len(data), random.integers(1, 9)):
        data[at] ^= 1 << random.integers(8)
    return data


def flip_bits_of_the_header(data: bytearray, random: Random, other: bytes) -> bytearray:
    for at in random.integers(0, min(len(data), 120), random.integers(1, 5)):
        data[at] ^= 1 << random.integers(8)
    return data


def overwrite_a_run(data: bytearray, random: Random, other: bytes) -> bytearray:
    start, length = random.integers(0, len(data)), random.integers(1, 65)
    fill = bytes([random.choice([0, 255, 0x41])]) * length if random.random() < 0.5 else random.bytes(length)
    data[start : start + length] = fill
    return data


def truncate(data: bytearray, random: Random, other: bytes) -> bytearray:
    return data[: random.integers(0, len(data))]


def repeat_a_piece(data: bytearray, random: Random, other: bytes) -> bytearray:
    start, length, times = random.integers(0, len(data)), random.integers(1, 400), random.integers(1, 6)
    data[start:start] = data[start : start + length] * int(times)
    return data


def remove_a_piece(data: bytearray, random: Random, other: bytes) -> bytearray:
    start, length = random.integers(0, len(data)), random.integers(1, 200)
    del data[start : start + length]
    return data


def make_a_number_extreme(data: bytearray, random: Random, other: bytes) -> bytearray:
    for _ in range(random.integers(1, 3)):
        size, order = int(random.choice([1, 2, 4])), str(random.choice(["big", "little"]))
        at = int(random.integers(0, min(len(data), 200)))
        number = EXTREMES[random.integers(len(EXTREMES))] & (256**size - 1)
        data[at : at + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
    return data


def splice(data: bytearray, random: Random, other: bytes) -> bytearray:
    return data[: random.integers(1, len(data))] + other[random.integers(0, len(other)) :]


KINDS: list[Callable[[bytearray, Random, bytes], bytearray]] = [
    flip_bits,
    flip_bits_of_the_header,
    overwrite_a_run,
    truncate,
    repeat_a_piece,
    remove_a_piece,
    make_a_number_extreme,
    splice,
]


def with_right_checksums(data: bytes) -> bytes:
    """A PNG's checksums made to fit again, without which its chunks would not even be looked at."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    fixed, at = bytearray(data), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        fixed[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(fixed)


def mutation(number: int, files: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """What it is, and its bytes; of the same number always the same, as far as the encoders write the same files."""
    random = np.random.default_rng([SEED, number])
    name, original = files[number // MUTATIONS_PER_FILE % len(files)]
    kind = KINDS[number % len(KINDS)]
    data = bytes(kind(bytearray(original), random, files[random.integers(len(files))][1]))
    if number % 3:
        data = with_right_checksums(data)
    return f"{number}: {name}, {kind.__name__}", data


def fuzz(only: int | None = None) -> None:
    """Read the mutations one by one, each named before. Runs in a process of its own, which it limits."""
    import resource

    from PIL import Image

    import cbir.images.read as read
    from cbir.errors import ImageReadError
    from cbir.images import cost
    from tests.helpers.sample_files import sample_files

    files = list(sample_files().items())
    for name, data in files:  # what is loaded once, decoders and profiles, counts to no mutation
        try:
            read.read_image(data)
        except ImageReadError:
            assert "12 bits" in name
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # what lies within a file is held to the limit too
    cost.MAX_BYTES = MEMORY - (50 << 20)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    outcomes = {"picture": 0, "error": 0}
    slowest = 0.0
    for number in range(max(len(files) * MUTATIONS_PER_FILE, MORE)) if only is None else [only]:
        name, data = mutation(number, files)
        print(name, flush=True)
        faulthandler.dump_traceback_later(GUARD_SECONDS, exit=True)
        start = time.process_time()
        try:
            picture, problem = read.read_image(data, max_pixels=MAX_PIXELS), None
        except ImageReadError as error:
            picture, problem = None, error
        faulthandler.cancel_dump_traceback_later()
        slowest = max(slowest, time.process_time() - start)
        assert slowest < SECONDS, "too much work"
        if picture is not None:
            assert picture.dtype == np.uint8
            assert picture.ndim == 3
            assert picture.shape[2] == 3
            assert 0 < picture.size <= 3 * MAX_PIXELS
        if problem is not None:
            assert problem.reason
            assert "\n" not in str(problem)
            assert "fit into memory" not in problem.reason  # the limit of pixels is there to come before
        outcomes["picture" if problem is None else "error"] += 1
        if only is not None:
            print(problem or f"a picture of {picture.shape}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"done: {outcomes['picture']} pictures, {outcomes['error']} errors, {slowest:.2f} s, {peak} MB")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the limit of memory needs Linux's /proc")
def test_damaged_files_end_in_a_picture_or_an_error_within_bounds():
    # one arena for all threads: each takes 64 MB of addresses, which the limit counts though they stay empty
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__],
        capture_output=True,
        text=True,
        timeout=120 + MORE / 20,
        env=environment,
    )
    last = done.stdout.strip().rsplit("\n", 1)[-1]
    assert done.returncode == 0, f"mutation {last}: exit {done.returncode}\n{done.stderr[-4000:]}"
    found = re.fullmatch(r"done: (\d+) pictures, (\d+) errors, .*", last)
    assert found, last
    pictures, errors = map(int, found.groups())
    assert pictures + errors >= 500
    assert min(pictures, errors) >= 100  # else the mutations are too wild or too tame to find anything


def test_mutations_are_the_same_each_time_and_differ():
    files = [("words", b"some words that are long enough to be damaged " * 4)] * 3
    made = [mutation(number, files) for number in range(3 * MUTATIONS_PER_FILE)]
    assert made == [mutation(number, files) for number in range(3 * MUTATIONS_PER_FILE)]
    assert len({data for _, data in made}) > 0.9 * len(made)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else None)

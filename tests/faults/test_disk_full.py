"""No room, no permission: one clear sentence, the old state as it was, and no rubbish however often it is tried."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from tests.helpers.faults import content, unnamed_files
from tests.helpers.waiting import GUARD_SECONDS

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and mounts of Linux"),
    pytest.mark.usefixtures("replaced"),
]

# The command line with replacements; $LIMIT is the most bytes that a file may have.
LIMITED = """
import os, resource, sys
from tests.helpers import faults
limit = int(os.environ["LIMIT"])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # Python ignores SIGXFSZ, so a write fails with EFBIG
faults.replace_all()
sys.exit(faults.run_cli(sys.argv[1:]))
"""


@pytest.fixture
def root(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> Path:
    """A folder of 36 pictures: enough for merged blocks and, with the small numbers of these tests, candidates."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(36):
        draw_picture(number, (48, 32)).save(folder / f"{number:02}.png")
    return folder


def cbir(*arguments: object, limit: int = 0) -> subprocess.CompletedProcess[str]:
    path = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": path, "LIMIT": str(limit), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=GUARD_SECONDS)


def refresh(root: Path, directory: Path) -> None:
    build_index(choose_target(root, str(directory)), Options(prune=True))


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}


def assert_failed(result: subprocess.CompletedProcess[str], reason: str) -> None:
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: Cannot "), result.stderr
    assert reason in last


def retry_until_steady(root: Path, directory: Path, reason: str, limit: int = 0) -> None:
    """Runs that fail may commit what still fits; then each leaves what it found."""
    seen = []
    for _ in range(6):
        assert_failed(cbir("index", root, "--index", directory, limit=limit), reason)
        seen.append(files(directory) if directory.exists() else {})
        if (directory / "meta.json").exists():
            assert find_problems(Index.open(directory), verify=True) == []
            assert unnamed_files(directory) == set()
    assert seen[-1] == seen[-2] == seen[-3]


@pytest.mark.parametrize("limit", [500, 20_000, 62_000])
def test_a_limit_of_file_sizes_stops_a_run_and_spoils_nothing(root: Path, tmp_path: Path, limit: int) -> None:
    # the thumbnails of 8 rows have 8 kB, of 32 rows 33 kB, the projection 66 kB
    directory = tmp_path / "index"
    retry_until_steady(root, directory, "file too large", limit)
    assert cbir("index", root, "--index", directory).returncode == 0
    refresh(root, tmp_path / "clean")
    assert content(directory) == content(tmp_path / "clean")


def test_a_limit_of_file_sizes_leaves_an_older_state_as_it_was(root: Path, tmp_path: Path) -> None:
    directory = tmp_path / "index"
    refresh(root, directory)
    for number in range(3):
        shutil.copy(root / f"{number:02}.png", root / f"copy {number}.png")
    before = files(directory)
    retry_until_steady(root, directory, "file too large", limit=5000)
    assert files(directory) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a disk of its own with some options, or mounts it anew with others."""
    folder = tmp_path / "disk"

    def mount(options: str) -> Path:
        mounted = os.path.ismount(folder)
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"remount,{options}" if mounted else options, "cbir-test", folder]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"mounting is not allowed here ({error})")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("kilobytes", [16, 96, 160])
def test_a_full_disk_stops_a_run_and_spoils_nothing(
    root: Path, tmp_path: Path, small_disk: Callable[[str], Path], kilobytes: int
) -> None:
    directory = small_disk(f"size={kilobytes}k") / "index"
    retry_until_steady(root, directory, "no space left on device")
    small_disk("size=20m")
    assert cbir("index", root, "--index", directory).returncode == 0
    refresh(root, tmp_path / "clean")
    assert content(directory) == content(tmp_path / "clean")
    assert unnamed_files(directory) == set()


def test_a_read_only_disk_is_refused_for_writing_and_searched(
    root: Path, small_disk: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = small_disk("size=20m") / "index"
    refresh(root, directory)
    before = files(directory)
    small_disk("ro")
    Image.open(root / "00.png").save(root / "new.png", compress_level=1)
    assert_failed(cbir("index", root, "--index", directory), "read-only")
    assert_failed(cbir("index", root, "--index", directory.parent / "another"), "read-only")
    assert files(directory) == before
    result = cbir("search", root / "01.png", "--index", directory)
    assert result.returncode == 0, result.stderr
    assert cbir("info", "--index", directory, "--verify").returncode == 0


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write to any directory")
def test_a_directory_without_permission_is_refused_for_writing_and_searched(root: Path, tmp_path: Path) -> None:
    directory = tmp_path / "index"
    refresh(root, directory)
    before = files(directory)
    (directory / "lock").unlink(missing_ok=True)
    directory.chmod(0o555)
    try:
        assert_failed(cbir("index", root, "--index", directory), "permission denied")
        assert cbir("search", root / "01.png", "--index", directory).returncode == 0
        assert files(directory) == before
    finally:
        directory.chmod(0o755)

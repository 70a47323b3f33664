"""`kill -9` of runs by networks of other libraries: the next run makes the same index, whatever had been done."""

from __future__ import annotations

import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from cbir.index.format import META
from cbir.index.store import Index
from cbir.index.verify import find_problems
from tests.helpers.faults import COMMIT_ROWS, Server, content, unnamed_files

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps in /proc")

#: A network of each family, and packages without which its test is skipped.
NETWORKS = {
    "clip:tiny-ViT": ("open_clip", "timm"),
    "timm:test_convnext.r160_in1k": ("open_clip", "timm"),
    "tv:shufflenet_v2_x0_5": ("open_clip", "timm"),
    "onnx:": ("onnx",),
}

#: Steps at which a run is killed, of about a hundred.
KILLS = 3

PICTURES = 20


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Options that name a network of a family."""
    for package in NETWORKS[request.param]:
        pytest.importorskip(package)
    if request.param == "onnx:":
        from tests.helpers.onnx_networks import save

        return ["--model", f"onnx:{save(tmp_path / 'net.onnx', ['n', 3, 32, 32])},bgr,-1-1"]
    return ["--model", request.param, "--weights", "untrained"]


@pytest.fixture
def server(network: list[str]) -> Iterator[Server]:
    """A server of processes that know the network, and are killed at one of their steps."""
    is_plain = network[1].startswith("onnx:")
    running = Server() if is_plain else Server(str(Path(__file__).parents[1] / "helpers" / "library_faults.py"))
    yield running
    running.close()


def test_a_killed_run_is_gone_on_with(
    network: list[str], server: Server, tmp_path: Path, draw_picture: Callable[..., Image.Image]
) -> None:
    root, directory = tmp_path / "photos", tmp_path / "index"
    root.mkdir()
    for number in range(PICTURES):
        draw_picture(number, (48, 32)).save(root / f"{number:02}.png")
    run = ["index", str(root), "--index", str(directory), *network, "--precision", "f32"]
    status, steps, error = server.run(*run, directory=directory)
    assert status == 0, error
    clean = content(directory)
    assert len(clean) == PICTURES
    assert len({features for _, features, _ in clean.values()}) > PICTURES // 2, "the network tells nothing apart"
    name = Index.open(directory).model["name"]
    gone_on = 0
    for kill_at in sorted(random.Random(3).sample(range(2, len(steps) + 1), KILLS)):
        shutil.rmtree(directory)
        status, _, error = server.run(*run, directory=directory, kill_at=kill_at)
        assert status == -signal.SIGKILL, (kill_at, error)
        before = 0
        if (directory / META).exists():
            index = Index.open(directory)
            assert find_problems(index, verify=True) == []
            assert index.model["name"] == name
            left = content(directory)
            assert left.items() <= clean.items()
            before = len(left)
            assert before in (*range(0, PICTURES, COMMIT_ROWS), PICTURES)
        gone_on += 0 < before < PICTURES
        status, _, error = server.run(*run, directory=directory)
        assert status == 0, (kill_at, error)
        assert f"{PICTURES - before} added" in error or before == PICTURES, error
        assert content(directory) == clean
        assert unnamed_files(directory) == set()
        assert find_problems(Index.open(directory), verify=True) == []
    assert gone_on, "no run was killed between two commits"

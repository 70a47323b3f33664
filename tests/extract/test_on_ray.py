"""Extraction by Ray, on a cluster of two nodes on this machine: the index is the one that a local run writes."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbir.errors import CbirError
from cbir.extract import on_ray
from cbir.extract.executors import executor_named
from cbir.extract.on_ray import RayExecutor
from cbir.faces.packages import has_packages
from cbir.index.store import Index
from cbir.indexing.run import build_index
from tests.helpers.cluster import OPTIONS, a_cluster, assert_same, index, rows, two_nodes
from tests.helpers.waiting import wait_for

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.slow

Folder = Callable[..., Path]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with a_cluster() as made, two_nodes(made):
        yield made


def test_a_cluster_writes_the_index_of_a_local_run(cluster: Any, photo_folder: Folder) -> None:
    root = photo_folder(30, subfolders=["a", "b"])
    shutil.copy(root / "a" / "img_000.jpg", root / "b" / "copy.jpg")
    (root / "a" / "broken.jpg").write_bytes((root / "a" / "img_002.jpg").read_bytes()[:300])
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    there = index(root, "there", cluster)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert_same(there, index(root, "here"))
    assert len(rows(there)) == 31
    (root / "a" / "img_000.jpg").rename(root / "a" / "moved.jpg")
    report, _ = build_index(there, OPTIONS, executor=RayExecutor(cluster.address))
    assert (report.moved, report.added, report.unchanged) == (1, 0, 30)


def test_faces_are_found_by_the_cluster(cluster: Any, photo_folder: Folder) -> None:
    """The finder is opened where the pictures are looked at; here the real one, which finds none in drawn pictures."""
    if not has_packages():
        pytest.skip("the packages of cbir[faces] are not installed")
    root = photo_folder(9)
    there, here = (
        index(root, name, on, options=replace(OPTIONS, faces=True)) for name, on in (("there", cluster), ("here", None))
    )
    assert_same(there, here)
    assert Index.open(there.directory).faces().known.all()


def test_errors_of_a_network_are_those_of_a_local_run(
    cluster: Any, photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(on_ray._Extracting):
        def run(self, chunk: Any) -> Any:
            raise CbirError("The network is none.")

    monkeypatch.setattr(on_ray, "_Extracting", Wrong)
    with pytest.raises(CbirError, match="The network is none"):
        index(photo_folder(3), "photos", cluster)


def test_what_ray_tells_goes_to_the_log_and_not_to_stdout(
    cluster: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from ray._private.utils import publish_error_to_driver

    caplog.set_level("DEBUG", "cbir")
    ray.shutdown()
    RayExecutor(cluster.address)._connect()
    client = ray._private.worker.global_worker.gcs_client

    def is_told() -> bool:
        # again, as the thread that listens may have begun after it was told
        publish_error_to_driver("raylet_died", "a node is gone", gcs_client=client)
        time.sleep(0.1)
        return "a node is gone" in caplog.text + capsys.readouterr().out

    wait_for(is_told)
    assert "Ray: a node is gone" in caplog.text


def test_places_that_are_none_are_refused() -> None:
    with pytest.raises(CbirError, match="name ray, or ray:ADDRESS"):
        executor_named("spark")
    assert isinstance(executor_named("ray"), RayExecutor)

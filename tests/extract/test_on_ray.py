"""Extraction by Ray, on a cluster of two nodes on this machine: the index is the one that a local run writes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cbir.errors import CbirError, WorkersError
from cbir.extract import on_ray
from cbir.extract.executor import chunks_of
from cbir.extract.executors import executor_named
from cbir.extract.on_ray import RayExecutor
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing import run
from cbir.indexing.policy import CommitPolicy
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import Target, choose_target
from tests.helpers.faults import content

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.slow

Folder = Callable[..., Path]

OPTIONS = Options(model="fake")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores, to which tests add nodes of one core."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000})
    yield made
    made.shutdown()


@pytest.fixture
def nodes(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Two nodes of the cluster, and this process connected to it."""
    monkeypatch.setattr(run, "chunks_of", lambda files: chunks_of(files, 4))
    there = [cluster.add_node(num_cpus=1, object_store_memory=80_000_000) for _ in range(2)]
    cluster.wait_for_nodes()
    yield there
    ray.shutdown()
    for node in there:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)


def index(root: Path, name: str, cluster: Any = None, **how: Any) -> Target:
    target = choose_target(root, name)
    build_index(target, OPTIONS, executor=None if cluster is None else RayExecutor(cluster.address), **how)
    return target


def rows(target: Target) -> list[str]:
    return [record.path for _, record in Index.open(target.directory).records()]


def assert_same(there: Target, here: Target) -> None:
    assert content(there.directory) == content(here.directory)
    assert rows(there) == rows(here)
    assert not find_problems(Index.open(there.directory))


def test_a_cluster_writes_the_index_of_a_local_run(cluster: Any, nodes: list[Any], photo_folder: Folder) -> None:
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


@pytest.mark.parametrize("what", ["worker", "node"])
def test_a_worker_or_a_node_that_dies_costs_no_picture(
    cluster: Any, nodes: list[Any], photo_folder: Folder, what: str
) -> None:
    root = photo_folder(60)
    killed = []

    def watch(results: Iterator[Any], total: int) -> Iterator[Any]:
        for number, result in enumerate(results):
            if number == 10 and what == "node":
                cluster.remove_node(nodes[1], allow_graceful=False)
                killed.append(nodes[1])
            elif number == 10:
                os.kill(process_of_a_worker(), signal.SIGKILL)
                killed.append("a worker")
            yield result

    there = index(root, "there", cluster, watch=watch)
    assert killed
    assert_same(there, index(root, "here"))
    assert len(rows(there)) == 60


def process_of_a_worker() -> int:
    """The process of one of cbir's actors, which its title tells."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::_Extracting"):
                return int(entry.name)
    raise AssertionError("no worker is there")


def test_without_any_node_what_was_done_is_kept(
    cluster: Any, nodes: list[Any], photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "_PATIENCE", 2.0)
    root = photo_folder(60)

    def watch(results: Iterator[Any], total: int) -> Iterator[Any]:
        for number, result in enumerate(results):
            if number == 12:
                for node in nodes:
                    cluster.remove_node(node, allow_graceful=False)
            yield result

    with pytest.raises(WorkersError, match="No node"):
        index(root, "photos", cluster, watch=watch, commits=CommitPolicy(1000, seconds=1000))
    kept = len(rows(choose_target(root, "photos")))
    assert 12 <= kept < 60
    target = index(root, "photos")
    assert len(content(target.directory)) == 60


def test_a_node_that_joins_is_used(
    cluster: Any, nodes: list[Any], photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for node in nodes:
        cluster.remove_node(node)
    nodes.clear()
    looks, look = [], on_ray._Run._look_for_nodes

    def look_and_join(self: on_ray._Run) -> None:
        look(self)
        looks.append(1)
        if len(looks) == 3:
            nodes.append(cluster.add_node(num_cpus=1, object_store_memory=80_000_000))

    monkeypatch.setattr(on_ray._Run, "_look_for_nodes", look_and_join)
    root = photo_folder(8)
    assert_same(index(root, "there", cluster), index(root, "here"))
    assert nodes


def test_pictures_over_which_workers_die_end_the_run(
    cluster: Any, nodes: list[Any], photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deadly(on_ray._Extracting):
        def run(self, chunk: Any) -> Any:
            os.abort()

    monkeypatch.setattr(on_ray, "_Extracting", Deadly)
    with pytest.raises(WorkersError, match="died over the same pictures"):
        index(photo_folder(3), "photos", cluster)


def test_errors_of_a_network_are_those_of_a_local_run(
    cluster: Any, nodes: list[Any], photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(on_ray._Extracting):
        def run(self, chunk: Any) -> Any:
            raise CbirError("The network is none.")

    monkeypatch.setattr(on_ray, "_Extracting", Wrong)
    with pytest.raises(CbirError, match="The network is none"):
        index(photo_folder(3), "photos", cluster)


def test_places_that_are_none_are_refused() -> None:
    with pytest.raises(CbirError, match="name ray, or ray:ADDRESS"):
        executor_named("spark")
    assert isinstance(executor_named("ray"), RayExecutor)

"""Workers, nodes and planning machines of a Ray cluster that die in the middle of a run."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import descendants, title
from cbir.errors import WorkersError
from cbir.extract import on_ray
from cbir.index.format import META
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing.policy import CommitPolicy
from cbir.indexing.run import build_index
from cbir.indexing.target import choose_target
from tests.helpers import cluster as helpers
from tests.helpers.cluster import OPTIONS, a_cluster, add_node, assert_same, index, rows, two_nodes
from tests.helpers.faults import Server, content, replace_in, unnamed_files
from tests.helpers.waiting import wait_for

pytest.importorskip("ray")

Folder = Callable[..., Path]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with a_cluster() as made:
        yield made


@pytest.fixture
def nodes(cluster: Any) -> Iterator[list[Any]]:
    with two_nodes(cluster) as there:
        yield there


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
                os.kill(processes_of_workers()[0], signal.SIGKILL)
                killed.append("a worker")
            yield result

    there = index(root, "there", cluster, watch=watch)
    assert killed
    assert_same(there, index(root, "here"))
    assert len(rows(there)) == 60


def processes_of_workers() -> list[int]:
    """The processes of cbir's actors below this process, which their titles tell."""
    return [one for one in descendants(os.getpid()) if is_worker(one)]


def is_worker(process: int) -> bool:
    """Tell whether a process is there and one of cbir's actors."""
    return title(process).startswith("ray::_Extracting")


def end_nodes(cluster: Any, nodes: list[Any]) -> None:
    """End nodes and their workers, which outlive them for a while, in which they could do all that is left."""
    workers = processes_of_workers()
    for node in nodes:
        cluster.remove_node(node, allow_graceful=False)
    wait_for(lambda: not any(map(is_worker, workers)))


def test_without_any_node_what_was_done_is_kept(
    cluster: Any, nodes: list[Any], photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "HELD", 2)  # all could be done already when the nodes go
    root = photo_folder(60)

    def watch(results: Iterator[Any], total: int) -> Iterator[Any]:
        for number, result in enumerate(results):
            if number == 12:
                # not from the beginning: starting the first worker may take as long
                monkeypatch.setattr(on_ray, "_PATIENCE", 2.0)
                end_nodes(cluster, nodes)
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
            nodes.append(add_node(cluster))

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


def test_a_planning_machine_that_is_killed_at_any_moment_keeps_the_promises(
    cluster: Any, nodes: list[Any], photo_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the index is what a commit left, its workers end, and the next run goes on from there."""
    replace_in(monkeypatch)
    root, directory = photo_folder(40), tmp_path / "index"
    run = ("index", root, "--index", directory, "--on", f"ray:{cluster.address}")
    server = Server(helpers.__file__)
    try:
        status, steps, error = server.run(*run, directory=directory)
        assert status == 0, error
        clean = content(directory)
        kept = set()
        for kill_at in range(2, len(steps), len(steps) // 7):
            shutil.rmtree(directory)
            status, _, error = server.run(*run, directory=directory, kill_at=kill_at)
            assert status == -signal.SIGKILL, error
            before = {}
            if (directory / META).exists():
                assert find_problems(Index.open(directory), verify=True) == []
                before = content(directory)
                assert before.items() <= clean.items()
            kept.add(len(before))
            wait_for(lambda: not processes_of_workers())
            report, _ = build_index(choose_target(root, str(directory)), OPTIONS)
            assert report.unchanged == len(before)
            assert content(directory) == clean
            assert unnamed_files(directory) == set()
    finally:
        server.close()
    assert len(clean) == 40
    assert len(kept) > 2

"""A Ray cluster on this machine: nodes of one core, to which tests add others and which they kill."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cbir.extract.executor import chunks_of
from cbir.extract.on_ray import RayExecutor
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing import run
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import Target, choose_target
from tests.helpers.faults import content, serve

OPTIONS = Options(model="fake")


@contextlib.contextmanager
def a_cluster() -> Iterator[Any]:
    """A head without cores, to which nodes are added."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000})
    yield made
    made.shutdown()


def add_node(cluster: Any) -> Any:
    return cluster.add_node(num_cpus=1, object_store_memory=80_000_000)


@contextlib.contextmanager
def two_nodes(cluster: Any) -> Iterator[list[Any]]:
    """Two nodes of a cluster, for runs whose chunks have four pictures each."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "chunks_of", by_four)
        there = [add_node(cluster) for _ in range(2)]
        cluster.wait_for_nodes()
        yield there
        ray.shutdown()
        for node in there:
            if node in cluster.list_all_nodes():
                cluster.remove_node(node)


def by_four(files: Iterable[Any]) -> Iterator[Any]:
    """Cut files into chunks of four."""
    return chunks_of(files, 4)


def index(root: Path, name: str, cluster: Any = None, *, options: Options = OPTIONS, **how: Any) -> Target:
    """Index a folder, here or on a cluster."""
    target = choose_target(root, name)
    build_index(target, options, executor=None if cluster is None else RayExecutor(cluster.address), **how)
    return target


def rows(target: Target) -> list[str]:
    return [record.path for _, record in Index.open(target.directory).records()]


def assert_same(there: Target, here: Target) -> None:
    assert content(there.directory) == content(here.directory)
    assert rows(there) == rows(here)
    assert not find_problems(Index.open(there.directory))


if __name__ == "__main__":
    run.chunks_of = by_four
    serve()

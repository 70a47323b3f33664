"""An object store and the nodes of a Ray cluster on this machine, in processes that end with who started them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.harness import environment

BUCKET = "photos"

#: Bytes that each node keeps of results on their way.
_OBJECTS = 150_000_000

#: What a client needs beside the address: keys, which nobody looks at here.
_KEYS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@dataclass(frozen=True)
class Store:
    """A running S3 server with an empty bucket, and the file to which it writes a line for each request."""

    address: str
    log: Path

    def upload(self, files: Mapping[str, Path]) -> None:
        """Put files into the bucket, by their keys."""
        import boto3

        client = boto3.session.Session().client("s3")

        def put(key: str) -> None:
            client.put_object(Bucket=BUCKET, Key=key, Body=files[key].read_bytes())

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, files))

    def fetched(self) -> int:
        """Count the objects that clients have asked for."""
        return self.log.read_bytes().count(f'"GET /{BUCKET}/'.encode())


@contextlib.contextmanager
def store(log: Path) -> Iterator[Store]:
    """Start moto's S3 server in a process of its own, and name it in the environment as users do."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            _wait_for(f"{address}/moto-api/", process)
            with environment(**_KEYS, AWS_ENDPOINT_URL=address):
                import boto3

                boto3.session.Session().client("s3").create_bucket(Bucket=BUCKET)
                yield Store(address, log)
        finally:
            process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=10):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nobody answers at {address}")


@dataclass
class Nodes:
    """A Ray cluster: a head without cores, and nodes of one core each, which are processes of this machine."""

    cluster: Any
    there: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The address that `--on ray:` takes."""
        return str(self.cluster.address)

    def add(self) -> None:
        """Start one more."""
        self.there.append(self.cluster.add_node(num_cpus=1, object_store_memory=_OBJECTS))

    def kill(self) -> None:
        """Kill all processes of the one that came last, as when its machine loses its power."""
        node = self.there.pop()
        own = [one.process.pid for kind in node.all_processes.values() for one in kind]
        below = [process for one in own for process in processes.descendants(one)]
        self.cluster.remove_node(node, allow_graceful=False)
        for process in below:  # workers outlive their node by some seconds
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@contextlib.contextmanager
def nodes(count: int) -> Iterator[Nodes]:
    """Start a cluster of so many nodes. Its processes die with this one, however that ends."""
    from ray.cluster_utils import Cluster

    # paths of sockets have 107 characters at most; and by it runs of others do not find this cluster unasked
    folder = tempfile.mkdtemp(prefix="ray-")
    head = {"num_cpus": 0, "object_store_memory": _OBJECTS, "include_dashboard": False}
    try:
        with environment(RAY_TMPDIR=folder):
            started = Nodes(Cluster(initialize_head=True, head_node_args=head))
            try:
                for _ in range(count):
                    started.add()
                started.cluster.wait_for_nodes()
                yield started
            finally:
                started.cluster.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

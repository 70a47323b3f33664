"""What whole processes do: what they import, that they open no connection, how they stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cbir.index.store import Index
from cbir.index.verify import find_problems
from tests.helpers.signals import default_signals
from tests.helpers.waiting import GUARD_SECONDS, wait_for

Folder = Callable[..., Path]

# Runs the command line and then prints which of the heavy packages were imported.
IMPORTS = """
import sys
from cbir.cli import cli
try:
    cli(sys.argv[1:], prog_name="cbir")
finally:
    heavy = {"numpy", "torch", "torchvision", "openvino", "annoy", "PIL"}
    print("imported:", *sorted(heavy & set(sys.modules)), file=sys.stderr)
"""

# Makes every attempt to look a host up or to connect to one fail, in this process and whatever Python it starts.
NO_SOCKETS = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        sys.stderr.write(f"SOCKET {event} {arguments}\\n")
        sys.stderr.flush()
        import os
        os._exit(99)
sys.addaudithook(refuse)
"""

# The same for compiled code, and for all kinds of sockets but local ones.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>
#include <unistd.h>
int socket(int domain, int type, int protocol) {
    if (domain == AF_INET || domain == AF_INET6) {
        static const char text[] = "SOCKET from compiled code\n";
        if (write(2, text, sizeof text - 1)) {}
        _exit(98);
    }
    int (*real)(int, int, int) = dlsym(RTLD_NEXT, "socket");
    return real(domain, type, protocol);
}
"""


def imported(*arguments: str | Path) -> set[str]:
    command = [sys.executable, "-c", IMPORTS, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, check=False, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.rsplit("imported:", 1)[1].split())


def cbir(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cbir", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, text=True, **options)  # type: ignore[call-overload,no-any-return]


def test_help_imports_nothing_heavy() -> None:
    assert imported("--help") == set()
    assert imported("search", "--help") == set()


def test_a_search_imports_only_what_it_needs(photo_folder: Folder, tmp_path: Path, draw_picture: Callable) -> None:
    root = photo_folder(25)
    assert cbir("index", root).returncode == 0
    assert not imported("search", root / "img_000.jpg") & {"torch", "torchvision", "openvino"}
    draw_picture(100).save(tmp_path / "new.png")
    assert cbir("search", tmp_path / "new.png").returncode == 0
    assert not imported("search", tmp_path / "new.png") & {"torch", "torchvision"}
    assert not imported("index", root) & {"torch", "torchvision", "openvino"}


@pytest.fixture
def without_network(tmp_path: Path) -> dict[str, str]:
    """An environment in which any process that opens a connection ends with 98 or 99 at once."""
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(NO_SOCKETS)
    # CI: OpenVINO keeps quiet where it thinks that it is tested, so it must not think so
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["PYTHONPATH"] = f"{guard}:{Path(__file__).parents[2]}"
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    environment["HOME"] = str(tmp_path / "home")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler and sys.platform == "linux":
        (guard / "shim.c").write_text(SHIM)
        command = [compiler, "-shared", "-fPIC", "-o", guard / "shim.so", guard / "shim.c", "-ldl"]
        subprocess.run(command, check=True)
        environment["LD_PRELOAD"] = str(guard / "shim.so")
    return environment


def test_nothing_opens_a_connection(
    photo_folder: Folder, tmp_path: Path, draw_picture: Callable, without_network: dict[str, str]
) -> None:
    root = photo_folder(3)
    draw_picture(50).save(tmp_path / "new.png")
    for arguments in (
        ("index", root),  # the cache is empty: this converts the network
        ("index", root),
        ("search", tmp_path / "new.png"),
        ("search", tmp_path / "new.png", "--engine", "torch"),
        ("segment", root / "img_000.jpg", "--out", tmp_path / "out"),
        ("info", "--verify"),
        ("models",),
    ):
        result = cbir(*arguments, env=without_network)
        assert result.returncode == 0, (arguments, result.stderr)
        assert "SOCKET" not in result.stderr
    assert not list((tmp_path / "home").rglob("*")) if (tmp_path / "home").exists() else True


def test_the_guard_against_connections_works(without_network: dict[str, str]) -> None:
    code = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    result = subprocess.run([sys.executable, "-c", code], env=without_network, capture_output=True, check=False)
    assert result.returncode in (98, 99)
    assert b"SOCKET" in result.stderr


# Some 200 are read ahead, or in the network, when the first are committed.
PHOTOS = 320


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_keeps_what_it_did(photo_folder: Folder, number: signal.Signals) -> None:
    root = photo_folder(PHOTOS, size=(320, 240))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", SLOW_COMMITS, "index", str(root)]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, preexec_fn=default_signals, **pipes) as process:
        directory = Path(os.environ["CBIR_HOME"]) / "photos"
        wait_for((directory / "meta.json").exists)
        process.send_signal(number)
        _, error = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 130, error
    assert b"Interrupted" in error
    assert b"Traceback" not in error
    index = Index.open(directory)
    assert 0 < len(index) < PHOTOS
    assert not index.meta.complete
    result = cbir("index", root)
    assert f"{len(index)} of {PHOTOS} already done (the last run was interrupted)." in result.stderr
    assert len(Index.open(directory)) == PHOTOS


def _differs(path: Path, before: bytes) -> bool:
    return path.exists() and path.read_bytes() != before


def test_kills_at_random_moments_with_the_real_network_and_decoders(photo_folder: Folder) -> None:
    """The same promise as in test_kills.py, where a toy network makes room for hundreds of kills."""
    root = photo_folder(240)  # some sixty are indexed until a kill
    directory = Path(os.environ["CBIR_HOME"]) / "photos"
    random = np.random.default_rng(5)
    command = [sys.executable, "-c", SLOW_COMMITS, "index", str(root), "-q"]
    meta = directory / "meta.json"
    counts = [0]
    for _ in range(6):
        before = meta.read_bytes() if meta.exists() else b""
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            # somewhere after its next commit, if there is one to come
            wait_for(partial(_differs, meta, before), while_=lambda: process.poll() is None)
            time.sleep(random.uniform(0, 0.15))
            process.kill()
            process.communicate()
        index = Index.open(directory)
        assert find_problems(index, verify=True) == []
        assert len(index) >= counts[-1]
        counts.append(len(index))
    assert cbir("index", root, "-q").returncode == 0
    assert cbir("index", root, "-q", "--index", "clean").returncode == 0
    assert len(set(counts)) > 3, counts
    whole, clean = features(directory), features(directory.parent / "clean")
    assert list(whole) == list(clean)
    # batches were cut elsewhere, which may change the last bit on some processors
    assert all(np.allclose(whole[path], clean[path], atol=1e-3) for path in clean)


def features(directory: Path) -> dict[str, np.ndarray]:
    index = Index.open(directory)
    rows = {record.path: row for row, record in index.records() if index.valid[row]}
    return {path: index.features([rows[path]])[0] for path in sorted(rows)}


# Commits every 16 pictures, so that a run is sure to be interrupted between two commits.
SLOW_COMMITS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started with it ignored
from cbir.indexing import policy, run
run.commit_policy = lambda parts: policy.CommitPolicy(16)
from cbir.cli import main
main()
"""


STOPPED_IN_A_FINALISER = """
import os, signal, time, weakref
from cbir.utils import stopping

class Thing:
    pass

stopping.install()
thing = Thing()

def at_its_end():
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):  # the handler runs in here, where Python drops what it raises
        pass

weakref.finalize(thing, at_its_end)
try:
    del thing
    time.sleep(10)
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_signal_in_the_middle_of_a_finaliser_still_ends_a_run() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED_IN_A_FINALISER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("stopped\n", "")

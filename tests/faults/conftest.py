"""All tests of this folder are marked `faults`: kills, races, full disks, fuzz. `make test-faults` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.faults import Server, replace_in


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; the hook is given those of all folders."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks and what else takes time are those of `helpers.faults`, as in the server's processes."""
    replace_in(monkeypatch)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of processes that are killed at one of their steps."""
    running = Server()
    yield running
    running.close()

"""An index that is served: nine drawn pictures, by the fake network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

import cbir
from cbir.cli import cli
from cbir.serve.app import make_app
from cbir.serve.service import Service

SAMPLES = Path(__file__).parents[2] / "dataset/photos"


@pytest.fixture(scope="session")
def tour_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the sample pictures, by the bundled network: not to be changed."""
    folder = tmp_path_factory.mktemp("indexes") / "tour"
    result = CliRunner().invoke(cli, ["index", str(SAMPLES), "--index", f"{folder}/", "-q"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures that another test made are not found: all draw the same ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(photo_folder: Callable[..., Path]) -> Path:
    root = photo_folder(9, subfolders=["", "beach/2020"])
    cbir.index_folder(root, "photos", model="fake")
    return root


@pytest.fixture
def service(root: Path) -> Service:
    return Service.open(["photos"])


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    """A client of the application, as a browser on this machine is one."""
    with TestClient(make_app(service), base_url="http://127.0.0.1:8580") as client:
        yield client

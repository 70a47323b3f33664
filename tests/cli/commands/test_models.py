"""`cbir models --all`: families of libraries, whatever of these is installed and works."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from cbir.backbones import torchvision
from cbir.backbones.families import PREFIXES, TORCHVISION
from cbir.cli import cli


@pytest.fixture(autouse=True)
def _broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No open_clip, and a timm that cannot be loaded; few of torchvision, as to describe all takes a minute."""
    monkeypatch.setattr(torchvision, "names", lambda: ["alexnet"])
    monkeypatch.setitem(sys.modules, "open_clip", None)
    monkeypatch.delitem(sys.modules, PREFIXES["timm"].module, raising=False)
    broken = ModuleType("timm")
    broken.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "timm", broken)


def listed(*arguments: str) -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(cli, ["models", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return {record["name"]: record for record in json.loads(result.stdout)}


def test_families_are_listed_with_what_they_lack() -> None:
    found = listed("--all")
    assert {"efficientnet_lite0", "fake", "toy", "alexnet"} <= found.keys()
    assert found[TORCHVISION.form]["names"] == ["alexnet"]
    clip, timm, file = found["clip:ARCH/TAG"], found["timm:NAME"], found["onnx:FILE"]
    assert (clip["present"], clip["complete"], clip["install"]) == (False, False, "`pip install 'cbir[clip]'`")
    assert "clip:ViT-B-32/laion2b_s34b_b79k" in clip["names"]
    assert (timm["present"], timm["complete"], timm["names"]) == (True, False, list(PREFIXES["timm"].examples))
    assert file["present"]
    assert not {"clip:ARCH/TAG", "onnx:FILE"} & listed().keys()


def test_the_table_says_what_to_install() -> None:
    result = CliRunner().invoke(cli, ["models", "--all"])
    assert result.exit_code == 0, result.output
    assert "pip install 'cbir[clip]'" in result.stdout
    assert "timm cannot be asked for its networks" in result.stderr

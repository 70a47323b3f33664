"""An index and its networks as they are typed: moved, kept, searched, told of, dropped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.errors import CbirError
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.learn.run import Learner
from cbir.notions.store import load_notion, notions_of
from tests.helpers.faults import replace_in

OLD, NEW = "fake", "fake_small"
COLOURS = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (30, 40, 200)}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw_picture: Callable[..., Image.Image]) -> Path:
    """Three folders of eight pictures of one colour each, which are in the index `photos`."""
    replace_in(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name, colour in COLOURS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            picture = Image.blend(Image.new("RGB", (64, 48), colour), draw_picture(number, (64, 48)), 0.3)
            picture.save(tmp_path / "photos" / name / f"{number}.png")
    assert run("index", "photos").exit_code == 0
    return tmp_path / "photos"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="cbir")


def directory() -> Path:
    return Path(os.environ["CBIR_HOME"], "photos")


def test_a_move_is_told_and_kept_networks_are_searched(root: Path) -> None:
    told = run("index", "photos", "--model", NEW, "--keep-old", "--dry-run").stdout
    assert told.endswith("24 unchanged, 24 not seen by fake_small yet. Nothing was written.\n")
    assert load_meta(directory()).others == ()
    query = str(root / "red/0.png")
    before = run("search", query, "--format", "json").stdout
    first, second = run("index", "photos", "--model", NEW, "--keep-old").stdout.splitlines()
    assert first.startswith("photos: 24 pictures (24 unchanged) in ")
    assert second.startswith(
        "photos: searched by fake_small from now on, fake is kept beside it: "
        "24 pictures seen by it, 24 of them in this run, in "
    )
    info = run("info").stdout
    assert "\n  backbone   fake_small, 64 features" in info
    assert "\n  beside it  fake, 24 of 24 pictures seen: `cbir search --model fake` searches by it\n" in info
    (record,) = json.loads(run("info", "--json").stdout)
    (other,) = record["networks"]
    assert other.items() >= {"model": OLD, "pictures": 24, "dimension": 128, "is_next": False, "views": 1}.items()
    old, new = (run("search", query, "--format", "json", *model) for model in (["--model", OLD], []))
    assert old.stdout == before
    assert json.loads(new.stdout) != json.loads(before)
    assert run("search", query, "--model", NEW, "--format", "json").stdout == new.stdout
    refused = run("search", query, "--model", "resnet50")
    assert refused.exit_code == 1
    assert "photos has no features by resnet50, but by fake_small and by fake: `cbir index" in refused.stderr
    assert run("index", "photos").stdout.count("\n") == 1  # nothing else is told where nothing happens
    assert run("index", "photos", "--drop", OLD).exit_code == 0
    assert "beside it" not in run("info").stdout


def test_a_move_under_way_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.indexing.test_networks import fail_for, interrupt_after

    with monkeypatch.context() as patch:
        interrupt_after(10, patch)
        assert run("index", "photos", "--model", NEW, "--keep-old").exit_code == 130
    assert (
        "\n  moving to  fake_small, 10 of 24 pictures seen; fake is kept then: `cbir index --index photos` goes on, "
        "`cbir index --index photos --drop fake_small` gives it up\n"
    ) in run("info").stdout
    fail_for("red/3.png", monkeypatch)
    result = run("index", "photos", "--json", "--strict")
    assert result.exit_code == 4
    record = json.loads(result.stdout)
    assert record["model"] == OLD
    (network,) = record["networks"]
    assert network.items() >= {"network": NEW, "is_move": True, "has_taken_over": False, "unchanged": 10}.items()
    assert network["not_seen"] == [{"path": "red/3.png", "reason": "has no colours"}]
    record = json.loads(run("index", "photos", "--json", "--prune").stdout)
    assert record["model"] == NEW
    assert record["networks"][0]["has_taken_over"]


def test_a_network_is_named_with_its_option(root: Path) -> None:
    assert "name it with --model" in run("index", "photos", "--keep-old").stderr


def test_notions_are_learnt_anew_by_the_new_network(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [item for name in COLOURS for item in ("--from", str(root / name))]
    assert run("learn", "colours", *folders).exit_code == 0
    before = load_notion(Index.open(directory()), "colours")
    # killed when the network has taken over: labels and all are there, and a search says what to do
    with monkeypatch.context() as patch:
        patch.setattr("cbir.learn.anew.learn_stale", lambda *arguments, **options: None)
        run("index", "photos", "--model", NEW, "--keep-old")
    (info,), problems = notions_of(Index.open(directory()))
    assert problems == []
    assert (info.stale, info.labels) == (True, 24)
    refused = run("search", str(root / "red/0.png"), "--learnt", "colours")
    assert refused.exit_code == 1
    assert "was learnt by another network than that of the index photos: `cbir learn 'colours'" in refused.stderr
    told = run("index", "photos").stderr
    assert "The notion colours is learnt anew from 24 labels: kappa " in told
    notion = load_notion(Index.open(directory()), "colours")
    assert len(notion.mean) == 64
    assert notion.classes == before.classes
    assert sorted(map(bytes, notion.labels.sha256s)) == sorted(map(bytes, before.labels.sha256s))
    assert run("search", str(root / "red/0.png"), "--learnt", "colours", "-k", "3").exit_code == 0
    assert "learnt anew" not in run("index", "photos").stderr
    refused = run("search", str(root / "red/0.png"), "--learnt", "colours", "--model", OLD)
    assert "was learnt by the index's own network, fake_small: search by that, without --model" in refused.stderr


def test_a_notion_that_the_new_network_cannot_learn_waits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [item for name in COLOURS for item in ("--from", str(root / name))]
    run("learn", "colours", *folders)

    def fail(self: Learner, name: str) -> None:
        raise CbirError("there is nothing to learn from.")

    monkeypatch.setattr(Learner, "again", fail)
    result = run("index", "photos", "--model", NEW)
    assert result.exit_code == 0
    assert "The notion colours is not learnt anew, and waits with its labels: there is nothing" in result.stderr
    assert [one.labels for one in notions_of(Index.open(directory()))[0]] == [24]

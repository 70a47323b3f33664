"""The order of duplicates by a notion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cbir.cli import cli
from cbir.duplicates.find import Duplicates, Group, Member
from cbir.duplicates.learnt import order_by_notion
from cbir.index.store import Index
from cbir.notions.store import keep_notion
from cbir.utils.vectors import l2_normalize
from tests.helpers.feature_index import make_index
from tests.helpers.notions import make_notion


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Twelve pictures of three kinds, row by row."""
    random = np.random.default_rng(2)
    features = np.eye(3, 16)[np.arange(12) % 3] + 0.05 * random.normal(0, 1, (12, 16))
    return make_index(tmp_path / "index", l2_normalize(features.astype(np.float32)))


def a_group(index: Index, *rows: int) -> Group:
    members = [Member(index.root / f"{row}.jpg", None, None, 1, 1, 0.96, row == rows[0], False) for row in rows]
    return Group(tuple(members))


def rows_of(group: Group) -> list[int]:
    return [int(member.path.stem) for member in group.members]


def test_groups_come_by_class_and_members_by_likeness(index: Index) -> None:
    kinds = np.array([0, 1, 3, 4, 6, 7])
    notion = replace(make_notion(index, kinds, kinds % 3), classes=("cat", "dog"))
    groups = [a_group(index, 2, 5), a_group(index, 4, 9, 1), a_group(index, 0, 8, 3), a_group(index, 7, 10)]
    found = order_by_notion(Duplicates(list(groups), stale=3), index, notion)
    assert [rows_of(group) for group in found.groups] == [[0, 3, 8], [4, 1, 9], [7, 10], [2, 5]]
    assert [group.label for group in found.groups] == ["cat", "dog", "dog", None]
    assert found.stale == 3
    records = found.to_dict()["groups"]
    assert [record.get("class", "") for record in records] == ["cat", "dog", "dog", ""]
    assert [member["keep"] for member in records[1]["members"]] == [True, False, False]


def test_the_command_knows_it(index: Index, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        options = ["duplicates", "--index", str(index.directory), "--exact", "--format", "json", *arguments]
        result = CliRunner().invoke(cli, options)
        return result.exit_code, result.output

    assert run()[0] == 0
    code, text = run("--learnt", "kinds")
    assert (code, "There is no notion kinds" in text) == (1, True)
    keep_notion(index.directory, make_notion(index, np.arange(12), np.arange(12) % 3))
    code, text = run("--learnt", "kinds")
    assert (code, json.loads(text.splitlines()[0])) == (0, [])

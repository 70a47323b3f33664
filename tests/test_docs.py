"""What the documents promise: the tests that they name exist, and so do the files that they link to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
DOCUMENTS = [CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "THIRD_PARTY_NOTICES.md")]


def test_every_promise_names_tests_that_exist() -> None:
    tests = {path.name for path in (CHECKOUT / "tests").glob("test_*.py")}
    for path in (CHECKOUT / "tests").glob("test_*.py"):
        tests |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    promises = re.search(r"## What happens when.*?\n\n(.*?)\n\n", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    assert promises is not None
    rows = promises[1].splitlines()[2:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(test_\w+(?:\.py)?)`", row.rsplit("|", 2)[1])
        assert named, row
        assert set(named) <= tests, set(named) - tests


@pytest.mark.parametrize("document", [*DOCUMENTS, *(CHECKOUT / "docs").glob("*.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert link.startswith("https://") or (document.parent / link).exists(), link

"""What the documents promise: what they name exists, examples run, commands and options are all there."""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import cbir
from cbir.engines.select import open_engine
from cbir.index.store import Index
from cbir.notions.store import forget_notion, keep_notion
from scripts import reference
from tests.helpers.examples import examples_in, prepare, run_line, run_python
from tests.helpers.notions import make_notion

CHECKOUT = Path(__file__).parents[1]
DOCUMENTS = [CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "THIRD_PARTY_NOTICES.md")]
DOCS = CHECKOUT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

#: Pages of reference: one table, or one for each command. All others, but for those of docs/method/, are short.
REFERENCE = {
    "README.md",
    "architecture.md",
    "commands.md",
    "glossary.md",
    "index-format.md",
    "performance.md",
    "promises.md",
    "python.md",
    "troubleshooting.md",
}
MOST_LINES = 60

#: Documents whose examples run. Those of docs/commands.md are those of the help, which run from there.
WITH_EXAMPLES = [CHECKOUT / "README.md", *(page for page in PAGES if page.name != "commands.md")]

#: How many blocks of them may be marked as not to be run, and how many lines download something.
MOST_NOT_RUN = 13
DOWNLOADS = "# downloads"
MOST_DOWNLOADS = 2

HELP = {one.name: one for one in reference.commands()}


def test_every_promise_names_tests_that_exist() -> None:
    tests = {path.name for path in (CHECKOUT / "tests").rglob("test_*.py")}
    for path in (CHECKOUT / "tests").rglob("test_*.py"):
        tests |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    page = (CHECKOUT / "docs/promises.md").read_text()
    promises = re.search(r"^\| … \|.*?\n(.*?)\n\n", page + "\n\n", re.DOTALL | re.MULTILINE)
    assert promises is not None
    rows = promises[1].splitlines()[1:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(test_\w+(?:\.py)?)`", row.rsplit("|", 2)[1])
        assert named, row
        assert set(named) <= tests, set(named) - tests


def name_of(document: Path) -> str:
    """The path of a document from the checkout on, as a test's id."""
    return document.relative_to(CHECKOUT).as_posix()


@pytest.mark.parametrize("document", [*DOCUMENTS, *PAGES], ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        assert link.startswith("https://") or (document.parent / link).exists(), link


def test_the_list_of_pages_has_all_pages() -> None:
    listed = re.findall(r"\]\((\w[\w/-]*\.md)\)", (DOCS / "README.md").read_text())
    assert sorted([*listed, "README.md"]) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES), (
        "docs/README.md names each page of docs/ once"
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_are_short_and_of_one_width(page: Path) -> None:
    lines = page.read_text().splitlines()
    if page.parent == DOCS and page.name not in REFERENCE:
        assert len(lines) <= MOST_LINES, "one topic a page; measurements go to docs/method/"
    is_code = False
    for number, line in enumerate(lines, 1):
        is_code ^= line.startswith("```")
        if not is_code and not line.startswith(("|", "    ", "!")):
            assert len(line) <= 120, f"{page.name}:{number}"


def test_what_is_made_from_the_help_is_up_to_date() -> None:
    differ = [str(path.relative_to(CHECKOUT)) for path in reference.outdated()]
    assert differ == [], "run `make docs`, or python scripts/reference.py"


@pytest.mark.parametrize("name", HELP)
def test_every_command_and_option_says_what_it_does(name: str) -> None:
    one = HELP[name]
    assert one.paragraphs, f"{name} has no help"
    for param in one.command.params:
        if isinstance(param, click.Option):
            assert param.help or param.hidden, f"{name} {param.opts[0]} has no help"
    text = " ".join(one.paragraphs)
    for argument, _ in one.arguments:
        word = re.sub(r"\W", "", argument)
        assert word in text, f"the help of {name} does not say what {word} is"
    assert one.examples, f"the help of {name} has no example: a paragraph after \\b with lines such as `{name} …`"
    assert any(f"{name} " in f"{line} " for line in one.examples), f"no example in the help of {name} calls it"


@pytest.mark.parametrize("page", sorted((CHECKOUT / "docs/man").glob("*.1")), ids=lambda path: path.name)
@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_man_pages_are_sound(page: Path) -> None:
    done = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_units_of_systemd_are_sound(tmp_path: Path) -> None:
    text = (CHECKOUT / "docs/cron.md").read_text()
    units = re.findall(r"`[^`]*/(cbir\.\w+)`:\n\n```ini\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in units] == ["cbir.service", "cbir.timer"]
    for name, unit in units:
        # the program has to be there
        (tmp_path / name).write_text(unit.replace("%h/venv/bin/cbir", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "cbir." in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def templates(node: ast.AST) -> Iterator[str]:
    """Literal texts of a module, whose variable places are `…`."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.sub(r"%[sd]|\{\w+\}", "…", node.value)
    for child in ast.iter_child_nodes(node):
        yield from templates(child)


def test_messages_of_the_troubleshooting_page_are_those_of_the_source() -> None:
    source = {text for module in (CHECKOUT / "cbir").rglob("*.py") for text in templates(ast.parse(module.read_text()))}
    rows = [line.split(" | ")[0] for line in (DOCS / "troubleshooting.md").read_text().splitlines() if line[:1] == "|"]
    quoted = [message for row in rows for message in re.findall(r"`(.+?)`", row)]
    assert len(quoted) > 100
    assert [message for message in quoted if not any(message in text for text in source)] == []


def test_every_variable_is_documented() -> None:
    used: set[str] = set()
    for module in (CHECKOUT / "cbir").rglob("*.py"):
        used |= set(re.findall(r"environ[^\n]*\"(CBIR_\w+)\"", module.read_text()))
    assert len(used) > 3
    assert used <= {name for name, _ in reference.ENVIRONMENT}, "ENVIRONMENT in scripts/reference.py lacks some"


def test_every_public_name_is_documented() -> None:
    page = (CHECKOUT / "docs/python.md").read_text()
    for name in cbir.__all__:
        assert getattr(cbir, name)
        assert name == "__version__" or f"`{name}`" in page, f"docs/python.md does not tell of {name}"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with all that examples name and an index of photos/, and where a copy of it is to be used."""
    parent = tmp_path_factory.mktemp("examples")
    here = parent / "here"
    here.mkdir()
    prepare(here)
    (here / "indexes").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.delenv("CBIR_HOME")
        run_line("cbir index photos -q --objects --detector yolox_nano.onnx")
        for year in ("2024", "2025"):
            shutil.copytree(here / "indexes" / "photos", here / "archive" / year)
        run_line("cbir index prints -q --index collections/prints")
        run_line("cbir export photos.parquet")
        _teach(here / "indexes" / "photos")
    shutil.copytree(here, parent / "template")
    return parent / "template", here


def _teach(directory: Path) -> None:
    """Keep the notion `subject`, of the folders' names, in an index."""
    index = Index.open(directory)
    folders = [Path(record.path).parent.name for _, record in index.records()]
    names = sorted(set(folders))
    notion = make_notion(index, np.arange(index.rows), np.array([names.index(folder) for folder in folders]), "subject")
    keep_notion(directory, dataclasses.replace(notion, classes=tuple(names)))


@pytest.fixture
def scratch(template: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The prepared folder, as if nothing had happened in it, as the current one; indexes are in ./indexes."""
    source, here = template
    shutil.rmtree(here)
    shutil.copytree(source, here)
    monkeypatch.chdir(here)
    monkeypatch.delenv("CBIR_HOME")
    # dozens of examples in one process need not load the network dozens of times
    monkeypatch.setattr("cbir.engines.select.open_engine", _open_engine)
    return here


_open_engine = functools.cache(open_engine)


#: Lines that ran already, each behind the lines that had changed the indexes before it: documents and help texts share
#: some. Every document begins with the same folder, so such a line would do the same again.
_done: set[tuple[str, ...]] = set()


def run_lines(text: str, changes: list[str], anew: bool = False) -> int:
    """Run the lines that did not run yet in the same state, or all; how many there were, blank ones and comments aside.

    Lines that change the indexes always run, and are appended to `changes`.
    """
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    lines = [line for line in lines if DOWNLOADS not in line]
    for line in lines:
        command = line.split("  #")[0].strip()
        is_change = command.startswith(("cbir index", "cbir learn", "cbir people "))
        if anew or is_change or (*changes, command) not in _done:
            run_line(command)
        _done.add((*changes, command))
        if is_change:
            changes.append(command)
    return len(lines)


@pytest.mark.parametrize("document", WITH_EXAMPLES, ids=name_of)
def test_examples_run(document: Path, scratch: Path) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    changes: list[str] = []
    examples = [example for example in examples_in(document) if not example.not_run]
    # Python may read the files that commands before it wrote
    has_python = any(example.kind == "python" for example in examples)
    for example in examples:
        if example.kind == "sh":
            run_lines(example.text, changes, anew=has_python)
        else:
            run_python(example, names)


def assert_same_keys(shown: Any, real: Any, where: str = "meta.json") -> None:
    """Objects have the same keys, and so have those within them, but for what is null in either."""
    if isinstance(shown, dict) and isinstance(real, dict):
        assert set(shown) == set(real), where
        for key in shown:
            assert_same_keys(shown[key], real[key], f"{where}: {key}")
    elif isinstance(shown, list) and isinstance(real, list) and shown and real:
        assert_same_keys(shown[0], real[0], f"{where}[0]")


def test_the_worked_meta_json_has_the_keys_of_an_index(scratch: Path) -> None:
    shown = re.search(r"```json\n(.*?)```", (DOCS / "index-format.md").read_text(), re.DOTALL)
    assert shown is not None
    (scratch / "photos" / "broken.jpg").write_text("no picture")
    run_line("cbir index photos -q --no-objects")
    forget_notion(scratch / "indexes" / "photos", "subject")
    assert_same_keys(json.loads(shown[1]), json.loads((scratch / "indexes" / "photos" / "meta.json").read_text()))


def test_examples_that_do_not_run_are_few() -> None:
    marked = [example for document in WITH_EXAMPLES for example in examples_in(document) if example.not_run]
    assert len(marked) <= MOST_NOT_RUN, [f"{example}: {example.not_run}" for example in marked]
    text = "\n".join(document.read_text() for document in WITH_EXAMPLES)
    downloads = [line for line in text.splitlines() if DOWNLOADS in line]
    assert len(downloads) <= MOST_DOWNLOADS, downloads


def test_marks_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n    cbir one  # why\n\n    cbir two\n\n- item\n\n    of a list\n\n```\n$ cbir three\noutput\n```\n"
        "<!-- not run: it downloads -->\n```sh\ncbir four\n```\n```json\n{}\n```\n```python\nx = 1\n```\n"
    )
    assert [(one.line, one.kind, one.text, one.not_run) for one in examples_in(page)] == [
        (3, "sh", "cbir one  # why\n\ncbir two", ""),
        (11, "sh", "cbir three", ""),
        (16, "sh", "cbir four", "it downloads"),
        (22, "python", "x = 1", ""),
    ]
    with pytest.raises(AssertionError, match="exits with 2"):
        run_line("cbir no-such-command")


@pytest.mark.parametrize("name", HELP)
def test_examples_in_help_run(name: str, scratch: Path) -> None:
    assert run_lines("\n".join(HELP[name].examples), []) > 0

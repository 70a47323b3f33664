"""The house stands as docs/architecture.md draws it: imports go down, no two files import each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
CBIR = CHECKOUT / "cbir"

#: From the top; parts on one line do not import each other.
LAYERS = (
    ("cli",),
    ("serve",),
    ("report",),
    ("collection", "evaluation"),
    ("explain", "learn", "moving"),
    ("tags", "indexing", "search", "duplicates", "map", "locate"),
    ("detect", "faces", "imagine"),
    ("parts", "words", "segment", "notions", "people"),
    ("extract",),
    ("index", "engines"),
    ("backbones",),
    ("images",),
    ("utils",),
    ("errors", "_version"),
)
DEPTH = {name: depth for depth, layer in enumerate(LAYERS) for name in layer}

#: Imports that go up or sideways; may only shrink.
EXCEPTIONS: set[str] = set()

#: Files that import each other, as groups; may only shrink.
CIRCLES = []


def imports(path: Path) -> Iterator[str]:
    """Modules of cbir that a file imports, wherever in it: `from a import b` gives a.b where that is a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("cbir."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cbir":
            for alias in node.names:
                yield name if (name := f"{node.module}.{alias.name}") in MODULES else node.module


def module_of(path: Path) -> str:
    """The name by which a file is imported."""
    return ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in CBIR.rglob("*.py")}
GRAPH = {name: {one for one in imports(path) if one in MODULES} for name, path in MODULES.items()}


def test_every_folder_has_its_layer() -> None:
    tops = {name.split(".")[1] for name in MODULES if "." in name}
    assert tops - set(DEPTH) == {"__main__"}


def test_imports_go_down() -> None:
    wrong = set()
    for name, imported in GRAPH.items():
        own = name.split(".")[1] if "." in name else ""
        for other in imported:
            top = other.split(".")[1] if "." in other else ""
            if own in DEPTH and top != own and (not top or DEPTH[top] <= DEPTH[own]):
                wrong.add(f"{name} -> {other}")
    assert wrong == EXCEPTIONS, "see docs/architecture.md"


def test_no_files_import_each_other() -> None:
    circles = [group for group in _strongly_connected() if len(group) > 1]
    assert sorted(map(sorted, circles)) == sorted(map(sorted, CIRCLES))


def _strongly_connected() -> list[set[str]]:
    def reachable(start: str) -> set[str]:
        found, todo = set(), [start]
        while todo:
            for one in GRAPH[todo.pop()] - found:
                found.add(one)
                todo.append(one)
        return found

    below = {name: reachable(name) for name in GRAPH}
    groups = {frozenset({name, *(one for one in below[name] if name in below[one])}) for name in GRAPH}
    return [set(group) for group in groups]


def test_the_map_names_files_that_exist() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text("utf-8")
    missing = []
    for row in re.findall(r"^\|.*\|$", text, re.MULTILINE):
        folder = ""
        for quoted in re.findall(r"`([\w./-]+(?:\.py|\.md|/))`", row):
            if quoted.startswith(("cbir/", "docs/", "tests/", "scripts/", "benchmarks/")):
                here, folder = CHECKOUT / quoted, quoted if quoted.endswith("/") else quoted.rpartition("/")[0]
            else:
                here = CHECKOUT / folder / quoted
            if not here.exists():
                missing.append(f"{quoted} (in {folder or '.'})")
    assert not missing


ARCHITECTURE = CHECKOUT / "docs" / "architecture.md"


def test_the_drawn_layers_are_these() -> None:
    drawing = re.search(r"```text\n(.*?)```", ARCHITECTURE.read_text("utf-8"), re.DOTALL)
    assert drawing is not None
    drawn = [tuple(re.split(r"\s{2,}", line)[0].split(", ")) for line in drawing[1].splitlines()]
    assert drawn == list(LAYERS)


def test_architecture_names_files_that_exist() -> None:
    named = set(re.findall(r"`([\w./-]+(?:\.py|/))`", ARCHITECTURE.read_text("utf-8")))
    assert len(named) > 60
    others = ("cbir/", "tests/", "benchmarks/", "docs/")
    missing = {name for name in named if not (CHECKOUT / name if name.startswith(others) else CBIR / name).exists()}
    assert missing <= {"cli/commands/NAME.py", "cbir/A/b.py", "tests/A/test_b.py", "tests/A/"}

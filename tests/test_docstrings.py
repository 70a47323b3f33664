"""A docstring begins with a verb, or with a noun where it is of a class, a property, a module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]

#: Words that begin a riddle or a clause, not a sentence about what is documented.
CLAUSE = re.compile(
    r"(What(ever)?|Which|Who|How|Where|When|Why|Whether|That|See|Of|By|From|For|As|In|With|Between|Like)\b"
)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and (text := ast.get_docstring(node)) is not None
        ):
            yield node.body[0].lineno, text


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    files = {path: list(docstrings(path)) for path in sorted((CHECKOUT / "cbir").rglob("*.py"))}
    assert sum(map(len, files.values())) > 1000, "the docstrings were not found"
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line}: {text.splitlines()[0]}"
        for path, found in files.items()
        for line, text in found
        if CLAUSE.match(text)
    ]
    assert not wrong, "\n" + "\n".join(wrong)

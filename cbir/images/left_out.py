"""The names that a walk left out, and why: so that nobody has to wonder where a file is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from cbir.images.formats.suffixes import suffix_of

#: Names of each kind that are told one by one.
_EXAMPLES = 10

#: Endings of a kind that are told.
_SUFFIXES = 4

#: Kinds, as `--json` calls them, with what one and several are called.
_WORDS = {
    "videos": ("video", "videos"),
    "raw": ("raw photo", "raw photos"),
    "jpeg_xl": ("JPEG XL picture", "JPEG XL pictures"),
    "unfinished": ("unfinished download", "unfinished downloads"),
    "others": ("other file", "other files"),
    "hidden": ("hidden name", "hidden names"),
    "system": ("system folder or file", "system folders and files"),
    "excluded": ("excluded name", "excluded names"),
    "links_to_folders": ("link to a folder", "links to folders"),
    "own_outputs": ("picture that cbir made", "pictures that cbir made"),
}

#: Extras to install to have a kind read.
_EXTRAS = {"raw": "cbir[raw]", "jpeg_xl": "cbir[jxl]"}

_WITH_SUFFIXES = ("videos", "raw", "others")


class LeftOut:
    """Counts names that were left out, by kind. A folder counts as one name, whatever is in it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._suffixes: dict[str, Counter[str]] = {kind: Counter() for kind in _WITH_SUFFIXES}
        self._examples: dict[str, list[str]] = {kind: [] for kind in _WORDS}

    def __getitem__(self, kind: str) -> int:
        return self._counts[kind]

    def __bool__(self) -> bool:
        return bool(self._counts)

    def total(self) -> int:
        """Count the names of all kinds."""
        return self._counts.total()

    def add(self, kind: str, path: str) -> None:
        """Count a name."""
        self._counts[kind] += 1
        if kind in self._suffixes:
            self._suffixes[kind][suffix_of(path.rsplit("/", 1)[-1])] += 1
        examples = self._examples[kind]
        if len(examples) < _EXAMPLES:
            examples.append(path)

    def describe(self, printable: Callable[[str], str]) -> str:
        """All kinds on one line, in the same order every time; `printable` makes endings fit for a terminal."""
        return ", ".join(self._phrase(kind, printable) for kind in _WORDS if self._counts[kind])

    def _phrase(self, kind: str, printable: Callable[[str], str]) -> str:
        count = self._counts[kind]
        details = []
        suffixes = [suffix for suffix, _ in self._suffixes.get(kind, Counter()).most_common(_SUFFIXES + 1)]
        # an ending that is long is no ending, but what follows some dot of a sentence
        short = [printable(suffix[1:]) for suffix in suffixes[:_SUFFIXES] if 1 < len(suffix) <= 12]
        if short:
            names = (name.upper() for name in short) if kind == "raw" else short
            details.append(", ".join(names) + (" …" if len(short) < len(suffixes) else ""))
        if kind in _EXTRAS:
            details.append(f"install {_EXTRAS[kind]} to have {'it' if count == 1 else 'them'} read")
        return f"{count:,} {_WORDS[kind][count != 1]}" + (f" ({': '.join(details)})" if details else "")

    def to_json(self) -> dict[str, Any]:
        """Return the record for `--json`: of each kind the number and the first names."""
        return {
            kind: {"count": self._counts[kind], "examples": list(self._examples[kind])}
            for kind in _WORDS
            if self._counts[kind]
        }

"""Patterns of names that are left out of a walk: those of shells, matched in a time that no pattern can blow up.

Names are compared composed (NFC): a Mac writes `ü` as two characters, and whoever types a pattern writes one.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property

from cbir.errors import CbirError
from cbir.utils.paths import LONGEST_PATH
from cbir.utils.printable import printable, shortened


class Patterns:
    """Patterns that names and paths are held against; `ignore_case` takes `*.GIF` and `*.gif` for the same.

    A pattern without a slash is held against the last part of a path, one with a slash against the whole, in which
    `*` matches slashes too. Remembers which patterns ever matched.
    """

    def __init__(self, patterns: Iterable[str] = (), *, ignore_case: bool = False) -> None:
        self.patterns = tuple(patterns)
        self.ignore_case = ignore_case
        # on Windows no file system tells cases apart
        self._folds = ignore_case or os.name == "nt"
        self._of_names: list[tuple[int, Glob]] = []
        self._of_paths: list[tuple[int, Glob]] = []
        for number, pattern in enumerate(self.patterns):
            glob = Glob(self._comparable(pattern.strip("/")))
            (self._of_paths if "/" in pattern else self._of_names).append((number, glob))
        self._unmatched = set(range(len(self.patterns)))

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def match(self, path: str) -> bool:
        """Tell whether a path relative to the root, or its last part, matches one of the patterns."""
        path = self._comparable(path)
        name = path.rsplit("/", 1)[-1]
        matched = [number for number, glob in self._of_names if glob.match(name)]
        matched += [number for number, glob in self._of_paths if glob.match(path)]
        self._unmatched.difference_update(matched)
        return bool(matched)

    def leaves_out(self, path: str) -> bool:
        """Tell whether a pattern matches the path or one of the folders that it lies in."""
        parts = path.split("/")
        return bool(self) and any(self.match("/".join(parts[: i + 1])) for i in range(len(parts)))

    def unmatched(self) -> list[str]:
        """Return the patterns that matched nothing so far."""
        return [self.patterns[number] for number in sorted(self._unmatched)]

    def _comparable(self, text: str) -> str:
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        return unicodedata.normalize("NFC", text.casefold()) if self._folds else text


def check_lengths(patterns: Iterable[str]) -> None:
    """Raise CbirError where a pattern is longer than any path, and than what an index can remember."""
    for pattern in patterns:
        if len(pattern) > LONGEST_PATH:
            raise CbirError(
                f"The pattern {shortened(printable(pattern), 40)} has {len(pattern):,} characters, and no path more "
                f"than {LONGEST_PATH:,}: it leaves nothing out."
            )


class Glob:
    """One pattern: `*` stands for any characters, `?` for one, `[a-z]` for one of these, `[!a-z]` for one of others.

    Between stars each piece is looked for at the first place where it fits, and that is never reconsidered: so the time
    is at most the product of the lengths of pattern and text, where backtracking would take powers of it.
    """

    def __init__(self, pattern: str) -> None:
        self._pieces = [_Piece(tokens) for tokens in _split(pattern)]
        self._least = sum(len(piece) for piece in self._pieces)

    def match(self, text: str) -> bool:
        """Tell whether the pattern fits the whole of `text`."""
        if len(text) < self._least:
            return False
        first, *others = self._pieces
        if not others:
            return len(text) == len(first) and first.fits(text, 0)
        *inner, last = others
        place, end = len(first), len(text) - len(last)
        if not (first.fits(text, 0) and last.fits(text, end)):
            return False
        for piece in inner:
            found = piece.find(text, place, end)
            if found < 0:
                return False
            place = found + len(piece)
        return place <= end


#: One character of a pattern: itself, or the regular expression of those that it stands for.
_Token = tuple[str, bool]


class _Piece:
    """The characters between two stars, one after the other."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._literal = None if any(is_set for _, is_set in tokens) else "".join(char for char, _ in tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def fits(self, text: str, place: int) -> bool:
        """Tell whether the piece stands at a place of `text`."""
        if self._literal is not None:
            return text.startswith(self._literal, place)
        return self._expression.match(text, place) is not None

    def find(self, text: str, start: int, end: int) -> int:
        """Return the first place of the piece in `text` from `start` to before `end`; -1 where there is none."""
        if self._literal is not None:
            return text.find(self._literal, start, end)
        found = self._expression.search(text, start, end)
        return -1 if found is None else found.start()

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        # without repeats, so nothing is ever tried twice at one place; compiled only for texts that are long enough
        return re.compile("".join(text if is_set else re.escape(text) for text, is_set in self._tokens), re.DOTALL)


def _split(pattern: str) -> list[list[_Token]]:
    """Return the tokens of a pattern, in pieces between its stars; a row of stars counts as one."""
    pieces: list[list[_Token]] = [[]]
    last_bracket = pattern.rfind("]")
    place = 0
    while place < len(pattern):
        char = pattern[place]
        place += 1
        if char == "*":
            if place < 2 or pattern[place - 2] != "*" or pieces[-1]:
                pieces.append([])
        elif char == "?":
            pieces[-1].append((".", True))
        elif char == "[" and (end := _end_of_set(pattern, place, last_bracket)) >= 0:
            pieces[-1].append((_set(pattern[place:end]), True))
            place = end + 1
        else:
            pieces[-1].append((char, False))
    return pieces


def _end_of_set(pattern: str, start: int, last: int) -> int:
    """Find the bracket that ends a set and is not its first character; -1 where nothing ends it."""
    start += pattern.startswith("!", start)
    start += 1
    return pattern.find("]", start) if start <= last else -1


def _set(content: str) -> str:
    """Return the regular expression of what stands between the brackets of a set."""
    is_other = content.startswith("!")
    content = content[is_other:]
    ranges: dict[str, None] = {}
    place = 0
    while place < len(content):
        low = high = content[place]
        place += 1
        if content.startswith("-", place) and place + 1 < len(content):
            high = content[place + 1]
            place += 2
        if low <= high:  # one the wrong way round has nothing in it
            ranges[f"{re.escape(low)}-{re.escape(high)}"] = None
    if not ranges:
        return "." if is_other else "(?!)"
    return f"[{'^' if is_other else ''}{''.join(ranges)}]"

"""Ground truth: the pictures that each query ought to find, by their folders or by a file that says so."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError
from cbir.images.sources.address import Address, Location
from cbir.utils.lists import read_text
from cbir.utils.text import delimiter_of, spellings

Items = npt.NDArray[np.int64]

_SEED = 1

# A million of relevant pictures with long names.
_MOST_BYTES = 1 << 27

#: Wrong names that an error lists; the others are counted.
_NAMED = 3


class Judgement(NamedTuple):
    """The pictures that one query ought to find, as numbers: their places in the list of paths."""

    query: int
    relevant: Items
    ignored: Items


@dataclass(frozen=True)
class GroundTruth:
    """The queries and what is relevant to each.

    `classes` has the class of every picture; None where classes are not what it is about. `without_relevant` is the
    number of queries that were left out because nothing is relevant to them.
    """

    judgements: Sequence[Judgement]
    classes: Sequence[str] | None
    without_relevant: int

    def without(self, items: set[int]) -> GroundTruth:
        """Leave out queries by some pictures, which may be found all the same. CbirError where no query is left."""
        kept = [judgement for judgement in self.judgements if judgement.query not in items]
        if not kept:
            raise CbirError("All queries are labels of the notion: there is none to measure it by.")
        return replace(self, judgements=kept)

    def sample(self, count: int) -> GroundTruth:
        """Return the ground truth of at most `count` of the queries, drawn at random, always the same ones."""
        if count >= len(self.judgements):
            return self
        chosen = np.sort(np.random.default_rng(_SEED).choice(len(self.judgements), count, replace=False))
        return GroundTruth([self.judgements[place] for place in chosen], self.classes, self.without_relevant)


def by_folder(paths: Sequence[str]) -> GroundTruth:
    """Every picture is a query; relevant are the others of its folder. A class's name is the folder's whole path.

    `paths` are relative to the root; pictures in the root itself are the class `.`. Raises CbirError where that says
    nothing: all pictures are in one folder, or each in one of its own.
    """
    classes = [path.rpartition("/")[0] or "." for path in paths]
    members: dict[str, list[int]] = defaultdict(list)
    for item, name in enumerate(classes):
        members[name].append(item)
    arrays = {name: np.array(items, dtype=np.int64) for name, items in members.items()}
    nothing = np.empty(0, dtype=np.int64)
    # the whole class stands for a query's relevant pictures: its own place is never in its ranking
    judgements = [Judgement(item, arrays[name], nothing) for item, name in enumerate(classes) if len(members[name]) > 1]
    if len(members) == 1 or not judgements:
        how = f"all in one folder ({classes[0]})" if len(members) == 1 else "each in a folder of its own"
        raise CbirError(
            f"The pictures are {how}, which does not tell what is alike: put those that belong together into folders, "
            "or say it with --ground-truth FILE."
        )
    return GroundTruth(judgements, classes, len(paths) - len(judgements))


def by_file(file: Path, paths: Sequence[str], root: Location) -> GroundTruth:
    """Queries and relevant pictures as a JSON or CSV file says (`docs/ground-truth.md` has the format).

    Raises CbirError that says what is wrong: the file cannot be read, is of another form, or names pictures that
    are not among `paths`.
    """
    items = {path: item for item, path in enumerate(paths)}
    judgements = []
    missing: dict[str, None] = {}  # in the order of the file, each once
    for entry in _read(file):
        known: list[list[int]] = []
        for names in ([entry.query], entry.relevant, entry.ignored):
            found = [(name, _find(name, items, root)) for name in names]
            missing.update((name, None) for name, item in found if item is None)
            known.append([item for _, item in found if item is not None])
        if not missing:
            query = known[0][0]
            ignored = set(known[2]) - {query}
            relevant = set(known[1]) - {query} - ignored
            judgements.append(Judgement(query, _array(relevant), _array(ignored)))
    if missing:
        named = ", ".join(list(missing)[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
        raise CbirError(
            f"The ground truth {file} names {len(missing):,} picture{'s' * (len(missing) != 1)} of which there are "
            f"no features: {named}. Names are relative to {root}; `cbir index` takes in pictures that are new."
        )
    if not judgements:
        raise CbirError(f"The ground truth {file} names no queries.")
    usable = [judgement for judgement in judgements if len(judgement.relevant)]
    if not usable:
        raise CbirError(f"The ground truth {file} has no relevant picture for any of its queries.")
    return GroundTruth(usable, None, len(judgements) - len(usable))


class _Entry(NamedTuple):
    """The names that a file gives for one query."""

    query: str
    relevant: list[str]
    ignored: list[str]


def _read(file: Path) -> list[_Entry]:
    text = read_text(file, "Cannot read the ground truth", _MOST_BYTES)
    return list(_from_json(file, text) if text.lstrip().startswith("{") else _from_csv(file, text))


def _from_json(file: Path, text: str) -> Iterator[_Entry]:
    try:
        # pairs and not a dictionary, so that a query that comes twice is noticed
        content = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise CbirError(f"The ground truth {file} is no JSON: {error}.") from error
    seen: set[str] = set()
    for pair in content:
        match pair:
            case (str(query), list(value)):
                # an object came as pairs, which no list of names holds
                parts = dict(value) if all(isinstance(part, tuple) for part in value) else {"relevant": value}
                relevant, ignored = parts.pop("relevant", []), parts.pop("ignored", [])
                if not parts and _are_names(relevant) and _are_names(ignored):
                    if query in seen:
                        raise CbirError(f"The ground truth {file} has the query {query} twice: join its lists.")
                    seen.add(query)
                    yield _Entry(query, relevant, ignored)
                    continue
        raise CbirError(
            f"The ground truth {file} is of another form ({str(pair)[:60]}): it should be an object of "
            '{"query": ["relevant", …]} or {"query": {"relevant": […], "ignored": […]}}.'
        )


def _from_csv(file: Path, text: str) -> Iterator[_Entry]:
    relevant: dict[str, list[str]] = defaultdict(list)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text))
    try:
        header = next((row for row in reader if row and not row[0].startswith("sep=")), [])
        if [name.strip().lower() for name in header] != ["query", "relevant"]:
            raise CbirError(
                f"The ground truth {file} is neither a JSON object of queries nor CSV whose first line is "
                "query,relevant (or with semicolons or tabs)."
            )
        for row in reader:
            match row:
                case [query, name] if query:
                    relevant[query] += [name] if name else []
                case [*blank] if not any(blank):
                    continue
                case _:
                    raise CbirError(
                        f"Line {reader.line_num} of the ground truth {file} is not a query and a relevant picture."
                    )
    except csv.Error as error:
        raise CbirError(f"Line {reader.line_num} of the ground truth {file} is no CSV ({error}).") from error
    for query, names in relevant.items():
        yield _Entry(query, names, [])


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _array(items: Iterable[int]) -> Items:
    return np.array(sorted(items), dtype=np.int64)


def _find(name: str, items: Mapping[str, int], root: Location) -> int | None:
    """Find the number of the picture of a name; even where a program wrote it with backslashes, or in Windows-1252."""
    for one in spellings(name):
        if (item := items.get(_relative(one, root))) is not None:
            return item
    return None


def _relative(name: str, root: Location) -> str:
    """Return a picture's name as the index has it: relative to the root, whether it was given so or in full."""
    if isinstance(root, Address):
        return name.removeprefix(f"{root}/")
    return os.path.relpath(name, root) if os.path.isabs(name) else os.path.normpath(name)

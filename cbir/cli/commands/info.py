"""`cbir info`: what is in an index, and whether it is sound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.common import index_option, json_option, verbosity_options
from cbir.cli.terminal import cells, output
from cbir.cli.terminal.table import terminal_width
from cbir.errors import CbirError
from cbir.images.sources.address import root_exists

if TYPE_CHECKING:
    from cbir.index.columns.column import Column
    from cbir.index.entries import StoreEntry
    from cbir.index.format import Meta
    from cbir.index.store import Index

# Classes of objects that are named.
_NAMED = 8


@click.command("info", short_help="What is in an index, and whether it is sound.")
@index_option
@click.option("--verify", is_flag=True, help="Read every file and compare checksums, not only structure.")
@json_option
@verbosity_options
@click.pass_context
def command(ctx: click.Context, index_name: str | None, verify: bool, as_json: bool) -> None:
    """Tell what is in an index and whether it is sound; without --index, of all indexes there are.

    Exits with 1 if something is damaged.

    \b
      cbir info
      cbir info --index photos --verify
      cbir info --json
    """
    from cbir.index.home import all_directories, home, index_directory

    if index_name is not None:
        directories = [index_directory(index_name)]
    else:
        directories = all_directories()
        if not directories and not as_json:
            output.say(f"There is no index in {home()} yet: make one with `cbir index FOLDER`.")
            return
    records = [_describe(directory, verify=verify) for directory in directories]
    if as_json:
        output.write_json(records if index_name is None else records[0])
    else:
        for record in records:
            _print(record)
    if any(record["problems"] for record in records):
        ctx.exit(CbirError.exit_code)


def _describe(directory: Path, *, verify: bool) -> dict[str, Any]:
    from cbir.index.columns.registry import content_groups
    from cbir.index.store import Index
    from cbir.index.verify import find_problems
    from cbir.notions.store import notions_of

    try:
        index = Index.open(directory)
    except CbirError as error:
        if not os.path.exists(directory):
            raise
        return {"index": directory.name, "directory": str(directory.absolute()), "problems": [str(error)]}
    meta = index.meta
    candidates = meta.candidates
    notions, damaged = notions_of(index)
    problems = find_problems(index, verify=verify)
    return {
        "index": directory.name,
        "directory": str(directory.absolute()),
        "root": meta.root,
        "root_exists": root_exists(index.root),
        "pictures": len(index),
        "model": meta.model.get("name"),
        "modalities": meta.model.get("modalities", ["image"]),
        "views": meta.model.get("views", 1),
        "weights": meta.model.get("weights"),
        "dimension": meta.dimension,
        "precisions": list(meta.precisions),
        "preprocessing": meta.model.get("preprocessing"),
        **({"members": meta.model["members"]} if "members" in meta.model else {}),
        "exclude": list(meta.exclude),
        "ignore_case": meta.ignore_case,
        "created": meta.created,
        "updated": meta.updated,
        "complete": meta.complete,
        "blocks": len(meta.blocks),
        "invalid_rows": index.rows - len(index),
        "bytes": sum(entry.bytes for entry in meta.files()),
        "shortlist": None
        if candidates is None
        else {key: value for key, value in candidates.to_json().items() if key not in candidates.files},
        "part_lists": None
        if meta.part_lists is None
        else {key: value for key, value in meta.part_lists.to_json().items() if key not in meta.part_lists.files},
        **({} if meta.store is None else {"milvus": _milvus(meta.store)}),
        "cosines": None if meta.cosines is None else asdict(meta.cosines),
        **{group[0].name: _coverage(index, group) for group in content_groups()},
        "notions": [asdict(notion) for notion in notions],
        "networks": [_other(index, state) for state in meta.others],
        "verified": verify,
        "problems": problems + [problem for problem in damaged if problem not in problems],
    }


def _print(record: dict[str, Any]) -> None:
    from cbir.index.columns.registry import content_groups

    if "pictures" not in record:
        output.say(f"{record['index']}: damaged")
    else:
        root = record["root"] + ("  (not there now)" if record["root_exists"] is False else "")
        output.say(f"{record['index']}: {record['pictures']:,} pictures")
        of = "" if record["modalities"] == ["image"] else " of images and text"
        views = "" if record["views"] == 1 else f", {record['views']} views"
        lines = [
            ("root", root),
            ("directory", record["directory"]),
            ("backbone", f"{record['model']}{views}, {record['dimension']} features{of}, weights {_sources(record)}"),
            ("precision", _precisions(record)),
            ("updated", record["updated"] + ("" if record["complete"] else "  (the last run was interrupted)")),
            (
                "size",
                f"{output.human_bytes(record['bytes'])} in {record['blocks']} block{'s' * (record['blocks'] != 1)}",
            ),
            ("shortlist", _candidates(record["shortlist"])),
            *([("milvus", _kept_in(record["milvus"]))] if "milvus" in record else []),
            ("cosines", _cosines(record["cosines"])),
            *((group[0].name, _covered(record, group[0])) for group in content_groups()),
            *([("part lists", _candidates(record["part_lists"]))] if record["part_lists"] else []),
            *([("notions", _notions(record["notions"]))] if record["notions"] else []),
            *(_told_of_network(one, record) for one in record["networks"]),
            ("exclude", _excluded(record)),
            ("sound", ("no" if record["problems"] else "yes") + (", checksums compared" if record["verified"] else "")),
        ]
        for name, value in lines:
            # a path stays whole, so that it can be copied
            _print_line(f"  {name:<10} ", value, wraps=name not in ("root", "directory"))
    for problem in record["problems"]:
        _print_line("  problem: ", problem)


def _other(index: Index, state: Meta) -> dict[str, Any]:
    """Describe what an index has by another network than its own."""
    invalid = sum(stop - start for block in state.blocks for start, stop in block.invalid)
    return {
        "model": state.model.get("name"),
        "views": state.model.get("views", 1),
        "weights": state.model.get("weights"),
        "dimension": state.dimension,
        "pictures": state.rows - invalid,
        "is_next": state is index.meta.moving_to,
        "keeps_old": state is index.meta.moving_to and index.meta.keeps_old,
        "complete": state.complete,
        "updated": state.updated,
    }


def _told_of_network(other: dict[str, Any], record: dict[str, Any]) -> tuple[str, str]:
    """Say what there is by another network, and what may be done about it: a line's name and its text."""
    seen = f"{other['model']}, {other['pictures']:,} of {record['pictures']:,} pictures seen"
    call = f"`cbir index --index {record['index']}"
    if other["is_next"]:
        old = f"; {record['model']} is kept then" if other["keeps_old"] else ""
        return "moving to", f"{seen}{old}: {call}` goes on, {call} --drop {other['model']}` gives it up"
    return "beside it", f"{seen}: `cbir search --model {other['model']}` searches by it"


def _sources(record: dict[str, Any]) -> str:
    """Tell where the weights of an index's networks came from."""
    every = [record["weights"], *(one.get("weights") for one in record.get("members", ()) if isinstance(one, dict))]
    return " and ".join(dict.fromkeys(str(one.get("source")) for one in every if isinstance(one, dict))) or "None"


def _print_line(start: str, text: str, *, wraps: bool = True) -> None:
    """A line that goes on below itself where the terminal ends."""
    text = output.printable(text)
    width = terminal_width()
    lines = cells.wrap(text, max(width - len(start), 1)) if width is not None and wraps else [text]
    for number, line in enumerate(lines):
        output.say((" " * len(start) if number else start) + line)


def _precisions(record: dict[str, Any]) -> str:
    from cbir.index.format import UNKNOWN

    noted = [one for one in record["precisions"] if one != UNKNOWN]
    if not noted:
        return "not noted by the cbir that made it"
    return " and ".join(noted) + (", and not noted of older pictures" if UNKNOWN in record["precisions"] else "")


def _excluded(record: dict[str, Any]) -> str:
    patterns = ", ".join(record["exclude"])
    return (patterns + (", in any case" if record["ignore_case"] else "")) if patterns else "nothing"


def _coverage(index: Index, group: Sequence[Column]) -> dict[str, Any] | None:
    """Count the pictures that have what a group of columns stores; None where the index is not to have that."""
    import numpy as np

    from cbir.index.columns.classes import CLASSES
    from cbir.index.columns.faces import FOUND
    from cbir.index.columns.objects import OBJECTS
    from cbir.index.columns.taken import TAKEN

    if group[0] not in index.meta.wanted_columns:
        return None
    if group[0] is CLASSES:
        return _classes(index)
    if group[0] is TAKEN:
        return _dates(index)
    missing = np.any([index.missing(column) for column in group], axis=0)
    coverage = {"pictures": int((~missing & index.valid).sum())}
    if group[0] is FOUND:
        return coverage | _faces(index)
    return coverage | _objects(index) if group[0] is OBJECTS else coverage


def _classes(index: Index) -> dict[str, Any]:
    """Count the pictures with classes, and, where others lack them, say why: that is up to the network."""
    from cbir.words.of_index import why_without_classes

    try:
        known = int((index.classes().known & index.valid).sum())
    except CbirError as error:
        return {"pictures": 0, "reason": str(error)}
    return {"pictures": known, "reason": why_without_classes(index) if known < len(index) else None}


def _dates(index: Index) -> dict[str, Any]:
    """Count the pictures that were looked at for a date, and those that have one, and name the first and the last."""
    import numpy as np

    from cbir.index.columns.taken import TAKEN
    from cbir.index.dates import taken_of

    missing, found = index.missing(TAKEN), taken_of(index)
    dated = found[index.valid & ~missing & (found != 0)]
    first, last = (
        (str(np.datetime64(int(one), "s")) for one in (dated.min(), dated.max())) if dated.size else (None,) * 2
    )
    looked_at = int((~missing & index.valid).sum())
    return {"pictures": looked_at, "dated": int(dated.size), "first": first, "last": last}


def _objects(index: Index) -> dict[str, Any]:
    """Describe the detector, and count the pictures that show each class, most first, as far as that can be read."""
    from cbir.detect.of_index import pictures_by_name

    entry = index.meta.objects
    assert entry is not None
    described = {"detector": entry.name, "kind": entry.kind, "source": entry.source, "least_score": entry.least_score}
    try:
        return {**described, "of_classes": dict(pictures_by_name(index))}
    except CbirError as error:
        return {**described, "of_classes": {}, "reason": str(error)}


def _faces(index: Index) -> dict[str, Any]:
    """Describe the finder of faces, and count the faces, and the pictures that have any, as far as can be read."""
    from cbir.index.columns.faces import FOUND
    from cbir.index.facerows import counts_of

    entry = index.meta.faces
    assert entry is not None
    described = {
        "finder": entry.name,
        "face_model": entry.source or None,
        "numbers": entry.dimension,
        "people_bytes": None if index.meta.people is None else index.meta.people.bytes,
    }
    try:
        counts = counts_of(index.valid, index.stored_chunks(FOUND))
    except CbirError as error:
        return {**described, "found": 0, "with_faces": 0, "reason": str(error)}
    return {**described, "found": int(counts.sum()), "with_faces": int((counts > 0).sum())}


def _with_faces(coverage: dict[str, Any]) -> str:
    """Say how many faces there are, and that what is kept of them tells people apart."""
    if not coverage["found"]:
        return f"none found by {coverage['finder']}"
    said = coverage["people_bytes"]
    people = "" if said is None else f", and {output.human_bytes(said)} of what was said of people"
    return (
        f"{coverage['found']:,} in {coverage['with_faces']:,} pictures, each with {coverage['numbers']} numbers "
        f"that tell people apart (by {coverage['finder']}){people}"
    )


def _shown(coverage: dict[str, Any]) -> str:
    """Say in how many pictures the most frequent classes are, and how many others there are."""
    counts = coverage["of_classes"]
    if not counts:
        return f"none found by {coverage['detector']}"
    named = ", ".join(f"{name} in {count:,}" for name, count in list(counts.items())[:_NAMED])
    more = f" and {len(counts) - _NAMED:,} more" if len(counts) > _NAMED else ""
    return f"{named}{more} (by {coverage['detector']})"


def _dated(coverage: dict[str, Any]) -> str:
    """Say how many of the pictures that were looked at have dates, and from when to when."""
    if not coverage["dated"]:
        return "none found"
    return f"{coverage['dated']:,} found, from {coverage['first'][:10]} to {coverage['last'][:10]}"


def _covered(record: dict[str, Any], column: Column) -> str:
    """Put the findings of `_coverage` in words."""
    coverage, pictures = record[column.name], record["pictures"]
    if coverage is None:
        return column.offer.format(index=record["index"])
    known = coverage["pictures"]
    advice = column.advice.format(index=record["index"]) if known < pictures else None
    reason = coverage.get("reason", advice)
    tell = next((words for key, words in _WORDS.items() if key in coverage), None)
    found = "of " if tell is None else f"{tell(coverage)}, looked for in "
    return f"{found}all pictures" if reason is None else f"{found}{known:,} of {pictures:,} pictures: {reason}"


# By a key of what `_coverage` returns, what puts more than counts in words.
_WORDS = {"dated": _dated, "of_classes": _shown, "found": _with_faces}


def _candidates(record: dict[str, Any] | None) -> str:
    if record is None:
        return "none yet: all rows are compared"
    from cbir.index.entries import MILVUS

    # those of Milvus tell people nothing
    own = {} if record.get("kind") == MILVUS else record
    settings = [f"{key} {value:,}" for key, value in own.items() if key not in ("rows", "recall", "kind")]
    kind = [f"by {record['kind']}"] if "kind" in record else []
    return ", ".join([f"{record['rows']:,} rows", *kind, *settings, f"recall at 10 {record['recall']:.3f}"])


def _milvus(store: StoreEntry) -> dict[str, Any]:
    """Describe the collection that an index has rows in."""
    return {"server": store.server, "collection": store.collection, "features": store.whole}


def _kept_in(record: dict[str, Any]) -> str:
    what = "features, too" if record["features"] else "for candidates only"
    return f"{record['server']}, collection {record['collection']}, {what}"


def _notions(records: list[dict[str, Any]]) -> str:
    """Name the notions of an index, and those that are weak or stale as such."""
    told = []
    for record in records:
        count = len(record["classes"])
        of = "pairs" if record["kind"] == "pairs" else f"{count:,} class{'es' * (count != 1)}"
        state = "stale" if record["stale"] else "weak" * (record["verdict"] == "weak")
        told.append(f"{record['name']} ({of} by {record['labels']:,} labels{', ' * bool(state)}{state})")
    return "; ".join(told)


def _cosines(record: dict[str, Any] | None) -> str:
    if record is None:
        return "not sampled yet"
    import numpy as np

    def at(probability: float, quantiles: str) -> float:
        return float(np.interp(probability, record["probabilities"], record[quantiles]))

    return (
        f"of random pairs half are below {at(0.5, 'random'):.2f} and 99 % below {at(0.99, 'random'):.2f}; "
        f"of pictures and their nearest half are above {at(0.5, 'nearest'):.2f}"
    )

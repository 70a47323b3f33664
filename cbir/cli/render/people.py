"""Output of `cbir people`: who there is, and the faces of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column

if TYPE_CHECKING:
    from cbir.people.arrange import Arranged
    from cbir.people.named import FaceNames
    from cbir.people.person import Person

FORMATS = ("table", "paths", "json", "jsonl", "csv", "tsv")

_COLUMNS = ("number", "name", "face", "path", "x", "y", "width", "height", "score")


def write_people(people: Sequence[Person], arranged: Arranged, names: FaceNames, format_: str) -> None:
    """Write people, a line or a record for each; as CSV, TSV and paths each face has one."""
    if format_ == "table":
        columns = [
            Column("number", right=True),
            Column("name", cuts="end"),
            Column("faces", right=True),
            Column("pictures", right=True),
            Column("like the others", cuts="start", optional=1),
        ]
        rows = [
            (
                str(one.number),
                one.name,
                f"{len(one.faces):,}",
                f"{one.pictures:,}",
                names.name(one.faces[0]) if one.faces else "",
            )
            for one in people
        ]
        table.write(columns, rows)
    else:
        _write_records(people, arranged, names, format_)


def write_faces(person: Person, arranged: Arranged, names: FaceNames, format_: str) -> None:
    """Write the faces of a person, those that are most like the others first."""
    if format_ != "table":
        _write_records([person], arranged, names, format_)
        return
    columns = [Column("face", cuts="start"), Column("box"), Column("by hand"), Column("score", right=True)]
    by_hand = {key for key, one in arranged.album.faces() if one.by_hand}
    rows = [
        (
            names.name(face),
            ",".join(map(str, arranged.faces.key(face).box)),
            "yes" if arranged.faces.key(face) in by_hand else "",
            f"{arranged.faces.scores[face]:.3f}",
        )
        for face in person.faces
    ]
    table.write(columns, rows)


def record(person: Person, arranged: Arranged, names: FaceNames) -> dict[str, Any]:
    """Return a person as JSON has it."""
    return {
        "number": person.number,
        "name": person.name or None,
        "pictures": person.pictures,
        "faces": [_face(face, arranged, names) for face in person.faces],
    }


def _face(face: int, arranged: Arranged, names: FaceNames) -> dict[str, Any]:
    return {
        "face": names.name(face),
        "path": str(names.path(face)),
        "box": list(arranged.faces.key(face).box),
        "score": round(float(arranged.faces.scores[face]), 4),
    }


def _write_records(people: Sequence[Person], arranged: Arranged, names: FaceNames, format_: str) -> None:
    if format_ == "paths":
        # each picture once
        paths = dict.fromkeys(names.path(face) for one in people for face in one.faces)
        output.write_paths(paths, null=False)
    elif format_ == "json":
        output.write_json([record(one, arranged, names) for one in people])
    elif format_ == "jsonl":
        for one in people:
            output.write_json_line(record(one, arranged, names))
    else:
        rows: list[Sequence[Any]] = [_COLUMNS]
        for one in people:
            for its in record(one, arranged, names)["faces"]:
                rows.append([one.number, one.name, its["face"], its["path"], *its["box"], its["score"]])
        output.write_separated(rows, tabs=format_ == "tsv")

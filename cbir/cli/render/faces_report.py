"""The output of `cbir evaluate --faces`: how well faces tell people apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.evaluation.faces import FaceScores, PeopleFaces
from cbir.faces.likeness import Thresholds


def record(
    folder: Path, model: str, faces: PeopleFaces, scores: FaceScores, thresholds: Thresholds | None, *, remembered: bool
) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    return {
        "root": str(folder),
        "model": model,
        "people": len(faces.people),
        "faces": len(faces.owners),
        "without_face": list(faces.without),
        **scores.to_json(),
        "thresholds": None if thresholds is None else {k: round(v, 4) for k, v in thresholds.to_json().items()},
        "remembered": remembered,
    }


def write_table(
    folder: Path, model: str, faces: PeopleFaces, scores: FaceScores, thresholds: Thresholds | None
) -> None:
    """Tell of all measures, for people."""
    missing = f", {len(faces.without):,} without a face" if faces.without else ""
    photos = len(faces.owners) + len(faces.without)
    output.say(f"{folder}: {len(faces.people):,} people, {photos:,} photos{missing}; by {model}")
    output.say(
        f"{scores.same:,} pairs of one person, {scores.different:,} of two; equal error "
        f"{100 * scores.equal_error:.2f} %"
    )
    output.say()
    rows = [
        [f"{100 * share:g} %", f"{distance:.3f}", f"{100 * true:.1f} %"] for share, distance, true in scores.accepted
    ]
    columns = ["strangers as near", "distance", "one person's as near"]
    table.write([Column(name, right=True) for name in columns], rows)
    if scores.answers:
        output.say()
        rows = [
            [answer, f"{100 * same:.1f} %", f"{100 * different:.2f} %"]
            for answer, (same, different) in scores.answers.items()
        ]
        columns = ["one person's pairs", "strangers' pairs"]
        table.write([Column("verify says", least=12), *(Column(name, right=True) for name in columns)], rows)
    if thresholds is not None:
        output.say(f"same up to {thresholds.same:.3f}, different from {thresholds.different:.3f} on")


def write_separated(model: str, faces: PeopleFaces, scores: FaceScores, *, tabs: bool) -> None:
    """One line of figures, behind a line of their names."""
    header: list[Any] = ["model", "people", "faces", "same_pairs", "different_pairs", "equal_error"]
    line: list[Any] = [model, len(faces.people), len(faces.owners), scores.same, scores.different]
    line.append(round(scores.equal_error, 5))
    for share, distance, true in scores.accepted:
        header += [f"distance_at_{share:g}", f"true_at_{share:g}"]
        line += [round(distance, 4), round(true, 5)]
    output.write_separated([header, line], tabs=tabs)

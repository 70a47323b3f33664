"""The output of `cbir evaluate --boxes`: table, records, and the page with the best and the worst pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.detect.formats.annotations import Annotation
from cbir.detect.geometry import whole_pixels
from cbir.evaluation.box_sources import DrawnBoxes
from cbir.evaluation.boxes import BoxEvaluation, BoxScores, PictureBoxes
from cbir.images.regions import Box
from cbir.report.card import Card, Group
from cbir.report.page import write_page

#: Pictures that are shown of the best and of the worst, and boxes of each.
SHOWN, BOXES = 8, 12

_MEASURES = ("ap50", "ap", "voc", "precision", "recall")


def write_table(drawn: DrawnBoxes, system: str, evaluation: BoxEvaluation) -> None:
    """Tell of all classes, and of all together, for people."""
    overall = evaluation.overall
    output.say(
        f"{drawn.file}: {len(drawn.boxes.pictures):,} pictures, {overall.objects:,} objects to be found; by {system}"
    )
    output.say()
    columns = [Column("class", cuts="end", least=12), Column("objects", right=True), Column("AP.5", right=True)]
    columns += [Column(name, right=True) for name in ("AP", "VOC", "precision", "recall")]
    rows = [_row(name, scores) for name, scores in evaluation.classes.items() if scores.objects]
    table.write(columns, [*rows, _row("all", overall)])
    output.say(f"Precision and recall are of scores of {evaluation.least_score:g} and more.")


def record(drawn: DrawnBoxes, system: str, evaluation: BoxEvaluation) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    return {
        "boxes": str(drawn.file),
        "system": system,
        "pictures": len(drawn.boxes.pictures),
        **evaluation.to_json(),
    }


def write_separated(system: str, evaluation: BoxEvaluation, *, tabs: bool) -> None:
    """One line a class, that of all, whose class is empty, before them."""
    rows: list[list[Any]] = [["system", "class", "objects", "found", *_MEASURES]]
    for name, scores in (("", evaluation.overall), *evaluation.classes.items()):
        values = scores.to_json()
        rows.append([system, name, *("" if value is None else value for value in values.values())])
    output.write_separated(rows, tabs=tabs)


def write_boxes_page(
    path: Path, drawn: DrawnBoxes, system: str, evaluation: BoxEvaluation, *, force: bool = False
) -> None:
    """Write the page; CbirError where that cannot be."""
    order = sorted(range(len(evaluation.pictures)), key=lambda place: evaluation.pictures[place].agreement)
    order = [place for place in order if drawn.boxes.pictures[place].annotations]
    count = min(SHOWN, len(order) // 2)
    worst, best = (
        [_group(evaluation.pictures[place], drawn.files[place]) for place in some]
        for some in (order[:count], order[::-1][:count])
    )
    bars = sorted(
        ((name, one) for name, one in evaluation.classes.items() if one.objects), key=lambda bar: -bar[1].ap50
    )
    write_page(
        "boxes.html",
        [*worst, *best],
        path,
        force=force,
        file=str(drawn.file),
        pictures=len(drawn.boxes.pictures),
        system=system,
        evaluation=evaluation,
        bars=bars,
        worst=worst,
        best=best,
    )


def _row(name: str, scores: BoxScores) -> list[str]:
    return [name, f"{scores.objects:,}", *(_figure(getattr(scores, measure)) for measure in _MEASURES)]


def _figure(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _group(picture: PictureBoxes, file: Path | None) -> Group:
    """Return a picture, and what was found in it, right and wrong, and missed."""
    right = sum(picture.right)
    cards = [
        _card(picture, file, one, "right" if is_right else "wrong", f"{one.score or 0:.2f}")
        for one, is_right in zip(picture.shown[:BOXES], picture.right, strict=False)
    ]
    cards += [_card(picture, file, one, "missed", "") for one in picture.missed[: BOXES - len(cards)]]
    notes = [f"{right} right, {len(picture.right) - right} wrong, {len(picture.missed)} missed."]
    left = len(picture.shown) + len(picture.missed) - len(cards)
    if left > 0:
        notes.append(f"{left:,} more are not shown.")
    return Group(picture.name, cards, [Card(picture.name, file)], role="picture", notes=notes)


def _card(picture: PictureBoxes, file: Path | None, one: Annotation, mark: str, score: str) -> Card:
    figures = [("score", score)] if score else []
    return Card(one.name, file, figures=figures, boxes=(_whole(one),), mark=mark)


def _whole(one: Annotation) -> Box:
    x, y, width, height = one.box
    return whole_pixels(one.box, (max(round(x + width), 1), max(round(y + height), 1)))

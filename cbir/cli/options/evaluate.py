"""The options of `cbir evaluate` as they were given, and which of them go together."""

from __future__ import annotations

from pathlib import Path

from cbir.cli.options.given import Given
from cbir.cli.options.rules import Rule

RULES = (
    Rule(
        ("index_name", "models", "weights", "compare=True", "ground_truth", "sample", "recall_at", "learnt", "html"),
        "--faces is about people's photos: leave out what is about searches ({said}).",
        beside=("faces=True",),
    ),
    Rule(("boxes", "found"), "--faces or --boxes, not both.", beside=("faces=True",)),
    Rule(("face_model",), "--face-model is about faces: say --faces, too.", lacking=("faces=True",)),
    Rule(
        ("across=True",),
        "--across is about folders of folders and their pictures: leave --ground-truth, --learnt, --boxes and --faces "
        "out.",
        beside=("ground_truth", "learnt", "unlabelled", "boxes", "found", "min_score", "faces=True", "face_model"),
    ),
    Rule(
        ("stages=True",),
        "--stages is about folders of folders and their pictures: leave --ground-truth, --learnt, --boxes and --faces "
        "out.",
        beside=("ground_truth", "learnt", "unlabelled", "boxes", "found", "min_score", "faces=True", "face_model"),
    ),
    Rule(("inversions",), "--inversions is about stages: say --stages, too.", lacking=("stages=True",)),
    Rule(("inversions",), "--inversions draws on a page: name it with --html.", lacking=("html",)),
    Rule(("folder",), "Name a folder or an index, not both.", beside=("index_name",)),
    Rule(
        ("index_name", "compare=True", "ground_truth", "sample", "recall_at", "learnt"),
        "--boxes is about detectors: leave out what is about searches (--index, --compare, --ground-truth …).",
        beside=("boxes",),
    ),
    Rule(
        ("found", "min_score"), "{said} is about boxes: name those that people drew with --boxes.", lacking=("boxes",)
    ),
    Rule(("found",), "Boxes are those of --found or a detector's, not both.", beside=("models", "weights", "engine")),
    Rule(("unlabelled",), "--unlabelled is about the labels of a notion: name it with --learnt.", lacking=("learnt",)),
)


class EvaluateOptions(Given):
    """The options of one call, by their names."""

    folder: Path | None
    index_name: str | None
    models: tuple[str, ...]
    weights: tuple[str, ...]
    engine: str | None
    compare: bool
    across: bool
    learnt: str | None
    unlabelled: bool
    ground_truth: Path | None
    sample: int | None
    recall_at: tuple[int, ...]
    boxes: Path | None
    found: Path | None
    min_score: float | None
    stages: bool
    inversions: int | None
    faces: bool
    face_model: Path | None
    format_: str
    html: Path | None
    force: bool

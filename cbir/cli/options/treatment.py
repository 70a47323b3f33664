"""`--treatment`, for `cbir search`."""

from __future__ import annotations

import click

from cbir.cli.options.rules import Rule
from cbir.cli.options.texts import TEXTS

# What else may be searched by, and what orders matches otherwise.
_OTHERS: tuple[str, ...] = (*TEXTS, "words", "unwanted", "person", "face", "region", "segment", "parts=True", "kind")
_OTHERS += ("together", "unlike", "class_name", "learnt", "across", "query_index", "vectors", "explain")

TREATMENT_RULES = (
    Rule(
        ("treatment",),
        "--treatment compares how whole pictures were treated: with filters such as --folder, --since and --object, "
        "and nothing else to search by.",
        beside=_OTHERS,
    ),
    Rule(
        ("treatment",),
        "--treatment is that of a picture: name one, or a list of them with --files-from.",
        lacking=("images", "files_from"),
    ),
)

treatment_option = click.option(
    "--treatment",
    is_flag=True,
    help="Pictures that were treated like IMAGE, by the same filter, sketch or tone, whatever they show (see `cbir "
    "index --treatment`).",
)

"""Rules of the options of `cbir search`: which of them go together."""

from __future__ import annotations

from cbir.cli.options.objects import OBJECTS
from cbir.cli.options.people import PEOPLE_RULES
from cbir.cli.options.regions import REGION_RULES
from cbir.cli.options.rules import Rule
from cbir.cli.options.texts import TEXTS
from cbir.cli.options.treatment import TREATMENT_RULES

_WORDS, _PICTURES = ("words", "unwanted"), ("images", "files_from", "query_index", "vectors")

# Options that say something of the query's pictures, by their parameters.
_OF_PICTURES = {
    "min_score": "--min-score",
    "include_self": "--self",
    "together": "--together",
    "unlike": "--unlike",
    "class_name": "--class-weights",
    "learnt": "--learnt",
    "across": "--across",
    "region": "--region",
    "segment": "--segment",
    "parts": "--parts",
    "kind": "--kind/--same",
}

RULES = (
    Rule(("explain",), "--explain is for sheets and pages: add --html or --sheet.", lacking=("html", "sheet")),
    Rule(("shares",), "--shares are for the pictures of one query: add --together.", lacking=("together",)),
    Rule(("strength",), "--strength is how far --unlike moves: name a picture with --unlike.", lacking=("unlike",)),
    Rule(("min_probability",), "--min-probability is for words: name one with --word.", lacking=_WORDS),
    Rule(
        ("query_index",),
        "--query-index is for all pictures of an index: name pictures, or an index.",
        beside=("images", "files_from"),
    ),
    Rule(
        ("vectors",),
        "--vectors are queries by themselves: name pictures, an index, or a file of vectors.",
        beside=("images", "files_from", "query_index"),
    ),
    Rule(
        ("vectors",),
        "--together, --region, --segment, --parts and --kind are for pictures: --vectors are features.",
        beside=("together", "region", "segment", "parts=True", "kind=True"),
    ),
    Rule(
        ("query_index",),
        "--together is for pictures that are named: with --query-index each is a query.",
        beside=("together",),
    ),
    Rule(
        ("query_index",),
        "--region and --segment are for pictures that are named: --query-index reads none.",
        beside=("region", "segment"),
    ),
    *(
        Rule(
            (parameter,),
            f"{option} is for a query's pictures: name one."
            + (" --min-probability is for words." if parameter == "min_score" else ""),
            beside=_WORDS if parameter == "min_score" else (*TEXTS, *_WORDS, *OBJECTS, "person"),
            lacking=_PICTURES,
        )
        for parameter, option in _OF_PICTURES.items()
    ),
    *REGION_RULES,
    *PEOPLE_RULES,
    *TREATMENT_RULES,
    Rule(
        ("unwanted_texts",),
        "--not-text is what to move away from: say from where with --text, or by a picture.",
        lacking=("texts", *_PICTURES),
    ),
    Rule(
        ("parts=True", "kind"),
        "--parts and --kind cannot be used with --text: a text is about whole pictures.",
        beside=TEXTS,
    ),
    Rule(
        ("class_name", "learnt"),
        "--class-weights and --learnt cannot be used with --text: only pictures have what they are about.",
        beside=TEXTS,
    ),
    Rule(("masks",), "--masks are of what is cut out: name a folder with --crops.", lacking=("crops",)),
    Rule(
        ("crops",),
        "--crops are of objects: name one with --object, a word with --word, or a --region.",
        lacking=("objects", "words", "region", "segment"),
    ),
    Rule(
        ("learnt",),
        "--learnt is for queries by pictures, ordered by what was learnt: without words and --class-weights.",
        beside=(*_WORDS, "class_name"),
    ),
    Rule(
        ("across",),
        "--across compares whole pictures, each less the mean of its folder: without words, --text, --parts, --kind, "
        "--same, --class-weights and --learnt.",
        beside=(*_WORDS, *TEXTS, "parts=True", "kind", "class_name", "learnt"),
    ),
    Rule(
        ("across",),
        "--explain tells what features have in common as they are, and not across folders: leave it or --across out.",
        beside=("explain",),
    ),
    Rule(
        ("parts=True",),
        "--parts is for queries by one picture each: without words, --together, --unlike, --class-weights and "
        "--query-index.",
        beside=(*_WORDS, "together", "unlike", "class_name", "query_index"),
    ),
    Rule(
        ("kind",),
        "--kind and --same are for queries by one picture each: without words, --together, --unlike, --class-weights "
        "and --query-index.",
        beside=(*_WORDS, "together", "unlike", "class_name", "query_index"),
    ),
    Rule(("kind=False",), "--same is found by parts: leave --no-parts out.", beside=("parts=False",)),
)

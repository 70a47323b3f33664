"""Completion on Tab of names that Click does not know by itself: indexes, their notions, networks. docs/completion.md.

A shell starts cbir for each Tab, so nothing here may import anything heavy.
"""

from __future__ import annotations

from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

from cbir.errors import CbirError

#: The networks that are known without torch: the names in `cbir.backbones.catalog.KNOWN`, which imports NumPy.
MODELS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "resnet50", "vgg16")

Items: TypeAlias = "list[CompletionItem[str]]"  # a text, as CompletionItem takes a type from Click 8.5 on only


def complete_index(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Names of indexes; folders for what is a path, or no index's name."""
    from cbir.index.home import all_directories

    try:
        # a shell would print what is offered as it is, and take a newline for the end of a name
        names = [path.name for path in all_directories() if path.name.isprintable()]
    except (CbirError, OSError):
        names = []
    return items_that_begin(names, incomplete) or [CompletionItem(incomplete, type="dir")]


def complete_notion(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Names of the notions of the index that is meant."""
    import json

    from cbir.index.home import META, index_directory, the_only_directory

    name = next(iter(ctx.params.get("index_names") or ()), ctx.params.get("index_name"))
    try:
        directory = index_directory(name) if name else the_only_directory()
        notions = json.loads((directory / META).read_text("utf-8")).get("notions", [])
        names = [one["name"] for one in notions if one["name"].isprintable()]
    except (CbirError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        names = []  # whoever searches it hears what is wrong with it
    return items_that_begin(names, incomplete)


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Names of networks, also of one more after a plus."""
    others, plus, _ = incomplete.rpartition("+")
    return items_that_begin([f"{others}{plus}{name}" for name in MODELS if name not in others.split("+")], incomplete)


def complete_weights(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Files, or `untrained` once that has begun."""
    found = items_that_begin(["untrained"], incomplete) if incomplete else []
    return found or [CompletionItem(incomplete, type="file")]


def complete_folder(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Folders."""
    return [CompletionItem(incomplete, type="dir")]


def items_that_begin(names: list[str] | tuple[str, ...], incomplete: str) -> Items:
    """Offer those names that begin with what was typed."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]

"""What a command's options are called in its own class is what Click calls them."""

from __future__ import annotations

import importlib

import pytest

from cbir.cli.commands.detect import DetectOptions
from cbir.cli.commands.index import IndexOptions
from cbir.cli.commands.segment import SegmentOptions
from cbir.cli.options.given import Given
from cbir.cli.options.search_queries import SearchOptions


@pytest.mark.parametrize(
    ("name", "options"),
    [("detect", DetectOptions), ("index", IndexOptions), ("search", SearchOptions), ("segment", SegmentOptions)],
)
def test_a_class_of_options_names_the_parameters_of_its_command(name: str, options: type[Given]) -> None:
    command = importlib.import_module(f"cbir.cli.commands.{name}").command
    # --engine and --precision are handed over as one
    assert {*options.__annotations__, "precision"} == {one.name for one in command.params if one.expose_value}
    given = options(**dict.fromkeys(options.__annotations__))
    assert vars(given) == dict.fromkeys(options.__annotations__)

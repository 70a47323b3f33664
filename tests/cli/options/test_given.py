"""What a command's options are called in its own class is what Click calls them."""

from __future__ import annotations

import importlib

import pytest

from cbir.cli.commands.index import IndexOptions
from cbir.cli.commands.search import SearchOptions
from cbir.cli.commands.segment import SegmentOptions
from cbir.cli.options.given import Given


@pytest.mark.parametrize("options", [IndexOptions, SearchOptions, SegmentOptions])
def test_a_class_of_options_names_the_parameters_of_its_command(options: type[Given]) -> None:
    command = importlib.import_module(options.__module__).command
    # --engine and --precision are handed over as one
    assert {*options.__annotations__, "precision"} == {one.name for one in command.params if one.expose_value}
    given = options(**dict.fromkeys(options.__annotations__))
    assert vars(given) == dict.fromkeys(options.__annotations__)

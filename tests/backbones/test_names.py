"""Names of networks: prefixes say whose they are, and nobody's name leads out of a folder."""

from __future__ import annotations

import pytest

from cbir.backbones import families
from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.families import family_of, is_known_name, stored_name
from cbir.backbones.names import file_name
from cbir.errors import ModelError

ODD = [
    "clip:../../x",
    "clip:/etc/passwd",
    "clip:a/../b",
    "clip:a/b/c",
    "clip:",
    "clip:a/",
    "clip:.a",
    "clip:a b",
    "clip:a\n",
    "clip:a:b",
    "clip:" + "a" * 101,
    "Clip:a",
    "pickle:a",
    ":a",
    "a/b",
    "a" * 65,
    "..",
    "",
    7,
    None,
]


@pytest.mark.parametrize("name", ODD)
def test_an_index_cannot_say_a_name_that_is_none(name: object, bundled: Backbone) -> None:
    assert not is_known_name(name)
    with pytest.raises(ValueError, match="no backbone is called"):
        Backbone.from_json({**bundled.to_json(), "name": name})


def test_names_of_libraries_are_names() -> None:
    for name in ("clip:ViT-B-32/laion2b_s34b_b79k", "clip:RN50x4", "clip:vit_base.v1-x", "resnet50"):
        assert is_known_name(name)
        assert stored_name(name) == name


def test_a_name_may_say_that_it_is_torchvisions() -> None:
    assert stored_name("tv:resnet50+tv:vgg16+fake") == "resnet50+vgg16+fake"
    assert describe("tv:squeezenet1_1", "untrained") == describe("squeezenet1_1", "untrained")
    with pytest.raises(ModelError, match="torchvision has no network fake"):
        describe("tv:fake")


def test_files_of_networks_have_names_that_differ_as_theirs_do() -> None:
    names = ["clip:a/b", "clip:a_b", "clip:a.b", "clip_a_b", "clip:a-b/c", "clip:a/b-c"]
    assert len({file_name(name) for name in names}) == len(names)
    assert file_name("clip:a/b") == "clip=a=b"
    assert file_name("resnet50") == "resnet50"


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs the package open_clip.*pip install 'cbir\[clip\]'"):
        family_of("clip:ViT-B-32/openai")


def test_a_prefix_that_nobody_has_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ModelError, match=r"'pickle:a'.*tv:, clip:"):
        describe("pickle:a")

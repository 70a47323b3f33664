"""ONNX files as networks: what they take and give is found out, and whatever else a file is, it is told in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from cbir.backbones import families, onnx_graph
from cbir.backbones import onnx as family
from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.weights import Weights
from cbir.cli import cli
from cbir.engines.select import open_engine
from cbir.errors import CbirError, ModelError, WeightsError
from cbir.extract.extractor import Extractor
from cbir.images.fit import Preprocessing
from cbir.index.store import Index
from cbir.index.verify import find_problems
from tests.helpers.onnx_networks import WEIGHTS, save

Folder = Callable[..., Path]


def expected(pixels: np.ndarray[Any, Any], preprocessing: Preprocessing, kind: str = "mean") -> np.ndarray[Any, Any]:
    """The same in NumPy, for images (n, side, side, 3)."""
    values = (pixels.astype(np.float64) - preprocessing.mean) / preprocessing.std
    count, side = len(values), values.shape[1] // 4
    patches = values.reshape(count, side, 4, side, 4, 3).transpose(0, 1, 3, 5, 2, 4).reshape(count, side, side, -1)
    made = np.maximum(patches @ WEIGHTS.reshape(8, -1).T, 0)
    return made[:, 0, 0] if kind == "tokens" else made.mean(axis=(1, 2))


def pixels_of(side: int, count: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(2).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (["n", 3, "h", "w"], "mean"),
        ([1, 3, 32, 32], "fixed"),  # which can only do one at a time
        ([1, 3, 32, 32], "mean"),
        (["n", 32, 32, 3], "mean"),
        (["n", 3, 32, 32], "map"),
        (["n", 3, 32, 32], "tokens"),
    ],
)
def test_features_are_what_the_graph_gives(tmp_path: Path, shape: list[Any], kind: str) -> None:
    path = save(tmp_path / "net.onnx", shape, kind=kind)
    (tmp_path / "net.json").write_text(
        json.dumps({"crop": 32, "interpolation": "bicubic", "mean": [9, 8, 7], "std": [60] * 3})
    )
    backbone = describe(f"onnx:{path}")
    assert (backbone.name, backbone.dimension, backbone.modalities) == ("onnx:net", 8, ("image",))
    assert backbone.preprocessing == Preprocessing(32, 32, "bicubic", (9.0, 8.0, 7.0), (60.0,) * 3)
    pixels = pixels_of(32)
    for count in (3, 1):
        found = open_engine(backbone, engine="openvino:f32").features(pixels[:count])
        assert np.allclose(found, expected(pixels[:count], backbone.preprocessing, kind), atol=1e-4)


def test_an_output_is_found_by_its_name_or_named(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", ["n", 3, 32, 32], outputs=("pooler_output", "other"), words=True)
    assert describe(f"onnx:{path}").name == "onnx:net"
    two = save(tmp_path / "two.onnx", ["n", 3, 32, 32], outputs=("a one", "b"))
    with pytest.raises(WeightsError, match=r"2 outputs that may be features.*a one.*b.*output="):
        describe(f"onnx:{two}")
    (tmp_path / "two.json").write_text('{"output": "a one"}')
    backbone = describe(f"onnx:{two}")
    assert backbone.name == "onnx:two/a_one"
    (tmp_path / "two.json").unlink()
    again = Backbone.from_json(json.loads(json.dumps(backbone.to_json())))
    features = open_engine(again, engine="openvino:f32").features(pixels_of(32))
    assert np.allclose(features, expected(pixels_of(32), again.preprocessing), atol=1e-4)


def test_pixels_that_a_graph_takes_as_they_are_enter_so(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f", "axes"], ["out"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 16, 16, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "u.onnx")
    backbone = describe(f"onnx:{tmp_path / 'u.onnx'}")
    pixels = pixels_of(16)
    assert np.allclose(open_engine(backbone).features(pixels), pixels.mean(axis=(1, 2)), rtol=1e-4)
    first = open_engine(describe(f"onnx:{tmp_path / 'u.onnx'},bgr")).features(pixels)
    assert np.allclose(first, pixels.mean(axis=(1, 2))[:, ::-1], rtol=1e-4)
    with pytest.raises(ModelError, match="takes pixels as they are"):
        describe(f"onnx:{tmp_path / 'u.onnx'},0-1")


DESCRIPTIONS = {
    "a crop": (
        {"do_resize": True, "size": {"shortest_edge": 36}, "do_center_crop": True,
         "crop_size": {"height": 32, "width": 32}, "resample": 3,
         "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2] * 3, "rescale_factor": 1 / 255},
        Preprocessing(36, 32, "bicubic", (127.5, 102.0, 76.5), (51.0,) * 3),
    ),
    "a square": (
        {"do_resize": True, "size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        Preprocessing(32, 32, "bilinear", (127.5,) * 3, (127.5,) * 3, is_squashed=True),
    ),
    "timm's": (
        {"architecture": "a", "pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 0.8, "interpolation": "bicubic",
         "mean": [0.5] * 3, "std": [0.5] * 3, "crop_mode": "center"}},
        Preprocessing(40, 32, "bicubic", (127.5,) * 3, (127.5,) * 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DESCRIPTIONS)
def test_other_libraries_descriptions_are_read(tmp_path: Path, what: str) -> None:
    record, preprocessing = DESCRIPTIONS[what]
    path = save(tmp_path / "net.onnx", ["n", 3, 32, 32])
    (tmp_path / ("config.json" if "architecture" in record else "preprocessor_config.json")).write_text(
        json.dumps(record)
    )
    found = describe(f"onnx:{path}").preprocessing
    assert np.allclose([*found.mean, *found.std], [*preprocessing.mean, *preprocessing.std])
    assert (found.resize, found.crop, found.interpolation, found.is_squashed) == (
        *(preprocessing.resize, preprocessing.crop, preprocessing.interpolation, preprocessing.is_squashed),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "holds no JSON object"),
        ('{"crop": "a"}', "does not say how"),
        ('{"crop": 64, "interpolation": "bicubic", "mean": [0, 0, 0], "std": [1, 1, 1]}', "64 x 64 pixels.*takes 32"),
        ('{"image_mean": [1], "image_std": [1, 1, 1]}', "does not say how"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_description_that_is_none_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = save(tmp_path / "net.onnx", [1, 3, 32, 32])
    (tmp_path / "net.json").write_text(text)
    with pytest.raises(ModelError, match=said):
        describe(f"onnx:{path}")


def test_without_a_description_a_line_says_how_pixels_enter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = describe(f"onnx:{save(tmp_path / 'net.onnx', [1, 3, 32, 32])}").preprocessing
    assert (found.resize, found.crop, found.interpolation) == (36, 32, "bilinear")
    assert "Nothing says how pixels enter" in caplog.text


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("bgr", {}),
        ("-1-1", {"mean": (127.5,) * 3, "std": (127.5,) * 3}),
        ("RGB, 0-1", {"mean": (0.0,) * 3, "std": (255.0,) * 3}),
        ("stretch,bicubic", {"resize": 32, "is_squashed": True, "interpolation": "bicubic"}),
        ("32of40", {"resize": 40}),
        ("mean=1:2:3,std=50", {"mean": (1.0, 2.0, 3.0), "std": (50.0,) * 3}),
        ("bgr,clip,24", {"resize": 27, "crop": 24}),
    ],
)
def test_words_behind_a_file_say_how_pixels_enter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, words: str, changed: dict[str, Any]
) -> None:
    path = save(tmp_path / "net.onnx", ["n", 3, "h", "w"])
    (tmp_path / "net.json").write_text('{"crop": 32, "resize": 36, "interpolation": "bilinear", "mean": [9, 8, 7], '
                                       '"std": [60, 61, 62]}')  # fmt: skip
    backbone = describe(f"onnx:{path},{words}")
    asked = replace(Preprocessing(36, 32, "bilinear", (9.0, 8.0, 7.0), (60.0, 61.0, 62.0)), **changed)
    if "clip" in words:  # as open_clip has them
        unit = np.array([0.48145466, 0.4578275, 0.40821073, 0.26862954, 0.26130258, 0.27577711]) * 255
        found = [*backbone.preprocessing.mean, *backbone.preprocessing.std]
        assert np.allclose(found, unit, atol=1e-3)
        asked = replace(asked, mean=backbone.preprocessing.mean, std=backbone.preprocessing.std)
    assert backbone.preprocessing == asked
    assert "Nothing says" not in caplog.text
    again = Backbone.from_json(json.loads(json.dumps(backbone.to_json())))
    assert (again.name, again.view) == (backbone.name, backbone.view)
    assert families.is_same(f"onnx:{path},{words}", again.name)
    assert (words == "RGB, 0-1") is (again.name == "onnx:net,0-1")
    pixels = pixels_of(asked.crop)
    own = (pixels.astype(np.float64) - asked.mean) / asked.std
    own = own[..., ::-1] if "bgr" in words else own
    plain = Preprocessing(32, 32, "bilinear", (0.0,) * 3, (1.0,) * 3)
    assert np.allclose(open_engine(again, engine="openvino:f32").features(pixels), expected(own, plain), atol=1e-4)


def test_networks_of_one_file_with_other_words_are_others(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", ["n", 3, 32, 32], outputs=("a one", "b"))
    names = [describe(f"onnx:{path},{words}").name for words in ("output=b", "output=b,bgr", "bgr,0-1,output=a one")]
    assert names == ["onnx:net/b", "onnx:net/b,bgr", "onnx:net/a_one,bgr,0-1"]
    (tmp_path / "net.json").write_text('{"output": "b", "colours": "bgr"}')
    assert describe(f"onnx:{path}").name == "onnx:net/b,bgr"
    assert describe(f"onnx:{path},rgb").name == "onnx:net/b"
    (tmp_path / "net.json").write_text('{"output": "b", "colours": ["bgr"]}')
    with pytest.raises(ModelError, match="no colours"):
        describe(f"onnx:{path}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("brg", "has '?brg'?, which is neither of rgb, bgr, 0-255"),
        ("bgr,rgb", "says something twice"),
        ("32,32of40", "says something twice"),
        ("imagenet,std=3", "imagenet says what"),
        ("32of40,stretch", "about a crop"),
        ("32x40", "no square"),
        ("40of36", "40 x 40 pixels"),
        ("32of31", "impossible preprocessing"),
        ("std=0", "cannot enter"),
        ("mean=a", "has .*mean=a"),
        ("mean=1:2", "has .*mean=1:2"),
        ("mean=inf", "has .*mean=inf"),
        ("64", "The words behind it say that images have 64 x 64 pixels, but .* takes 32"),
        ("output=c", "no output c"),
    ],
)
def test_words_that_are_none_are_told(tmp_path: Path, words: str, said: str) -> None:
    path = save(tmp_path / "net.onnx", ["n", 3, 32, 32])
    with pytest.raises((ModelError, WeightsError), match=said):
        describe(f"onnx:{path},{words}")


def test_names_of_files_may_have_commas_and_joined_networks_words(tmp_path: Path) -> None:
    path = save(tmp_path / "a,bgr.onnx", ["n", 3, 32, 32])
    assert describe(f"onnx:{path}").name == "onnx:a_bgr"
    assert describe(f"onnx:{path},0-1").name == "onnx:a_bgr,0-1"
    odd = path.rename(tmp_path / "my+net,bgr")
    assert describe(f"onnx:{odd},0-1").name == "onnx:my_net_bgr,0-1"
    plain = save(tmp_path / "b.onnx", ["n", 3, 32, 32])
    joined = describe(f"onnx:{plain},bgr+onnx:{plain},0-1")
    assert joined.name == "onnx:b,bgr+onnx:b,0-1"
    assert Backbone.from_json(json.loads(json.dumps(joined.to_json()))).view == joined.view
    with pytest.raises(ModelError, match="There is no file"):
        describe(f"onnx:{tmp_path}/none.onnx,bgr")


@pytest.mark.parametrize(
    "name", ["onnx:net,", "onnx:net,b/c", "onnx:net,bgr\n", "clip:net,bgr", "onnx:net," + "a" * 300]
)
def test_an_index_names_no_network_so(tmp_path: Path, name: str) -> None:
    record = describe(f"onnx:{save(tmp_path / 'net.onnx', ['n', 3, 32, 32])}").to_json()
    with pytest.raises(ValueError, match="no backbone is called"):
        Backbone.from_json({**record, "name": name})
    with pytest.raises(ModelError, match="cannot be read"):
        Backbone.from_json({**record, "name": "onnx:net,strange"}).build_graph("features")


def test_an_index_remembers_the_words_and_is_moved_by_others(tmp_path: Path, photo_folder: Folder) -> None:
    folder, path, made = photo_folder(4, size=(80, 60)), save(tmp_path / "net.onnx", [1, 3, 32, 32]), tmp_path / "made"
    assert run("index", folder, "--model", f"onnx:{path},bgr,0-1", "--index", made).exit_code == 0
    assert Index.open(made).model["name"] == "onnx:net,bgr,0-1"
    Image.new("RGB", (64, 64), (200, 30, 30)).save(folder / "new.png")
    again = run("index", folder, "--index", made)
    assert again.exit_code == 0
    assert "1 added" in again.output
    own = Extractor(f"onnx:{path},bgr,0-1").encode([folder / "new.png"])[0]
    index = Index.open(made)
    assert index.features([4])[0] @ own > 0.999
    assert abs(index.features([4])[0] @ Extractor(f"onnx:{path}").encode([folder / "new.png"])[0]) < 0.99
    assert run("index", folder, "--index", made, "--model", f"onnx:{path},0-1,BGR").exit_code == 0
    assert Index.open(made).model["name"] == "onnx:net,bgr,0-1"
    assert run("index", folder, "--index", made, "--model", f"onnx:{path},0-1").exit_code == 0
    assert Index.open(made).model["name"] == "onnx:net,0-1"
    found = run("evaluate", folder, "--compare", "--model", f"onnx:{path},bgr", "--model", f"onnx:{path}")
    assert "onnx:net,bgr" in found.output


def test_another_file_of_the_same_name_is_another_network(tmp_path: Path, photo_folder: Folder) -> None:
    folder, path, made = photo_folder(3, size=(80, 60)), save(tmp_path / "net.onnx", [1, 3, 32, 32]), tmp_path / "made"
    (tmp_path / "b").mkdir()
    other = save(tmp_path / "b" / "net.onnx", [1, 3, 32, 32], kind="tokens")
    assert run("index", folder, "--model", f"onnx:{path}", "--index", made).exit_code == 0
    before = Index.open(made).features([0])[0]
    assert run("index", folder, "--model", f"onnx:{other}", "--index", made).exit_code == 0
    assert before @ Index.open(made).features([0])[0] < 0.999
    assert find_problems(Index.open(made), verify=True) == []


def test_numbers_in_a_file_beside_it_count(tmp_path: Path) -> None:
    outside = {"save_as_external_data": True, "location": "numbers.bin", "size_threshold": 0}
    path = save(tmp_path / "net.onnx", ["n", 3, 32, 32], saved=outside)
    before = describe(f"onnx:{path}")
    content = bytearray((tmp_path / "numbers.bin").read_bytes())
    content[5] ^= 0x10
    (tmp_path / "numbers.bin").write_bytes(content)
    assert describe(f"onnx:{path}").weights.identity != before.weights.identity
    with pytest.raises(WeightsError, match="not on this machine any more"):
        before.weights.locate(before.name)
    (tmp_path / "numbers.bin").unlink()
    with pytest.raises(WeightsError, match="cannot be used as a network"):
        describe(f"onnx:{path}")


def test_numbers_in_other_folders_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    outside = {"save_as_external_data": True, "location": "numbers.bin", "size_threshold": 0}
    path = save(tmp_path / "a" / "net.onnx", ["n", 3, 32, 32], saved=outside)
    (tmp_path / "a" / "numbers.bin").rename(tmp_path / "umbers.bin")
    path.write_bytes(path.read_bytes().replace(b"numbers.bin", b"../mbers.bin"))
    with pytest.raises(WeightsError, match="outside of its folder"):
        describe(f"onnx:{path}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be used as a network"),
        (b"\x08\x08\x12\x07pytorch" + bytes(500), "cannot be used as a network"),
        (os.urandom(4000), "cannot be used as a network"),
    ],
)
def test_a_file_that_is_no_network_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        describe(f"onnx:{tmp_path / 'net.onnx'}")


def test_other_inputs_and_outputs_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no squares.*32.*48"):
        describe(f"onnx:{save(tmp_path / 'oblong.onnx', [1, 3, 32, 48])}")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["words"], ["out"])],
        "g",
        [helper.make_tensor_value_info("words", TensorProto.FLOAT, ["n", 7])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 7])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "w.onnx")
    with pytest.raises(WeightsError, match=r"no inputs of images \(n, 3, height, width\): words"):
        describe(f"onnx:{tmp_path / 'w.onnx'}")
    with pytest.raises(ModelError, match="There is no file"):
        describe("onnx:/nowhere/at all.onnx")
    with pytest.raises(WeightsError, match="leave --weights out"):
        describe(f"onnx:{tmp_path / 'w.onnx'}", "untrained")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", "exit code -6"),
        ("while True: pass", "more than 1 seconds"),
        ("print('{}')", "not asked for"),
    ],
)
def test_a_file_that_ends_or_delays_its_trial_ends_only_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setattr(family, "_CHILD", code)
    monkeypatch.setattr(family, "SECONDS", 1.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(WeightsError, match=said):
        describe(f"onnx:{save(tmp_path / 'net.onnx', [1, 3, 32, 32])}")


def test_torch_runs_no_graph(tmp_path: Path) -> None:
    backbone = describe(f"onnx:{save(tmp_path / 'net.onnx', [1, 3, 32, 32])}")
    with pytest.raises(ModelError, match="torch does not"):
        open_engine(backbone, engine="torch")
    with pytest.raises(ModelError, match="no maps of what is where"):
        open_engine(backbone).last_map(pixels_of(64, 1))
    assert not backbone.runs_in_torch


def test_an_index_is_made_searched_and_verified_without_torch(tmp_path: Path, photo_folder: Folder) -> None:
    folder, path = photo_folder(6, size=(80, 60)), save(tmp_path / "my net+1.onnx", [1, 3, 32, 32], kind="fixed")
    record = {"crop": 32, "interpolation": "bilinear", "mean": [0, 0, 0], "std": [255, 255, 255]}
    (tmp_path / "my net+1.json").write_text(json.dumps(record))
    code = "import sys; sys.modules['torch'] = None; from cbir.cli import cli; cli(sys.argv[1:], standalone_mode=False)"
    arguments = ["index", folder, "--model", f"onnx:{path}", "--index", tmp_path / "made"]
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)
    index = Index.open(tmp_path / "made")
    assert index.model["name"] == "onnx:my_net_1"
    assert find_problems(index, verify=True) == []
    result = run("search", folder / "img_000.jpg", "--index", tmp_path / "made", "--format", "paths")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 5
    assert run("index", folder, "--model", f"onnx:{path}", "--index", tmp_path / "made").exit_code == 0
    moved = path.rename(tmp_path / "elsewhere.onnx")
    Image.new("RGB", (64, 64), (200, 30, 30)).save(folder / "new.png")
    assert run("index", folder, "--index", tmp_path / "made", "--weights", moved).exit_code == 0


def test_an_index_does_not_have_a_file_read_that_nobody_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "net.onnx", [1, 3, 32, 32])
    record = describe(f"onnx:{path}").to_json()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another's"))
    theirs = Backbone.from_json(json.loads(json.dumps(record)))
    with pytest.raises(WeightsError, match="not used here before"):
        theirs.build_graph("features")
    record["weights"]["path"] = "/etc/passwd"
    with pytest.raises(WeightsError):
        Backbone.from_json(record).build_graph("features")
    describe(f"onnx:{path}")
    assert theirs.build_graph("features") is not None


def test_facts_are_held_against_what_can_be() -> None:
    good = onnx_graph.Facts("out", 32, 8, True, False).to_json()
    assert onnx_graph.Facts.from_json(good).dimension == 8
    for change in ({"dimension": 0}, {"dimension": 1 << 40}, {"side": -1}, {"output": 3}, {"more": 1}):
        with pytest.raises((ValueError, TypeError)):
            onnx_graph.Facts.from_json({**good, **change})


def test_extraction_is_that_of_the_library(tmp_path: Path, photo_folder: Folder) -> None:
    """The whole way, from files: what onnx's own runtime of references computes of Pillow's pixels."""
    from onnx.reference import ReferenceEvaluator

    path = save(tmp_path / "net.onnx", [1, 3, 32, 32])
    (tmp_path / "net.json").write_text(json.dumps(DESCRIPTIONS["a square"][0]))
    files = sorted(photo_folder(4, size=(90, 70)).iterdir())
    reference = ReferenceEvaluator(str(path))
    for file, feature in zip(files, Extractor(f"onnx:{path}", engine="openvino:f32").encode(files), strict=True):
        pixels = np.asarray(Image.open(file).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR))
        values = ((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)[np.newaxis].astype(np.float32)
        (own,) = reference.run(None, {"x": values})[0]
        assert feature @ own / np.linalg.norm(own) > 0.9999


def test_all_errors_are_ours() -> None:
    for name in ("onnx:", "onnx:.", "onnx:/dev/null", "onnx:/etc"):
        with pytest.raises(CbirError):
            describe(name)
    assert Weights.untrained().identity == "untrained"

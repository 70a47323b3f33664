"""Networks of open_clip and timm: features are the libraries' own, from the same files, by their own preprocessing."""

from __future__ import annotations

import hashlib
import http.server
import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from click.testing import CliRunner
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from safetensors.torch import save_file
from timm.models.swin_transformer import SwinTransformer

from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.families import PREFIXES, TORCHVISION
from cbir.backbones.head import open_classifier
from cbir.backbones.network import Stages
from cbir.cli import cli
from cbir.engines.select import open_engine
from cbir.errors import ModelError, WeightsError
from cbir.extract.extractor import Extractor
from cbir.images.safely import open_image
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.locate.locator import Locator
from cbir.segment.segmenter import Segmenter
from tests.helpers.tiny_clip import TEXT, TINY, known

Folder = Callable[..., Path]
Array = np.ndarray[Any, Any]

SWIN = pytest.param(
    "clip:tiny-Swin/local",
    marks=pytest.mark.skipif(
        "dynamic_img_size" not in inspect.signature(SwinTransformer.__init__).parameters,
        reason="this timm's Swin takes pictures of one size only",
    ),
)
# Networks of patches, whose tokens are maps, and others of open_clip's, which have stages of convolutions.
PATCHES = ["clip:tiny-ViT/local", *(f"clip:tiny-{one}/local" for one in ("CoCa", "timm", "SigLIP", "EVA")), SWIN]
CONVOLUTIONS = [f"clip:tiny-{one}/local" for one in ("RN", "MobileCLIP", "ConvNeXt")]
TIMM = ["test_vit.r160_in1k", "test_convnext.r160_in1k", "test_resnet.r160_in1k", "test_efficientnet.r160_in1k"]


@pytest.fixture(scope="module", autouse=True)
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with known(tmp_path_factory.mktemp("configs")):
        yield


def save(name: str, path: Path) -> tuple[Any, Any]:
    """Write random weights of a network to a file; return the library's network and its transform."""
    torch.manual_seed(7)
    library, _, own = name.partition(":")
    if library == "clip":
        architecture, _, tag = own.partition("/")
        model = open_clip.create_model(architecture, pretrained_text=False).eval()
        config = merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(architecture, tag))
        transform = image_transform_v2(PreprocessCfg(**{**config, "size": model.visual.image_size}), is_train=False)
    else:
        model = timm.create_model(own).eval()
        data = timm.data.resolve_data_config(model.pretrained_cfg)
        transform = timm.data.create_transform(**data, is_training=False)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    if library == "clip":
        return model.encode_image, transform
    model.reset_classifier(0)
    return model, transform


def features_of(network: Any, transform: Any, files: list[Path]) -> Array:
    with torch.inference_mode():
        return np.concatenate([network(transform(Image.open(one).convert("RGB"))[None]).numpy() for one in files])


def cosines(one: Array, other: Array) -> Array:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    found: Array = (one * other).sum(axis=1) / lengths
    return found


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", [*(f"clip:{one}/local" for one in TINY), *(f"timm:{one}" for one in TIMM)])
def test_features_are_the_librarys(name: str, ending: str, tmp_path: Path, photo_folder: Folder) -> None:
    files = sorted(photo_folder(4, size=(200, 130)).iterdir())
    network, transform = save(name, tmp_path / f"weights{ending}")
    expected = features_of(network, transform, files)
    backbone = describe(name, str(tmp_path / f"weights{ending}"))
    for engine in ("torch", "openvino:f32") if ending == ".pth" else ("torch",):
        found = Extractor(backbone, engine=engine).encode(files, normalize=False)
        assert cosines(found, expected).min() > 0.9999
        # random networks find all pictures alike, so what tells them apart has to be the same, too
        assert cosines(found - expected.mean(axis=0), expected - expected.mean(axis=0)).min() > 0.998


def test_features_of_texts_are_the_librarys(tmp_path: Path) -> None:
    for name in ("tiny-ViT", "tiny-timm"):
        path = tmp_path / f"{name}.safetensors"
        save(f"clip:{name}/local", path)
        model = open_clip.create_model(name, pretrained=str(path), pretrained_text=False).eval()
        backbone = describe(f"clip:{name}/local", str(path))
        assert backbone.modalities == ("image", "text")
        tokens = backbone.tokens(["two parrots on a branch", "a", ""])
        with torch.inference_mode():
            expected = model.encode_text(torch.from_numpy(tokens)).numpy()
            found = backbone.build_text()(torch.from_numpy(tokens)).numpy()
        assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["clip:tiny-ViT/local", "timm:test_vit.r160_in1k"])
def test_random_weights_are_the_same_each_time(name: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, *[describe(name, "untrained").preprocessing.crop] * 2, 3))
    first, second = (
        open_engine(describe(name, "untrained"), engine="torch").features(pixels.astype(np.uint8)) for _ in range(2)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", ["clip:tiny-ViT/local", "timm:test_resnet.r160_in1k"])
def test_weights_that_do_not_fit_are_told(name: str, tmp_path: Path) -> None:
    other = "timm:test_convnext.r160_in1k" if name.startswith("clip") else "clip:tiny-ViT/local"
    save(other, tmp_path / "others.pth")
    with pytest.raises(WeightsError, match=r"others.pth do not fit"):
        describe(name, str(tmp_path / "others.pth")).build()
    _, _ = save(name, tmp_path / "own.pth")
    state = torch.load(tmp_path / "own.pth")
    key = next(key for key in state if state[key].dim() == 4)
    state[key][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match="not finite"):
        describe(name, str(tmp_path / "nan.pth")).build()
    (tmp_path / "none.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    with pytest.raises(WeightsError, match="no file of weights"):
        describe(name, str(tmp_path / "none.safetensors")).build()


def test_names_that_the_libraries_have_not_are_told_with_the_nearest() -> None:
    for name, near in (
        ("clip:ViT-B-32/laion2b_s34b_b78k", "clip:ViT-B-32/laion2b_s34b_b79k"),
        ("clip:ViT-B-33", "clip:ViT-B-32"),
        ("timm:resnet18.a9_in1k", "timm:resnet18.a1_in1k"),
        ("timm:a/b", "timm has no network"),
    ):
        with pytest.raises(ModelError, match=near):
            describe(name, "untrained")
    with pytest.raises(ModelError, match="no squares"):
        describe("timm:volo_d4_448.sail_in1k", "untrained")
    with pytest.raises(WeightsError, match="says nothing of weights: add one of its tags"):
        describe("clip:tiny-ViT")


def test_names_that_are_told_without_the_libraries_are_theirs() -> None:
    for library in (TORCHVISION, PREFIXES["clip"], PREFIXES["timm"]):
        names = library.names()
        assert names is not None
        assert set(library.examples) < set(names)


def test_all_of_open_clips_networks_can_be_described() -> None:
    names = open_clip.list_pretrained()
    assert len(names) > 190
    found = [describe(f"clip:{architecture}/{tag}", "untrained") for architecture, tag in names]
    assert {one.preprocessing.interpolation for one in found} == {"bilinear", "bicubic"}
    assert any(one.preprocessing.is_squashed for one in found if "SigLIP" in one.name)
    assert all(Backbone.from_json(json.loads(json.dumps(one.to_json()))) == one for one in found)


def test_classes_are_those_of_the_networks_own_classifier(tmp_path: Path, photo_folder: Folder) -> None:
    name, path = "timm:test_resnet.r160_in1k", tmp_path / "own.pth"
    _, transform = save(name, path)
    torch.manual_seed(7)
    whole = timm.create_model(name[5:]).eval()
    (file,) = photo_folder(1, size=(200, 130)).iterdir()
    with torch.inference_mode():
        expected = whole(transform(Image.open(file).convert("RGB"))[None]).softmax(1)[0].numpy()
    backbone = describe(name, str(path))
    feature = Extractor(backbone, engine="torch").encode([file], normalize=False)
    assert np.allclose(open_classifier(backbone).probabilities(feature)[0], expected, atol=1e-4)
    save("clip:tiny-ViT/local", path)
    with pytest.raises(ModelError, match="network for sentences"):
        open_classifier(describe("clip:tiny-ViT/local", str(path)))


@pytest.mark.parametrize("name", TINY)
def test_networks_made_for_any_size_are_the_librarys_at_their_own(name: str) -> None:
    images = describe(f"clip:{name}/local", "untrained").build().headless.visual
    library = open_clip.create_model(name, pretrained_text=False).visual.eval()
    library.load_state_dict(images.state_dict())
    pictures = torch.rand(2, 3, *[TINY[name]["image_size"]] * 2)
    with torch.inference_mode():
        found, expected = images(pictures), library(pictures)
    assert torch.equal(*(one[0] if isinstance(one, tuple) else one for one in (found, expected)))
    # and open_clip makes its own as before
    if name == "tiny-SigLIP":
        assert not library.trunk.dynamic_img_size


@pytest.mark.parametrize("name", ["clip:tiny-ViT/local", "clip:tiny-SigLIP/local", "clip:tiny-RN/local"])
def test_stages_are_as_many_as_they_are_said_to_be(name: str) -> None:
    stages = Stages(describe(name, "untrained").build())
    with torch.inference_mode():
        assert stages.count == len(stages(torch.full((1, 64, 96, 3), 127, dtype=torch.uint8))) > 1


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_stages_of_convolutions_are_found_within_open_clips_networks(name: str) -> None:
    backbone = describe(name, "untrained")
    torchs, openvinos = (open_engine(backbone, engine=one) for one in ("torch", "openvino:f32"))
    for height, width in ((256, 256), (96, 160)):
        images = np.random.default_rng(1).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        stages = torchs.stages(images)
        assert [height // one.shape[2] for one in stages] == [width // one.shape[3] for one in stages]
        assert [height // one.shape[2] for one in stages][-3:] == [8, 16, 32]
        places = torchs.place_maps(images)
        assert [one.shape[2:] for one in places] == [(height // 32, width // 32), (height // 16, width // 16)]
        others = (*openvinos.stages(images), *openvinos.place_maps(images))
        for one, other in zip((*stages, *places), others, strict=True):
            assert np.abs(one - other).max() < 1e-3 * np.abs(one).max()
    own = np.random.default_rng(1).integers(0, 256, (2, *[backbone.preprocessing.crop] * 2, 3), dtype=np.uint8)
    for engine in (torchs, openvinos):
        *means, features = engine.pooled(own)
        assert [one.shape[1] for one in means] == [one.shape[1] for one in stages]
        assert np.allclose(features, torchs.features(own), atol=1e-4 * np.abs(features).max())


@pytest.mark.parametrize("name", [*PATCHES, "timm:test_vit.r160_in1k"])
def test_tokens_are_maps_of_pictures_of_any_size(name: str) -> None:
    backbone = describe(name, "untrained")
    torchs, openvinos = (open_engine(backbone, engine=one) for one in ("torch", "openvino:f32"))
    for height, width in ((256, 256), (96, 160)):
        images = np.random.default_rng(1).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        coarse, fine = torchs.place_maps(images)
        assert coarse.shape[2:] == (height // 32, width // 32)
        assert fine.shape[2:] == (height // 16, width // 16)
        for one, other in zip((coarse, fine), openvinos.place_maps(images), strict=True):
            assert np.abs(one - other).max() < 1e-3 * np.abs(one).max()
        assert [stage.shape for stage in openvinos.stages(images)] == [fine.shape, coarse.shape]
        # a place is where it is in the picture
        changed = images.copy()
        changed[:, :16, :16] = 255 - changed[:, :16, :16]
        distances = np.linalg.norm(torchs.place_maps(changed)[1] - fine, axis=1)
        assert (distances.reshape(2, -1).argmax(axis=1) == 0).all()
    with pytest.raises(ModelError, match="not the mean of a map"):
        torchs.last_map(images)


@pytest.mark.parametrize("name", ["clip:tiny-ViT/local", "clip:tiny-SigLIP/local", "timm:test_vit.r160_in1k"])
def test_tokens_of_a_picture_of_the_networks_own_size_are_the_librarys(name: str) -> None:
    network, side = describe(name, "untrained").build(), describe(name, "untrained").preprocessing.crop
    pictures = network.normalise(torch.randint(0, 256, (1, side, side, 3), dtype=torch.uint8))
    if name.startswith("clip"):
        model, how = network.headless.visual, {"normalize_intermediates": True}
        depth = len(model.trunk.blocks if hasattr(model, "trunk") else model.transformer.resblocks)
    else:
        model, how = network.headless, {"norm": True}
        depth = len(model.blocks)
    with torch.inference_mode():
        found = model.forward_intermediates(
            pictures, indices=[3 * depth // 4 - 1], intermediates_only=True, output_fmt="NCHW", **how
        )
        expected = found["image_intermediates"] if isinstance(found, dict) else found
        early, late = network.headless.token_maps(pictures)
    assert torch.allclose(early, expected[0], atol=1e-4)
    assert late.shape[2] == side // 32


@pytest.mark.parametrize("name", ["timm:test_vit.r160_in1k", "clip:tiny-SigLIP/local", "clip:tiny-MobileCLIP/local"])
def test_parts_segments_and_places_are_found_by_maps(name: str, photo_folder: Folder, tmp_path: Path) -> None:
    folder = photo_folder(3, size=(200, 130))
    file = str(folder / "img_000.jpg")
    chosen = ["--model", name, "--weights", "untrained"]
    for arguments in (
        ["index", str(folder), *chosen, "--parts", "--index", str(tmp_path / "made")],
        ["search", file, "--index", str(tmp_path / "made"), "--region", "20,20,80,60"],
    ):
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
    assert find_problems(Index.open(tmp_path / "made"), verify=True) == []
    assert len(Segmenter(describe(name, "untrained")).segment(open_image(file), 4).segments) == 4
    locator = Locator(describe(name, "untrained"))
    assert locator.locate(locator.target(file, "20,20,80,60"), file).heat.max() > 0


# --- the hub, on this machine


@pytest.fixture
def hub() -> Iterator[Any]:
    """A hub: `files` are what it has by path, `asked` are the paths that were asked for."""
    files: dict[str, bytes] = {}
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.asked = files, asked  # type: ignore[attr-defined]
        running.url = f"http://127.0.0.1:{running.server_address[1]}"  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


_CHILD = """
import os, sys
import open_clip
from open_clip import pretrained
open_clip.add_model_config(sys.argv[1])
pretrained._PRETRAINED["tiny-ViT"] = {"local": pretrained._pcfg(hf_hub="cbir-tests/tiny-vit/")}
from cbir.cli import cli
cli(sys.argv[2:], standalone_mode=False)
"""


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("clip:tiny-ViT/local", "/cbir-tests/tiny-vit/resolve/main/open_clip_model.safetensors"),
        ("timm:test_resnet.r160_in1k", "/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"),
    ],
)
def test_weights_come_from_the_hub_when_they_are_asked_for(
    name: str, place: str, hub: Any, tmp_path: Path, photo_folder: Folder
) -> None:
    folder = photo_folder(4, size=(200, 130))
    network, transform = save(name, tmp_path / "weights.safetensors")
    hub.files[place] = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "tiny-ViT.json").write_text(
        json.dumps({"embed_dim": 32, "vision_cfg": TINY["tiny-ViT"], "text_cfg": TEXT})
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "no_proxy": "*"}
    environment.pop("HF_HUB_OFFLINE", None)

    def cbir(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _CHILD, tmp_path / "tiny-ViT.json", *arguments]
        return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)

    made = cbir("index", folder, "--model", name, "--index", tmp_path / "made", "--engine", "torch")
    assert made.returncode == 0, made.stderr
    assert f"Downloading the weights of {name} from {hub.url}" in made.stderr
    index = Index.open(tmp_path / "made")
    assert find_problems(index, verify=True) == []
    identity = hashlib.sha256(hub.files[place]).hexdigest()
    assert (index.model["weights"]["sha256"], index.model["weights"]["source"]) == (identity, "hub")
    files = [folder / record.path for _, record in sorted(index.records())]
    expected = features_of(network, transform, files)
    stored = index.features(np.arange(len(files))).astype(np.float32)
    assert cosines(stored, expected).min() > 0.9999
    # what is there is not asked for again, neither for another index nor to search one
    asked = len(hub.asked)
    assert cbir("index", folder, "--model", name, "--index", tmp_path / "other", "--engine", "torch").returncode == 0
    Image.new("RGB", (90, 80), (10, 200, 30)).save(tmp_path / "new.png")
    found = cbir("search", tmp_path / "new.png", "--index", tmp_path / "made", "--engine", "torch")
    assert found.returncode == 0, found.stderr
    assert len(hub.asked) == asked
    # nor does an index have anything fetched
    for file in (tmp_path / "hf").rglob("*"):
        if file.is_file() or file.is_symlink():
            file.unlink()
    found = cbir("search", tmp_path / "new.png", "--index", tmp_path / "made", "--engine", "torch")
    assert f"cbir models --download {name}" in found.stderr
    assert len(hub.asked) == asked
    assert cbir("models", "--download", name).returncode == 0
    found = cbir("search", tmp_path / "new.png", "--index", tmp_path / "made", "--engine", "torch")
    assert found.returncode == 0, found.stderr


def test_a_hub_that_has_no_weights_is_told(hub: Any, tmp_path: Path, photo_folder: Folder) -> None:
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "no_proxy": "*"}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "cbir", "index", photo_folder(1), "--model", "timm:test_resnet.r160_in1k"]
    found = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    assert found.returncode != 0
    assert "Could not download the weights of timm:test_resnet.r160_in1k from" in found.stderr
    assert "--weights FILE" in found.stderr


def test_networks_that_are_joined_have_their_own_weights_each(photo_folder: Folder) -> None:
    result = CliRunner().invoke(
        cli, ["index", str(photo_folder(2)), "--model", "clip:tiny-ViT/local+fake", "--weights", "untrained"]
    )
    assert result.exit_code == 1
    assert "each with its own weights" in result.output

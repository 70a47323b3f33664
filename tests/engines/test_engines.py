"""Both runtimes give the same features; the compiled model is kept, and what goes wrong with it costs only time."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import cbir.engines.select
import cbir.utils.packages
from cbir.backbones.backbone import Backbone
from cbir.backbones.network import Network, Stages
from cbir.backbones.weights import Weights
from cbir.engines.openvino_engine import OpenVINOEngine
from cbir.engines.select import NAMES, WORTH_CUDA, WORTH_TRIAL, has_cuda, open_engine
from cbir.engines.torch_engine import TorchEngine
from cbir.errors import EngineError, TorchMissingError, WeightsError
from cbir.images.fit import Preprocessing, fit
from cbir.images.read import decode


@pytest.fixture(scope="module")
def network(bundled) -> Network:
    """EfficientNet-Lite0 in torch and float32: what both engines are measured by."""
    return bundled.build()


@pytest.fixture(scope="module")
def drawn(draw_picture, bundled):
    """24 drawn pictures as an engine takes them."""
    return np.stack([fit(draw_picture(seed), bundled.preprocessing) for seed in range(24)])


def cosines(first, second):
    """Cosines of the rows of two arrays; what follows the first axis is flattened."""
    first, second = (np.asarray(each, dtype=np.float64).reshape(len(each), -1) for each in (first, second))
    return (first * second).sum(1) / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))


def float32_features(network, pictures):
    with torch.inference_mode():
        return network(torch.from_numpy(pictures)).numpy()


# --- the same numbers


@pytest.fixture(scope="module")
def in_float32(bundled):
    return OpenVINOEngine(bundled, precision="f32")


def test_openvino_gives_the_features_of_float32(extractor, in_float32, network, drawn):
    engine = extractor.engine
    assert isinstance(engine, OpenVINOEngine)
    expected = float32_features(network, drawn)
    for one, mean, worst in ((in_float32, 0.9999, 0.9999), (engine, 0.995, 0.98)):
        features = one.features(drawn)
        assert (features.shape, features.dtype) == ((24, 1280), np.float32)
        assert cosines(features, expected).mean() >= mean, one.precision
        assert cosines(features, expected).min() >= worst, one.precision


def test_openvino_gives_the_features_of_float32_on_photos(extractor, in_float32, bundled, network, shared):
    paths = sorted(shared("photos").glob("*/*.jpg"))[::50]
    assert paths
    pictures = np.stack([fit(decode(path.read_bytes(), name=path.name), bundled.preprocessing) for path in paths])
    expected = float32_features(network, pictures)
    assert cosines(in_float32.features(pictures), expected).min() >= 0.9999
    found = cosines(extractor.engine.features(pictures), expected)
    assert found.mean() >= 0.999
    assert found.min() >= 0.99


def test_torch_gives_the_features_of_float32(bundled, network, drawn):
    features = TorchEngine(bundled).features(drawn[:8])
    assert (features.shape, features.dtype) == ((8, 1280), np.float32)
    assert cosines(features, float32_features(network, drawn[:8])).min() >= 0.999


@pytest.mark.parametrize("kind", [OpenVINOEngine, TorchEngine])
def test_stages_are_those_of_float32_at_every_size(bundled, network, draw_picture, kind):
    engine, stages = kind(bundled), Stages(network)
    for width, height in [(96, 64), (32, 160), (256, 224)]:
        pictures = np.stack([np.asarray(draw_picture(seed, (width, height))) for seed in (1, 2)])
        with torch.inference_mode():
            expected = stages(torch.from_numpy(pictures))
        actual = engine.stages(pictures)
        assert [one.shape for one in actual] == [tuple(one.shape) for one in expected]
        assert all(one.dtype == np.float32 for one in actual)
        for stage, reference in zip(actual, expected, strict=True):
            assert cosines(stage, reference).min() >= 0.999


# --- a network that converts in no time, for what is not about numbers


def small_network(preprocessing):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        maps = [torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, 2, 1)]
        headless = torch.nn.Sequential(*maps, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return Network(headless, preprocessing).eval()


@pytest.fixture
def builds(monkeypatch):
    """Every backbone is a small network here; the list says which were built."""
    built = []

    def build(self):
        built.append(self.name)
        return small_network(self.preprocessing)

    monkeypatch.setattr(Backbone, "build", build)
    return built


@pytest.fixture
def small():
    preprocessing = Preprocessing(32, 32, "bilinear", (100.0, 110.0, 120.0), (50.0, 60.0, 70.0))
    return Backbone("small", 8, preprocessing, Weights("5a" * 32, "file"))


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of the user's; where the compiled models will lie."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cbir" / "compiled"


@pytest.mark.usefixtures("builds", "cache")
@pytest.mark.parametrize("kind", [OpenVINOEngine, TorchEngine])
def test_any_array_and_any_number_of_pictures_will_do(small, pictures, kind):
    engine = kind(small)
    expected = float32_features(small_network(small.preprocessing), pictures)
    frozen = pictures.copy()
    frozen.flags.writeable = False
    for given in (pictures, frozen, np.asfortranarray(pictures), pictures[:, :, ::-1].copy()[:, :, ::-1]):
        assert np.allclose(engine.features(given), expected, atol=1e-2)
    for n in (1, 2, 3):
        assert np.allclose(engine.features(pictures[:n]), expected[:n], atol=1e-2)


@pytest.mark.usefixtures("builds", "cache")
@pytest.mark.parametrize("kind", [OpenVINOEngine, TorchEngine])
def test_the_next_call_leaves_earlier_results_alone(small, pictures, kind):
    engine = kind(small)
    first, stages = engine.features(pictures), engine.stages(pictures)
    kept, kept_stages = first.copy(), [stage.copy() for stage in stages]
    engine.features(255 - pictures)
    engine.stages(255 - pictures)
    assert np.array_equal(first, kept)
    assert all(np.array_equal(stage, copy) for stage, copy in zip(stages, kept_stages, strict=True))


@pytest.mark.usefixtures("builds", "cache")
def test_an_engine_says_what_it_is(small):
    assert OpenVINOEngine(small).description.startswith("OpenVINO 20")
    engine = OpenVINOEngine(small)
    assert engine.description.endswith(f"CPU, {engine.precision}")
    assert engine.precision in ("f32", "bf16", "f16")
    assert TorchEngine(small).description.startswith(f"torch {torch.__version__}, ")


@pytest.mark.usefixtures("builds", "cache")
def test_batches_side_by_side_give_each_its_own_features(small):
    """As many as may be under way, of different sizes, asked for in the order in which they were started."""
    engine = OpenVINOEngine(small, many=True)
    assert engine.depth >= 2
    rng = np.random.default_rng(3)
    batches = [rng.integers(0, 256, (n % 5 + 1, 32, 32, 3), dtype=np.uint8) for n in range(12)]
    under_way, found = [], []
    for batch in batches:
        if len(under_way) == engine.depth:
            found.append(under_way.pop(0)())
        under_way.append(engine.start(batch))
    found += [finish() for finish in under_way]
    for batch, features in zip(batches, found, strict=True):
        expected = float32_features(small_network(small.preprocessing), batch)
        assert features.shape == expected.shape
        assert cosines(features, expected).min() > 0.999


# --- the kept model


def test_the_compiled_model_is_made_once_and_for_each_graph(small, pictures, builds, cache):
    first = OpenVINOEngine(small)
    first.stages(pictures)
    assert len(builds) == 2
    assert sorted(path.name.split("-")[1] for path in cache.iterdir()) == ["features", "precision", "stages"]
    again = OpenVINOEngine(small)
    assert np.array_equal(again.features(pictures), first.features(pictures))
    assert all(np.array_equal(*pair) for pair in zip(again.stages(pictures), first.stages(pictures), strict=True))
    assert len(builds) == 2


@pytest.mark.parametrize("change", ["weights", "mean", "std", "crop", "name"])
def test_another_network_has_a_compiled_model_of_its_own(small, builds, cache, change):
    OpenVINOEngine(small)
    preprocessing = small.preprocessing
    other = {
        "weights": replace(small, weights=Weights("5b" * 32, "file")),
        "mean": replace(small, preprocessing=replace(preprocessing, mean=(0.0, 110.0, 120.0))),
        "std": replace(small, preprocessing=replace(preprocessing, std=(50.0, 60.0, 71.0))),
        "crop": replace(small, preprocessing=replace(preprocessing, resize=64, crop=64)),
        "name": replace(small, name="other"),
    }[change]
    engine = OpenVINOEngine(other)
    assert len(builds) == 2
    assert len(list(cache.glob("*.blob"))) == 2
    side = other.preprocessing.crop
    pictures = np.full((1, side, side, 3), 200, dtype=np.uint8)
    expected = float32_features(small_network(other.preprocessing), pictures)
    assert np.allclose(engine.features(pictures), expected, atol=1e-2)


def test_a_kept_model_needs_neither_torch_nor_torchvision(in_float32, drawn, tmp_path):
    expected = in_float32.features(drawn[:2])
    np.save(tmp_path / "pictures.npy", drawn[:2])
    code = (
        "import sys, numpy as np\n"
        "from cbir.backbones.backbone import describe\n"
        "from cbir.engines.select import open_engine\n"
        f"pictures = np.load({str(tmp_path / 'pictures.npy')!r})\n"
        "engine = open_engine(describe('efficientnet_lite0'), engine='openvino:f32')\n"
        f"np.save({str(tmp_path / 'features.npy')!r}, engine.features(pictures))\n"
        "print(type(engine).__name__, [name for name in ('torch', 'torchvision') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "OpenVINOEngine []"
    assert np.array_equal(np.load(tmp_path / "features.npy"), expected)


def flip_a_byte(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        lambda data: data[:-1],
        lambda data: data[:20],
        lambda data: b"",
        lambda data: b"x" * 5000,
        lambda data: hashlib.sha256(b"of another program").digest() + b"of another program",
    ],
    ids=["a bit", "the last byte", "nearly all", "empty", "other bytes", "a sound file of something else"],
)
def test_a_damaged_compiled_model_is_noticed_and_made_anew(small, pictures, builds, cache, damage):
    expected = OpenVINOEngine(small).features(pictures)
    (path,) = cache.glob("*.blob")
    path.write_bytes(damage(path.read_bytes()))
    assert np.array_equal(OpenVINOEngine(small).features(pictures), expected)
    assert len(builds) == 2
    data = path.read_bytes()
    assert hashlib.sha256(data[32:]).digest() == data[:32]
    OpenVINOEngine(small)
    assert len(builds) == 2
    assert list(cache.glob("*.blob")) == [path]


@pytest.mark.usefixtures("builds")
def test_a_cache_that_cannot_be_written_costs_only_time(small, pictures, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    features = open_engine(small).features(pictures)
    assert np.allclose(features, float32_features(small_network(small.preprocessing), pictures), atol=1e-2)
    (record,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert "Cannot keep the prepared network" in record.getMessage()
    assert str(tmp_path / "file") in record.getMessage()


@pytest.mark.usefixtures("builds")
def test_a_disk_that_fills_up_leaves_no_half_written_model(small, cache, monkeypatch, caplog):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    OpenVINOEngine(small)
    assert list(cache.iterdir()) == []
    assert "No space left on device" in caplog.text


def test_openvino_reports_to_nobody(tmp_path):
    """Neither on import nor when it converts: no connection, no process of its own, no identity in ~/intel."""
    code = (
        "import sys\n"
        "def watch(event, arguments):\n"
        "    if event.startswith(('socket.connect', 'socket.getaddrinfo', 'os.fork')):\n"
        "        print(event, arguments, flush=True)\n"
        "sys.addaudithook(watch)\n"
        "from tests.engines.test_engines import OpenVINOEngine, Backbone, Preprocessing, Weights, small_network\n"
        "Backbone.build = lambda self: small_network(self.preprocessing)\n"
        "preprocessing = Preprocessing(32, 32, 'bilinear', (100.0, 110.0, 120.0), (50.0, 60.0, 70.0))\n"
        "OpenVINOEngine(Backbone('small', 8, preprocessing, Weights('5a' * 32, 'file')))\n"
        "print('prepared')\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "CI"}  # it keeps quiet in a CI anyway
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == ["prepared"]
    assert list(home.iterdir()) == []
    assert list((tmp_path / "cbir" / "compiled").iterdir())


# --- the choice


def broken(error):
    def init(self, backbone, **options):
        raise error

    return init


@pytest.mark.parametrize("name", ["nonsense", "OpenVINO", "cuda"])
def test_an_unknown_engine_is_answered_by_those_there_are(small, name):
    with pytest.raises(EngineError, match=name) as raised:
        open_engine(small, engine=name)
    assert all(known in str(raised.value) for known in NAMES)


@pytest.mark.usefixtures("builds", "cache")
def test_engines_can_be_asked_for_by_option_and_environment(small, monkeypatch):
    assert isinstance(open_engine(small), OpenVINOEngine)
    assert isinstance(open_engine(small, engine="torch"), TorchEngine)
    monkeypatch.setenv("CBIR_ENGINE", "torch")
    assert isinstance(open_engine(small), TorchEngine)
    assert isinstance(open_engine(small, engine="openvino"), OpenVINOEngine)
    monkeypatch.setenv("CBIR_ENGINE", "nonsense")
    with pytest.raises(EngineError, match="nonsense"):
        open_engine(small)
    monkeypatch.setenv("CBIR_ENGINE", "")
    assert isinstance(open_engine(small), OpenVINOEngine)


@pytest.mark.usefixtures("builds", "cache")
def test_where_openvino_fails_torch_does_the_work_and_says_so(small, pictures, monkeypatch, caplog):
    monkeypatch.setattr(OpenVINOEngine, "__init__", broken(RuntimeError("no such instruction\nand much more")))
    engine = open_engine(small)
    assert isinstance(engine, TorchEngine)
    assert engine.features(pictures).shape == (3, 8)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cbir", logging.WARNING)
    assert "no such instruction" in record.getMessage()
    assert "and much more" not in record.getMessage()
    assert "torch" in record.getMessage()


@pytest.mark.usefixtures("builds")
def test_where_openvino_is_missing_torch_does_the_work_and_says_so(small, monkeypatch, caplog):
    monkeypatch.delitem(sys.modules, "cbir.engines.openvino_engine")
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert isinstance(open_engine(small), TorchEngine)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    with pytest.raises(EngineError, match="OpenVINO cannot run small"):
        open_engine(small, engine="openvino")


@pytest.mark.usefixtures("builds")
@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_torch_is_not_asked_where_there_is_no_room_for_openvino(small, monkeypatch, caplog, engine):
    monkeypatch.setattr(OpenVINOEngine, "__init__", broken(MemoryError()))
    with pytest.raises(MemoryError):
        open_engine(small, engine=engine)
    assert not caplog.records


@pytest.mark.usefixtures("builds")
def test_who_insists_on_openvino_gets_an_error(small, monkeypatch, caplog):
    monkeypatch.setattr(OpenVINOEngine, "__init__", broken(RuntimeError("no such instruction")))
    with pytest.raises(EngineError, match="no such instruction"):
        open_engine(small, engine="openvino")
    assert not caplog.records


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_missing_weights_are_not_blamed_on_openvino(small, monkeypatch, caplog, engine):
    monkeypatch.setattr(OpenVINOEngine, "__init__", broken(WeightsError("The weights are gone.")))
    monkeypatch.setattr(cbir.engines.select, "_torch_engine", broken(AssertionError))
    with pytest.raises(WeightsError, match="gone"):
        open_engine(small, engine=engine)
    assert not caplog.records


def test_a_gpu_is_worth_it_from_some_pictures_on(small, monkeypatch):
    on_gpu, asked = SimpleNamespace(device=torch.device("cuda"), try_out=lambda: None), []
    monkeypatch.setattr(cbir.engines.select, "has_cuda", lambda: True)
    monkeypatch.setattr(cbir.engines.select, "_torch_engine", lambda backbone, precision: on_gpu)
    monkeypatch.setattr(OpenVINOEngine, "__init__", lambda self, backbone, **_: asked.append(backbone))
    assert open_engine(small, expected=WORTH_CUDA) is on_gpu
    assert not asked
    assert isinstance(open_engine(small, expected=WORTH_CUDA - 1), OpenVINOEngine)
    assert isinstance(open_engine(small, engine="openvino", expected=10**6), OpenVINOEngine)
    # a driver, but a torch without CUDA
    monkeypatch.setattr(on_gpu, "device", torch.device("cpu"))
    assert isinstance(open_engine(small, expected=10**6), OpenVINOEngine)
    monkeypatch.setattr(cbir.engines.select, "has_cuda", lambda: False)
    assert isinstance(open_engine(small, expected=10**6), OpenVINOEngine)


@pytest.mark.usefixtures("builds", "cache")
def test_where_the_card_fails_the_processor_does_the_work_and_says_so(small, pictures, monkeypatch, caplog):
    def fail(self, given):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with …")

    engine = TorchEngine(small)
    monkeypatch.setattr(cbir.engines.select, "has_cuda", lambda: True)
    monkeypatch.setattr(cbir.engines.select, "_torch_engine", lambda backbone, precision: engine)
    monkeypatch.setattr(engine, "device", torch.device("cuda"))
    assert open_engine(small, expected=WORTH_CUDA - 1).features(pictures).shape == (3, 8)
    monkeypatch.setattr(TorchEngine, "features", fail)
    with caplog.at_level(logging.WARNING, "cbir"):
        assert isinstance(open_engine(small, expected=WORTH_CUDA), OpenVINOEngine)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "The graphics card cannot run small here (CUDA error: no kernel image is available for execution on the "
        "device); the processor does it."
    ]


@pytest.mark.usefixtures("builds")
@pytest.mark.parametrize(("most", "expected"), [(16, 16), (15, 8), (5, 4), (1, 1)])
def test_a_batch_is_halved_until_the_card_has_memory_for_it(small, monkeypatch, most, expected):
    engine, tried = TorchEngine(small), []

    def features(given):
        tried.append(given.shape)
        if len(given) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(engine, "features", features)
    engine.try_out()
    assert (engine.batch, tried[-1]) == (expected, (expected, 32, 32, 3))
    monkeypatch.setattr(engine, "batch", 4)
    most = 0
    with pytest.raises(torch.cuda.OutOfMemoryError):
        engine.try_out()
    assert engine.batch == 1


@pytest.mark.skipif(sys.platform == "win32", reason="devices are files elsewhere")
@pytest.mark.parametrize(
    ("visible", "device", "expected"),
    [
        (None, "/dev/nvidiactl", True),
        (None, "/dev/dxg", True),
        (None, "/dev/null", False),
        ("0,1", "/dev/nvidiactl", True),
        ("0", "/dev/null", False),
        ("", "/dev/nvidiactl", False),
        (" ", "/dev/nvidiactl", False),
        ("-1", "/dev/nvidiactl", False),
    ],
)
def test_whether_there_is_cuda(monkeypatch, visible, device, expected):
    monkeypatch.setattr(Path, "exists", lambda self: str(self) == device)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert has_cuda() is expected


def test_precisions_of_what_is_converted_are_tried_at_once(small, builds, cache):
    open_engine(small, engine="openvino", expected=1)
    assert len(list(cache.glob("*.json"))) == 1


def test_precisions_are_tried_where_there_is_enough_to_do(small, pictures, builds, cache, monkeypatch):
    monkeypatch.setattr(Backbone, "has_graph", True)
    few = open_engine(small, engine="openvino", expected=WORTH_TRIAL - 1)
    assert (few.precision, few.batch) == ("f32", 16)
    assert list(cache.glob("*.json")) == []
    many = open_engine(small, engine="openvino", expected=WORTH_TRIAL)
    assert len(list(cache.glob("*.json"))) == 1
    again = open_engine(small, engine="openvino", expected=1)
    assert (again.precision, again.batch) == (many.precision, many.batch)
    assert cosines(few.features(pictures), many.features(pictures)).min() >= 0.999
    assert len(builds) == 2


def test_a_network_in_float32_is_kept_without_a_trial(small, pictures, builds, cache, monkeypatch):
    monkeypatch.setattr(Backbone, "has_graph", True)
    for _ in range(2):
        assert open_engine(small, engine="openvino").features(pictures).shape == (3, 8)
    assert len(builds) == 1


@pytest.mark.usefixtures("builds", "cache")
def test_without_torch_the_engine_says_what_to_install(small, bundled, monkeypatch):
    monkeypatch.setattr(cbir.utils.packages, "find_spec", lambda name: None)
    monkeypatch.setattr(cbir.engines.select, "has_cuda", lambda: True)
    with pytest.raises(TorchMissingError, match=r"The engine torch needs .* `pip install torch torchvision`"):
        open_engine(small, engine="torch")
    assert isinstance(open_engine(bundled, expected=WORTH_CUDA), OpenVINOEngine)

    def fail(self, *arguments, **options):
        raise RuntimeError("no such CPU")

    monkeypatch.setattr(OpenVINOEngine, "__init__", fail)
    with pytest.raises(EngineError, match=r"OpenVINO cannot run small here: no such CPU\."):
        open_engine(small)


def test_openvinos_tables_of_types_are_made_before_threads_need_them() -> None:
    code = """
import openvino
made = []

class Tensor(openvino.Tensor):
    @property
    def data(self):
        found = super().data
        made.append(str(found.dtype))
        return found

openvino.Tensor = Tensor
import cbir.engines.openvino_engine
print(made)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['float32']"

"""Weights are found, fetched and checked; what does not fit is refused in words, and no file's code is run."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cbir.backbones.backbone import describe
from cbir.backbones.catalog import KNOWN
from cbir.backbones.efficientnet_lite_torch import EfficientNetLite
from cbir.backbones.torch_state import fill, load_state_dict
from cbir.backbones.weights import Weights, WeightsFile, download, hub_file
from cbir.errors import WeightsError

CONTENT = b"a small file of weights" * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = f"tiny-{DIGEST[:8]}.pth"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub cache; the folder for its files does not exist yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(monkeypatch):
    """A server on this machine: `files` are what it has by path, `asked` are the paths that were asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args):
            pass

    files: dict[str, bytes] = {}
    asked: list[str] = []
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.asked = files, asked
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


# --- the hub cache


def test_a_files_name_and_hash_are_read_from_its_address():
    published = WeightsFile("https://download.pytorch.org/models/resnet50-0676ba61.pth", 98)
    assert (published.name, published.hash_prefix) == ("resnet50-0676ba61.pth", "0676ba61")
    assert WeightsFile("https://example.org/plain.pth", 1).hash_prefix == ""


def test_the_hub_cache_is_torchs(monkeypatch, tmp_path):
    published = WeightsFile("https://example.org/a-12345678.pth", 1)
    for torch_home, cache in [(str(tmp_path / "t"), None), (None, str(tmp_path / "c")), (None, None), ("~/t", None)]:
        for name, value in {"TORCH_HOME": torch_home, "XDG_CACHE_HOME": cache}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        assert hub_file(published) == Path(torch.hub.get_dir(), "checkpoints", published.name)


def test_a_download_is_verified_and_lies_in_the_hub_cache(hub, server, capsys):
    server.files[f"/models/{NAME}"] = CONTENT
    weights = Weights.from_hub(WeightsFile(f"{server.url}/models/{NAME}", 1))
    assert (hub / NAME).read_bytes() == CONTENT
    assert (weights.identity, weights.source) == (DIGEST, "hub")
    assert weights.url == f"{server.url}/models/{NAME}"
    assert weights.locate() == hub / NAME
    out, err = capsys.readouterr()
    assert out == ""
    assert NAME in err
    assert str(hub) in err


def test_what_was_downloaded_once_is_not_fetched_again(hub, server):
    server.files[f"/{NAME}"] = CONTENT
    published = WeightsFile(f"{server.url}/{NAME}", 1)
    first = Weights.from_hub(published)
    assert Weights.from_hub(published) == first
    assert server.asked == [f"/{NAME}"]


def test_a_download_with_the_wrong_content_is_thrown_away(hub, server):
    server.files[f"/{NAME}"] = CONTENT[:-1]
    with pytest.raises(WeightsError, match="hash"):
        download(WeightsFile(f"{server.url}/{NAME}", 1))
    assert list(hub.iterdir()) == []


def test_a_file_that_the_server_does_not_have_is_explained(hub, server):
    with pytest.raises(WeightsError) as raised:
        Weights.from_hub(WeightsFile(f"{server.url}/{NAME}", 1))
    assert f"{server.url}/{NAME}" in str(raised.value)
    assert str(hub / NAME) in str(raised.value)
    assert "404" in str(raised.value)
    assert list(hub.iterdir()) == []


def test_a_server_that_cannot_be_reached_is_explained(hub, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match="Could not download") as raised:
        Weights.from_hub(WeightsFile(f"{server.url}/{NAME}", 1))
    assert f"{server.url}/{NAME}" in str(raised.value)
    assert str(hub / NAME) in str(raised.value)


@pytest.mark.usefixtures("server")
def test_a_hub_cache_that_cannot_be_written_is_explained(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file" / "torch"))
    with pytest.raises(WeightsError, match="Could not download"):
        Weights.from_hub(WeightsFile(f"http://127.0.0.1:9/{NAME}", 1))


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_is_asked_instead(hub, server, monkeypatch, slash):
    server.files[f"/mirror/{NAME}"] = CONTENT
    monkeypatch.setenv("CBIR_WEIGHTS_MIRROR", f"{server.url}/mirror{slash}")
    weights = Weights.from_hub(WeightsFile(f"https://nowhere.invalid/models/{NAME}", 1))
    assert server.asked == [f"/mirror/{NAME}"]
    assert (hub / NAME).read_bytes() == CONTENT
    assert weights.url == f"https://nowhere.invalid/models/{NAME}"


def test_a_network_that_was_asked_for_has_its_weights_fetched(hub, server, monkeypatch):
    server.files[f"/{NAME}"] = CONTENT
    published = WeightsFile(f"{server.url}/{NAME}", 1)
    monkeypatch.setitem(KNOWN, "vgg16", replace(KNOWN["vgg16"], weights=published))
    assert describe("vgg16").weights.identity == DIGEST
    assert server.asked == [f"/{NAME}"]


def test_a_damaged_file_in_the_hub_cache_is_named(hub, server):
    hub.mkdir(parents=True)
    (hub / NAME).write_bytes(CONTENT[:50])
    with pytest.raises(WeightsError, match="damaged") as raised:
        Weights.from_hub(WeightsFile(f"{server.url}/{NAME}", 1))
    assert str(hub / NAME) in str(raised.value)
    assert server.asked == []


# --- files and where they went


@pytest.mark.parametrize("what", ["missing", "a folder"])
def test_a_weights_file_that_cannot_be_read_is_named(tmp_path, what):
    path = tmp_path / "my.pth"
    if what == "a folder":
        path.mkdir()
    with pytest.raises(WeightsError, match=r"Cannot read the weights .*my\.pth: "):
        describe("efficientnet_lite0", str(path))


def test_weights_survive_json(tmp_path):
    (tmp_path / "my.pth").write_bytes(CONTENT)
    for weights in (Weights.untrained(), Weights.from_file(tmp_path / "my.pth"), Weights(DIGEST, "hub", "/a", "b")):
        assert Weights.from_json(weights.to_json()) == weights


def test_the_same_content_elsewhere_matches(tmp_path):
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(CONTENT)
    first, second = Weights.from_file(tmp_path / "a.pth"), Weights.from_file(tmp_path / "b.pth")
    assert first.matches(second)
    assert not first.matches(Weights.untrained())


def test_bundled_weights_are_found_after_the_packages_moved(bundled):
    moved = replace(bundled.weights, path="/old/site-packages/efficientnet-lite0.pth")
    assert moved.locate("efficientnet_lite0") == Path(bundled.weights.path)
    assert hashlib.sha256(moved.locate("efficientnet_lite0").read_bytes()).hexdigest() == bundled.weights.identity


def test_bundled_weights_that_are_others_now_are_refused(bundled):
    with pytest.raises(WeightsError, match="not on this machine any more"):
        replace(bundled.weights, identity="0" * 64).locate()


def test_weights_are_found_in_the_hub_cache_after_it_moved(hub):
    hub.mkdir(parents=True)
    (hub / NAME).write_bytes(CONTENT)
    assert Weights(DIGEST, "hub", "/old/home/checkpoints/x.pth", f"https://x/{NAME}").locate() == hub / NAME


def test_weights_of_the_hub_that_are_gone_are_not_downloaded_unasked(hub, server):
    server.files[f"/{NAME}"] = CONTENT
    with pytest.raises(WeightsError) as raised:
        Weights(DIGEST, "hub", str(hub / NAME), f"{server.url}/{NAME}").locate()
    assert f"{server.url}/{NAME}" in str(raised.value)
    assert str(hub / NAME) in str(raised.value)
    assert server.asked == []


@pytest.mark.parametrize("change", ["deleted", "overwritten"])
def test_a_users_file_that_changed_is_refused(tmp_path, change):
    path = tmp_path / "my.pth"
    path.write_bytes(CONTENT)
    weights = Weights.from_file(path)
    assert weights.locate() == path
    if change == "deleted":
        path.unlink()
    else:
        path.write_bytes(CONTENT + b"!")
    with pytest.raises(WeightsError, match="--weights") as raised:
        weights.locate()
    assert str(path) in str(raised.value)
    assert DIGEST[:16] in str(raised.value)


# --- reading a state dict


class Code:
    """What a pickle can do: run a command as soon as it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("old_format", [False, True])
def test_a_files_code_is_not_run(tmp_path, old_format):
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    torch.save({"layer.weight": torch.zeros(2), "x": Code(marker)}, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(WeightsError, match="read safely") as raised:
        describe("efficientnet_lite0", str(path)).build()
    assert not marker.exists()
    assert str(path) in str(raised.value)
    torch.load(path, weights_only=False)
    assert marker.exists()  # so the file would have done it


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no file of weights that can be read safely"),
        (b"just some text\n" * 50, "no file of weights that can be read safely"),
        (saved({"a": torch.zeros(100)})[:300], "no file of weights that can be read safely"),
        (saved(torch.nn.Linear(2, 2)), "no file of weights that can be read safely"),
        (saved([torch.zeros(2)]), "no state dict"),
        (saved(torch.zeros(2)), "no state dict"),
        (saved({"epoch": 3, "model": {"a": torch.zeros(2)}}), "no state dict"),
        (saved({"a": torch.zeros(2), "b": "text"}), "no state dict"),
    ],
    ids=["empty", "text", "truncated", "whole model", "list", "tensor", "checkpoint", "mixed"],
)
def test_what_is_no_state_dict_is_refused_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "my.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=complaint) as raised:
        load_state_dict(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_state_dict_may_lie_within_a_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, "state_dict": {"a": torch.ones(2)}}, path)
    assert torch.equal(load_state_dict(path)["a"], torch.ones(2))


# --- whether it fits


@pytest.fixture(scope="module")
def published(bundled):
    """The bundled state dict, as it was published."""
    return load_state_dict(Path(bundled.weights.path))


def build_with(tmp_path, state):
    path = tmp_path / "my.pth"
    torch.save(state, path)
    return describe("efficientnet_lite0", str(path)).build()


def test_the_published_weights_fit_from_a_file_too(tmp_path, bundled, published):
    network, expected = build_with(tmp_path, published), bundled.build()
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in expected.state_dict().items())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda state: state.pop("_bn1.bias"), r"missing bn1\.bias\."),
        (lambda state: state.pop("_blocks.0._bn1.running_var"), r"missing blocks\.0\.bn1\.running_var\."),
        (lambda state: state.update(extra=torch.zeros(1)), r"unexpected extra\."),
        (
            lambda state: state.update({"_bn1.bias": torch.zeros(7)}),
            r"bn1\.bias is \(7,\) instead of \(1280,\)\.",
        ),
        (lambda state: state["_bn1.bias"].__setitem__(3, float("nan")), "not finite"),
        (lambda state: state["_bn1.running_mean"].__setitem__(0, float("inf")), "not finite"),
        (lambda state: state.clear(), r"missing .* and \d+ more\."),
    ],
    ids=["missing", "missing statistics", "unexpected", "shape", "nan", "infinite", "nothing"],
)
def test_weights_that_do_not_fit_are_refused_with_the_key(tmp_path, published, change, complaint):
    state = {key: value.clone() for key, value in published.items()}
    change(state)
    with pytest.raises(WeightsError, match=complaint) as raised:
        build_with(tmp_path, state)
    assert str(tmp_path / "my.pth") in str(raised.value)


def test_another_networks_weights_are_refused(tmp_path):
    state = describe("squeezenet1_1", "untrained").build().headless.state_dict()
    with pytest.raises(WeightsError, match=r"do not fit efficientnet_lite0: missing .*; unexpected features"):
        build_with(tmp_path, state)


def test_another_networks_weights_are_refused_by_torchvisions_networks_too(tmp_path, bundled):
    with pytest.raises(WeightsError, match="do not fit mobilenet_v3_small: missing"):
        describe("mobilenet_v3_small", bundled.weights.path).build()


@pytest.mark.parametrize("classes", [7, None], ids=["seven classes", "no classifier"])
def test_the_classifier_does_not_matter(tmp_path, bundled, published, classes):
    state = {key: value for key, value in published.items() if not key.startswith("_fc.")}
    if classes:
        state |= {"_fc.weight": torch.zeros(classes, 1280), "_fc.bias": torch.full((classes,), float("nan"))}
    network, expected = build_with(tmp_path, state), bundled.build()
    pictures = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(network(pictures), expected(pictures))


def test_a_fine_tuned_network_of_torchvision_fits_with_its_own_classes(tmp_path):
    import torchvision

    model = torchvision.models.mobilenet_v3_small(num_classes=7).eval()
    path = tmp_path / "tuned.pth"
    torch.save(model.state_dict(), path)
    network = describe("mobilenet_v3_small", str(path)).build()
    model.classifier[3] = torch.nn.Identity()
    pictures = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(network(pictures), model(network.normalise(pictures)), atol=1e-6)


def test_fill_keeps_the_names_short(tmp_path):
    with pytest.raises(WeightsError) as raised:
        fill(EfficientNetLite("efficientnet_lite0"), {}, network="n", origin="o", head="fc.")
    assert len(str(raised.value)) < 300


def test_a_file_that_was_changed_after_it_was_chosen_is_not_loaded(tmp_path, published):
    path = tmp_path / "my.pth"
    torch.save(published, path)
    backbone = describe("efficientnet_lite0", str(path))
    shutil.copy(path, tmp_path / "other.pth")
    with path.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(WeightsError, match="not on this machine any more"):
        backbone.build()

"""Receptive fields by arithmetic against those by gradients, where every weight is positive and nothing saturates."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from cbir.backbones.backbone import describe
from cbir.backbones.network import Network, Stages
from cbir.cli import cli
from cbir.engines.effective import effective_fields, side_with
from cbir.engines.fields import StageField, stage_fields
from cbir.errors import ModelError

#: Rows of the pictures, and columns, which would tell the same.
SIDE, COLUMNS = 512, 64

#: Fields, jumps and starts, reckoned by hand.
KNOWN = {
    "efficientnet_lite0": ([7, 19, 67, 339, 851], [2, 4, 8, 16, 32], [1, 3, 7, 15, 31]),
    "resnet50": ([7, 35, 91, 267, 427], [2, 4, 8, 16, 32], [0, 0, 0, 0, 0]),
    "vgg11": ([3, 8, 26, 62, 134], [1, 2, 4, 8, 16], None),
}


@pytest.mark.parametrize("name", KNOWN)
def test_fields_that_are_known(name: str) -> None:
    found = stage_fields(describe(name, "untrained"))
    fields, jumps, starts = KNOWN[name]
    assert [one.field for one in found] == fields
    assert [one.jump for one in found] == jumps
    assert starts is None or [one.start for one in found] == starts
    assert [one.number for one in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "squeezenet1_0", "shufflenet_v2_x0_5", "mnasnet0_5"])
def test_arithmetic_is_what_gradients_say(name: str) -> None:
    backbone = describe(name, "untrained")
    fields = stage_fields(backbone)
    stages = Stages(positive(backbone.build())).double()
    for number, field in enumerate(fields):
        for is_last in (False, True):
            first, last = seen(stages, number, is_last=is_last)
            cells = size_of(stages, number) - 1 if is_last else 0
            assert field.field is not None
            assert field.start is not None
            middle, reach = field.start + cells * field.jump, (field.field - 1) / 2
            # what would lie outside the picture is not seen, nor is a last row that no kernel comes to
            assert first == middle - reach or (middle < reach and first == 0), field
            assert last == middle + reach or (middle + reach >= SIDE - 1 and last >= SIDE - 2), field


def positive(network: Network) -> Network:
    """The same network with means for convolutions and poolings, and without what bends or scales."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Dropout)):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, name, pool)
            elif isinstance(child, nn.Conv2d):
                nn.init.constant_(child.weight, 1 / child.weight[0].numel())
                if child.bias is not None:
                    nn.init.zeros_(child.bias)
    return network


def maps_of(stages: Stages, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    network = stages.network
    with stages.outputs.kept() as maps:
        network.headless(pixels)
    return tuple(maps[name] for name in stages.units)


def size_of(stages: Stages, number: int) -> int:
    with torch.inference_mode():
        return maps_of(stages, torch.full((1, 3, SIDE, COLUMNS), 0.1).double())[number].shape[2]


def seen(stages: Stages, number: int, *, is_last: bool) -> tuple[int, int]:
    """The first and the last row of pixels that the first, or the last, cell of a stage sees."""
    pixels = torch.full((1, 3, SIDE, COLUMNS), 0.1).double().requires_grad_()
    cell = -1 if is_last else 0
    maps_of(stages, pixels)[number][0, :, cell, cell].sum().backward()
    assert pixels.grad is not None
    rows = np.flatnonzero(pixels.grad.abs().sum(dim=(0, 1, 3)).numpy())
    return int(rows[0]), int(rows[-1])


def test_squeeze_and_excitation_sees_means_and_attention_is_far() -> None:
    found = stage_fields(describe("mobilenet_v3_small", "untrained"))
    assert [one.sees_means for one in found] == [False, True, True, True, True]
    assert [one.field for one in found][:2] == [3, 7]
    swin = stage_fields(describe("swin_t", "untrained"))
    assert swin[-1].field is None


def test_sides_with_shares_of_the_gradient() -> None:
    energy = np.zeros((21, 21), np.float32)
    energy[10, 10], energy[10, 13], energy[4, 10] = 6, 3, 1
    assert side_with(energy, (10, 10), 0.5) == 1
    assert side_with(energy, (10, 10), 0.8) == 7
    assert side_with(energy, (10, 10), 0.95) == 13
    assert side_with(np.zeros((5, 5), np.float32), (2, 2), 0.5) is None
    energy[0, 0] = 100
    assert side_with(energy, (10, 10), 0.5) == 21
    assert side_with(energy, (11, 11), 0.5) is None


def test_little_of_a_field_is_looked_at() -> None:
    backbone = describe("efficientnet_lite0")
    fields = stage_fields(backbone)
    for field, effective in zip(fields, effective_fields(backbone, fields), strict=True):
        assert field.field is not None
        assert effective.half is not None
        assert effective.most is not None
        assert effective.half <= effective.most <= field.field
    assert effective.most < 0.4 * field.field


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = CliRunner().invoke(cli, ["models", "--fields", "shufflenet_v2_x0_5"])
    assert shown.exit_code == 0, shown.output
    assert "63" in shown.stdout
    records = json.loads(CliRunner().invoke(cli, ["models", "--fields", "shufflenet_v2_x0_5", "--json"]).stdout)
    fields = stage_fields(describe("shufflenet_v2_x0_5", "untrained"))
    assert [StageField(*list(one.values())[:7]) for one in records] == fields
    assert all(one["half"] is None for one in records)
    assert CliRunner().invoke(cli, ["models", "--fields", "fake"]).exit_code == 1
    with pytest.raises(ModelError, match="no network of layers"):
        stage_fields(describe("fake"))

"""State dicts are read without torch as torch reads them; a file that is anything else is refused, and runs nothing."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cbir.backbones.backbone import Backbone
from cbir.backbones.state_dict import read_state_dict
from cbir.errors import WeightsError

BASE = torch.arange(24.0).reshape(4, 6)
TENSORS = {
    "plain": BASE,
    "transposed": BASE.T,
    "a view of the same": BASE[1:3, 2:5],
    "bfloat16": BASE.bfloat16() / 7,
    "half": BASE.half() / 7,
    "double": BASE.double() / 7,
    "bool": BASE > 3,
    "int8": BASE.to(torch.int8) - 12,
    "uint8": BASE.to(torch.uint8),
    "int16": BASE.to(torch.int16),
    "int32": BASE.to(torch.int32),
    "a number": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "parameter": torch.nn.Parameter(BASE + 1),
}

FORMATS = pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "pickles"])


def save(path: Path, content: Any, is_archive: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=is_archive)
    return path


def same(found: np.ndarray, tensor: torch.Tensor) -> bool:
    expected = tensor.detach()
    expected = expected.float() if expected.dtype is torch.bfloat16 else expected
    return found.dtype == expected.numpy().dtype and np.array_equal(found, expected.numpy())


@FORMATS
def test_tensors_of_all_types_and_layouts_are_torchs(tmp_path: Path, is_archive: bool) -> None:
    found = read_state_dict(save(tmp_path / "a.pth", TENSORS, is_archive))
    assert list(found) == list(TENSORS)
    assert [name for name, tensor in TENSORS.items() if not same(found[name], tensor)] == []


@FORMATS
def test_a_modules_state_dict_and_a_checkpoint_are_read(tmp_path: Path, is_archive: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    state = model.state_dict()
    assert isinstance(state, OrderedDict)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9).state_dict()
    checkpoint = {"epoch": 3, "loss": 0.5, "best": None, "state_dict": state, "optimizer": optimizer}
    for content in (state, checkpoint):
        found = read_state_dict(save(tmp_path / "a.pth", content, is_archive))
        assert list(found) == list(state)
        assert all(same(found[name], tensor) for name, tensor in state.items())


def test_the_bundled_weights_are_those_that_torch_reads(bundled: Backbone) -> None:
    path = Path(str(bundled.weights.path))
    found, expected = read_state_dict(path), torch.load(path, weights_only=True)
    assert list(found) == list(expected)
    assert all(same(found[name], tensor) for name, tensor in expected.items())


# --- what is refused


def archive(pickled: bytes, numbers: bytes = bytes(96), compression: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        members = {"data.pkl": pickled, "data/0": numbers, "version": b"3\n", **more}
        for name, content in members.items():
            made.writestr(f"a/{name}", content)
    return buffer.getvalue()


def pickles(pickled: bytes, numbers: bytes = bytes(96), key: str = "0", count: int = 24) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    storages = pickle.dumps([key], 2) + struct.pack("<q", count) + numbers
    return b"".join(pickle.dumps(one, 2) for one in head) + pickled + storages


def tensor(
    offset: int = 0,
    shape: tuple[int, ...] = (4, 6),
    strides: tuple[int, ...] = (6, 1),
    *,
    count: int = 24,
    kind: str = "FloatStorage",
) -> bytes:
    """The pickle of {"a": a tensor}, put together by hand."""

    def number(value: int) -> bytes:
        return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text("0") + text("cpu") + number(count) + b"tQ"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(shape) + numbers(strides)
    return b"\x80\x02}" + text("a") + made + b"\x89}tRs."


def test_tensors_put_together_by_hand_are_read(tmp_path: Path) -> None:
    numbers = np.arange(24, dtype="<f4").tobytes()
    for content in (archive(tensor(3, (2, 3), (6, 2)), numbers), pickles(tensor(3, (2, 3), (6, 2)), numbers)):
        (tmp_path / "a.pth").write_bytes(content)
        assert read_state_dict(tmp_path / "a.pth")["a"].tolist() == [[3, 5, 7], [9, 11, 13]]


def test_a_memo_of_two_thousand_million_places_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(archive(tensor().replace(b"}", b"}r\xff\xff\xff\x7f", 1)))
    tracemalloc.start()
    try:
        assert read_state_dict(tmp_path / "a.pth")["a"].shape == (4, 6)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


HUGE = 1 << 62


@pytest.mark.parametrize("wrap", [archive, pickles])
@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (tensor(1), "larger than its numbers"),
        (tensor(0, (4, 7), (6, 1)), "larger than its numbers"),
        (tensor(0, (4, 6), (7, 1)), "larger than its numbers"),
        (tensor(0, (2,), (HUGE,)), "larger than its numbers"),
        (tensor(HUGE, (1,), (1,)), "larger than its numbers"),
        (tensor(0, (HUGE,), (0,)), "larger than its numbers"),
        (tensor(0, (HUGE, HUGE), (0, 0)), "larger than its numbers"),
        (tensor(0, (0, HUGE, HUGE), (0, 0, 0)), "read safely"),
        (tensor(0, (1,) * 9, (1,) * 9), "impossible shape"),
        (tensor(0, (4, 6), (6,)), "impossible shape"),
        (tensor(-1), "pickle is damaged"),
        (tensor(0, (4, -6), (6, 1)), "pickle is damaged"),
        (tensor(23, (2,), (-1,)), "pickle is damaged"),
        (tensor(count=25), "not as many as it says"),
        (tensor(count=23), "not as many as it says"),
        (tensor(count=HUGE), "not as many as it says"),
        (tensor(kind="DoubleStorage"), "not as many as it says|too early"),
        (tensor(kind="QInt8Storage"), r"it names torch\.QInt8Storage"),
        (tensor().replace(b"_rebuild_tensor_v2", b"_rebuild_sparse_tensor"), r"names torch\._utils\._rebuild_sparse"),
        (pickle.dumps({"a": Path("b")}, 2), "it names "),
        (pickle.dumps(pytest.raises, 2), r"it names .*\.raises"),
        (b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.", r"it names os\.system"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", r"it calls collections\.OrderedDict"),
        (b"\x80\x02}]}s.", "pickle is damaged"),
        (b"\x80\x02}K\x01a.", "pickle is damaged"),
        (b"\x80\x02h\x07.", "pickle is damaged"),
        (b"\x80\x02R.", "pickle is damaged"),
        (b"\x80\x02(ccollections\nOrderedDict\no.", "opcode OBJ"),
        (pickle.dumps({1, 2}, 4), "opcode"),
        (b"\x80\x02X\xff\xff\xff\xffabc.", "pickle is damaged"),
        (b"", "pickle is damaged"),
    ],
)
def test_what_no_state_dict_has_is_refused(
    tmp_path: Path, wrap: Callable[[bytes], bytes], pickled: bytes, reason: str
) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(wrap(pickled))
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=reason) as raised:
            read_state_dict(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(path) in str(raised.value)
    assert "torch.save(model.state_dict()" in str(raised.value)
    assert most < 32 << 20


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (archive(tensor(), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (archive(tensor(), byteorder=b"big"), "little-endian"),
        (archive(tensor()).replace(b"data/0", b"data/1"), "the numbers '0' are missing"),
        (archive(tensor()).replace(b"data.pkl", b"data.txt"), "no data.pkl"),
        (archive(tensor())[:-30], "not a zip file"),
        (pickles(tensor())[:-1], "too early"),
        (pickles(tensor(), count=25), "not as many as it says"),
        (pickles(tensor(), key="1"), "its list of storages"),
        (pickle.dumps(1001, 2) * 3, "torch has not made it"),
    ],
)
def test_files_that_are_none_of_torchs_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=reason):
        read_state_dict(tmp_path / "a.pth")


def test_an_archive_whose_parts_overlap_is_refused(tmp_path: Path) -> None:
    """A list of contents may name the same bytes a thousand times; each is then read."""
    content = bytearray(archive(tensor(), bytes(96), **{f"data/{number}": bytes(96) for number in range(1, 9)}))
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        start = made.start_dir
    # every entry of the list is 90 bytes and more in truth: ten megabytes, it says now
    place = start
    while (place := content.find(b"PK\x01\x02", place)) >= 0:
        content[place + 20 : place + 28] = struct.pack("<II", 10 << 20, 10 << 20)
        place += 4
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="its parts are larger than the file"):
        read_state_dict(tmp_path / "a.pth")


@FORMATS
def test_damage_anywhere_is_told_or_harmless(tmp_path: Path, is_archive: bool) -> None:
    whole = save(tmp_path / "a.pth", {"a": BASE, "b": BASE[1:].T}, is_archive).read_bytes()
    path, random = tmp_path / "b.pth", np.random.default_rng(0)
    refused = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(damaged if place % 2 else whole[:place])
        try:
            found = read_state_dict(path)
        except WeightsError:
            refused += 1
        else:
            assert all(isinstance(one, np.ndarray) and one.size <= 24 for one in found.values())
    assert refused > len(whole) // 2


def test_a_folder_and_a_device_are_no_weights(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(WeightsError, match="read safely"):
            read_state_dict(path)

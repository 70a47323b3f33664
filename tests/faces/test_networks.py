"""The networks for faces compute what their makers' own runtimes do, on OpenVINO and on torch alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.engines.precision import drawn_images
from cbir.errors import EngineError, WeightsError
from cbir.faces import mtcnn, resnet
from cbir.faces.chips import DlibChips
from cbir.faces.finder import FaceFinder
from cbir.faces.packages import RECOGNITION, has_packages
from cbir.faces.runtime import LAST, PROPOSER, RECOGNISER, REFINER, Known, Runtime
from tests.faces.conftest import read

pytestmark = pytest.mark.skipif(not has_packages(), reason="the packages of cbir[faces] are not installed")


def chips_of(finder: FaceFinder, folder: Path) -> np.ndarray:
    """Chips of the largest faces of some people."""
    found = []
    for path in sorted(folder.glob("*/*.jpg"))[::13]:
        image = read(path)
        faces = finder._networks.find(image)
        found.append(DlibChips().cut(np.asarray(image), faces.corners[:1], faces.points[:1])[0])
    return np.stack(found)


def test_faces_become_the_numbers_that_dlib_gives_them(finder: FaceFinder, people: Path) -> None:
    import dlib

    chips = chips_of(finder, people)
    network = dlib.face_recognition_model_v1(str(RECOGNITION.path))
    expected = np.array([network.compute_face_descriptor(chip) for chip in chips])
    found = Runtime(engine="openvino:f32").open(RECOGNISER)(chips)()[0]
    assert len(chips) > 5
    assert np.abs(found - expected).max() < 1e-5


def test_drawn_pictures_become_the_numbers_that_dlib_gives_them() -> None:
    import dlib

    pictures = drawn_images(3, resnet.SIDE)
    network = dlib.face_recognition_model_v1(str(RECOGNITION.path))
    expected = np.array([network.compute_face_descriptor(picture) for picture in pictures])
    found = Runtime(engine="openvino:f32").open(RECOGNISER)(pictures)()[0]
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("known", [PROPOSER, REFINER, LAST, RECOGNISER], ids=lambda known: known.name)
def test_torch_computes_the_same(known: Known) -> None:
    pytest.importorskip("torch")
    side = known.shape[1]
    pictures = drawn_images(1, 64)[:, :50] if side == -1 else drawn_images(2, side)
    in_graph, in_torch = (Runtime(engine=one).open(known)(pictures)() for one in ("openvino:f32", "torch"))
    assert [one.shape for one in in_graph] == [one.shape for one in in_torch]
    assert max(np.abs(one - other).max() for one, other in zip(in_graph, in_torch, strict=True)) < 1e-4


def test_torch_is_not_asked_where_there_is_no_room_for_openvino(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Runtime, "_in_openvino", refuse)
    with pytest.raises(MemoryError):
        Runtime().open(RECOGNISER)
    assert not caplog.records


def test_precisions_that_a_runtime_has_not_are_refused() -> None:
    pytest.importorskip("torch")
    with pytest.raises(EngineError, match="in f32, not in bf16"):
        Runtime(engine="torch:bf16")


def test_weights_of_another_network_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    content = RECOGNITION.read()
    with pytest.raises(WeightsError, match="hold 58 tensors and not 59"):
        resnet._weights(content[:-100_000])
    monkeypatch.setattr(resnet, "_LEVELS", (*resnet._LEVELS[:-1], (128, 1)))
    with pytest.raises(WeightsError, match="not those of dlib's network"):
        resnet._weights(content)
    monkeypatch.setattr(mtcnn, "PROPOSAL", mtcnn.REFINEMENT)
    with pytest.raises(WeightsError, match="not those of MTCNN"):
        mtcnn.proposal()

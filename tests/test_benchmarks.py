"""The benchmarks' arithmetic, and that what they measure with is the same each time."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import agreement, faces, features, gpu, harness, machine, pictures, processes, segmentation
from benchmarks.__main__ import BENCHMARKS, ON_REQUEST
from benchmarks.agreement import Scores, Setting
from benchmarks.harness import Pair, take_turns
from benchmarks.results import measured, noted
from benchmarks.targets import TARGETS, Target, format_value

CHECKOUT = Path(__file__).resolve().parents[1]

needs_proc = pytest.mark.skipif(not processes.is_supported(), reason="this system does not tell processes' memory")


def test_a_ratio_is_that_of_the_medians() -> None:
    assert Pair([3.0, 100.0, 2.0], [1.0, 0.5, 50.0]).ratio == 3.0
    assert Pair([2.0, 4.0], [1.0, 2.0]).ratio == 2.0


def test_the_two_sides_take_turns_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []

    def side(name: str, seconds: float) -> float:
        order.append(name)
        return seconds * (100 if len(order) <= 2 else 1)

    pair = take_turns(lambda: side("a", 6), lambda: side("b", 2), rounds=2)
    assert "".join(order) == "ababab"
    assert pair.to_json() == {"first": [6, 6], "second": [2, 2], "ratio": 3}


def test_a_command_that_fails_is_no_measurement() -> None:
    assert harness.run_command([sys.executable, "-c", "print(1)"]) == "1\n"
    with pytest.raises(RuntimeError, match="exited with 3: no"):
        harness.run_command([sys.executable, "-c", "import sys; sys.stderr.write('no'); sys.exit(3)"])
    with pytest.raises(RuntimeError, match="exited with 3"):
        processes.peak_memory([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_worker_keeps_its_state_and_is_another_process() -> None:
    with harness.Worker() as worker:
        assert worker.call(len, "four") == 4
        there = worker.call(processes.memory, "self", "Pid")
        assert there == worker.call(processes.memory, "self", "Pid") != processes.memory("self", "Pid")


@needs_proc
def test_the_peak_of_a_process_and_of_those_below_it() -> None:
    allocate = "import time; kept = b'x' * {} * 2**20; time.sleep(1)"
    child = allocate.format(60)
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); {allocate.format(100)}"
    bare = processes.peak_memory([sys.executable, "-c", "import subprocess, time; time.sleep(1)"])
    peaks = processes.peak_memory([sys.executable, "-c", parent])
    assert peaks.own - bare.own == pytest.approx(100, abs=8)
    # the child has gone by the time that its parent grows: the largest sum counts, not the sum of the largest
    assert peaks.tree == pytest.approx(peaks.own, abs=8)
    below = f"import subprocess, sys; kept = b'x' * 40 * 2**20; subprocess.run([sys.executable, '-c', {child!r}])"
    both = processes.peak_memory([sys.executable, "-c", below])
    assert both.own - bare.own == pytest.approx(40, abs=8)
    assert both.tree - both.own == pytest.approx(60 + bare.own, abs=12)


@needs_proc
def test_the_peak_of_a_process_while_it_does_something() -> None:
    with harness.Worker() as worker:
        process = worker.call(os.getpid)
        allocate = "(b'x' * 80 * 2**20, __import__('time').sleep(0.7))[0][:1]"
        before, most = processes.peak_while(process, lambda: worker.call(eval, allocate))
        assert most - before == pytest.approx(80, abs=8)
        assert before == pytest.approx(worker.call(processes.memory, "self", "RssAnon"), abs=8)
        with pytest.raises(ZeroDivisionError):
            processes.peak_while(process, lambda: worker.call(eval, "1 / 0"))


def test_a_figure_is_held_against_its_bound() -> None:
    least, most = Target(1, "x", "", 9.0, at_least=True), Target(1, "x", "", 0.25)
    assert least.is_reached(9.0)
    assert not least.is_reached(8.99)
    assert most.is_reached(0.25)
    assert not most.is_reached(0.26)
    reached, missed = measured("memory", 59.0), measured("memory", 61.0, "much", seconds=[1.0])
    assert reached.lines()[0].endswith("at most 60 MB        reached")
    assert [line.split()[-1] for line in missed.lines()] == ["REACHED", "much"]
    assert json.loads(json.dumps(missed.to_json()))["reached"] is False
    assert noted(1, "by the way", 1234.5, "MB").lines() == [f"1  {'by the way':<68} {'1,234 MB':>14}"]
    assert format_value(0.99945, "cosine") == "0.99945 cosine"


def test_a_figure_is_not_rounded_across_its_bound() -> None:
    assert format_value(0.99896, "cosine") != format_value(0.999, "cosine")
    assert format_value(0.98996, "") != format_value(0.99, "of 1")


def test_every_point_has_benchmarks_and_every_benchmark_has_targets() -> None:
    points = {target.point for target in TARGETS.values()}
    assert points == set(range(1, max(points) + 1))
    assert {target.benchmark for target in TARGETS.values()} == set(BENCHMARKS)
    assert set(ON_REQUEST) < set(BENCHMARKS)
    readme = (CHECKOUT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for name in BENCHMARKS:
        assert f"| `{name}` |" in readme
        files = sorted((CHECKOUT / "benchmarks").glob(f"{name}*.py"))  # objects_search is a part of objects
        source = "".join(file.read_text(encoding="utf-8") for file in files)
        for key, target in TARGETS.items():
            if target.benchmark == name:
                # extraction makes its keys of networks' names, and precision in the middle: f"precision-{key}-ten"
                made = (one.split("{key}") for one in re.findall(r'f"(\w+-\{key\}[\w-]*)"', source))
                is_made = any(key.startswith(first) and key.endswith(last) for first, last in made)
                assert f'"{key}"' in source or key.split("-", 1)[1] in source or is_made, key


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_can_be_imported(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{name}").run)


def test_people_are_held_against_the_others_of_the_same_picture(tmp_path: Path) -> None:
    halves, whole = np.repeat([[0, 0, 1, 1]], 4, axis=0), np.zeros((4, 4), dtype=np.int64)
    for name, people in (("alike.npz", [halves, halves]), ("apart.npz", [halves, whole])):
        np.savez(tmp_path / name, segmentations=np.stack(people))
    assert agreement.of_people([tmp_path / "alike.jpg"]) == pytest.approx((1, 1, 0))
    # each half overlaps the whole by a half, and so does the whole its better half; 8 of the 15 others of a pixel are
    # in the other half; one bit tells the half
    assert agreement.of_people([tmp_path / "apart.jpg"]) == pytest.approx((0.5, 7 / 15, 1))
    both = agreement.of_people([tmp_path / "alike.jpg", tmp_path / "apart.jpg"])
    assert both == pytest.approx((0.75, 11 / 15, 0.5))


def test_every_setting_of_a_grid_is_beaten_only_if_the_best_of_each_measure_is() -> None:
    grid = [Setting(0.8, 500, 1000), Setting(1.2, 100, 100)]
    found = [Scores(0.58, 0.79, 1.75), Scores(0.50, 0.81, 2.10)]
    for ours, best, every in (
        (Scores(0.61, 0.82, 1.60), True, True),
        (Scores(0.61, 0.80, 1.60), True, False),  # the second setting's index is higher
        (Scores(0.61, 0.82, 1.80), False, False),
    ):
        results = list(segmentation._felzenszwalb(ours, grid, found))
        assert [(result.key, result.value) for result in results] == [
            ("segment-felzenszwalb", best),
            ("segment-felzenszwalb-every", every),
        ]
        assert "sigma 0.8, scale 500, min_size 1000" in results[0].details


def test_quality_is_left_out_with_a_reason_where_there_are_no_pictures(tmp_path: Path) -> None:
    (result,) = segmentation._quality(harness.Settings(tmp_path, tmp_path, tmp_path / "shared"))
    assert (result.key, result.value) == (None, 0)
    assert "has none" in result.details


@pytest.mark.slow
def test_all_that_a_card_is_asked_can_be_tried_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    settings = harness.Settings(tmp_path / "work", tmp_path / "scratch", tmp_path / "shared")
    network = "shufflenet_v2_x0_5"  # the least work of those that torchvision has
    sizes = gpu.Sizes(
        [network], pictures=8, plain=4, compared=3, rounds=1, usual=2, batches=(2,), precisions=("float32",)
    )
    results = list(gpu.Card(settings, replace(sizes, seconds=600), "cpu").measure())
    found = {result.what.removeprefix(f"{network}").lstrip(": "): result for result in results}
    likeness = found["(untrained), features against float32: worst picture"]
    assert len(likeness.raw) >= 8
    assert likeness.value > 0.999
    assert found["worst map"].value > 0.999
    # cosines say nothing of an untrained network's features: a wrong picture's are as far off as any two are
    assert found["an index against the plain loop, worst picture"].raw["distance"] < 0.1
    assert found["time in which the card has a network's work"].value <= 1
    assert {result.unit for result in results} >= {"times", "pictures/s", "cosine", "MB"}
    assert all(result.value > 0 for result in results if result.unit != "MB")
    json.dumps([result.to_json() for result in results])
    assert "Traceback" not in capsys.readouterr().err
    assert list(gpu.Card(settings, replace(sizes, seconds=0), "cpu").measure()) == []
    assert "the last 7 of 7 steps are left out" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_without_a_card_nothing_is_measured_of_one(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert list(gpu.run(harness.Settings(tmp_path, tmp_path, tmp_path))) == []
    assert "There is no CUDA device here" in capsys.readouterr().out


def test_an_unknown_benchmark_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "speed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 2
    assert "there is no benchmark speed" in done.stderr


def test_the_machine_is_described() -> None:
    described = machine.describe()
    assert described["cores"] >= 1
    assert described["packages"]["numpy"] == np.__version__
    assert "cores" in machine.headline(described)


def test_features_are_the_same_each_time_clustered_and_of_length_one() -> None:
    rows = features.CHUNK + 100
    everything = features.collection(rows, 64)
    assert everything.shape == (rows, 64)
    assert everything.dtype == np.float32
    assert np.array_equal(everything, np.concatenate(list(features.chunks(rows, 64))))
    assert np.allclose(np.linalg.norm(everything, axis=1), 1, atol=1e-5)
    assert everything.min() == 0
    queries = features.queries(20, rows, 64)
    assert np.array_equal(queries, features.queries(20, rows, 64))
    cosines = queries @ everything.T
    assert cosines.max() < 0.9999  # none is in the collection
    # its own cluster is far nearer than the rest
    tenth = np.sort(cosines, axis=1)[:, -10]
    assert (tenth > np.median(cosines, axis=1) + 0.1).all()


def contents(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


@pytest.mark.parametrize("are_there", [True, False])
def test_small_pictures_are_the_same_each_time_and_no_two_alike(tmp_path: Path, are_there: bool) -> None:
    shared = tmp_path / "shared"
    if are_there:
        (shared / "bsds500" / "train").mkdir(parents=True)
        for number in range(2):
            pictures.draw(120, 80, number).save(shared / "bsds500" / "train" / f"{number}.jpg")
    first, second = (contents(pictures.small(tmp_path / name, shared, 12)) for name in ("one", "two"))
    assert first == second
    assert len(set(first)) == 12
    assert first[:5] == contents(pictures.small(tmp_path / "one", shared, 5))


def test_thumbnails_are_small_and_no_two_alike(tmp_path: Path) -> None:
    paths = pictures.thumbnails(tmp_path, tmp_path / "missing", 60)
    assert len(set(contents(paths))) == 60
    with Image.open(paths[0]) as image:
        assert image.size == (pictures.THUMBNAIL, pictures.THUMBNAIL)


def test_drawn_pictures_have_the_statistics_of_photos() -> None:
    grey = np.asarray(pictures.draw(512, 384, seed=3).convert("L"), dtype=np.float64)
    assert grey.std() > 20
    spectrum = np.abs(np.fft.rfft2(grey - grey.mean()))
    across = np.fft.rfftfreq(512)[np.newaxis]
    down = np.fft.fftfreq(384)[:, np.newaxis]
    frequency = np.hypot(down, across)
    bands = [spectrum[(frequency >= low) & (frequency < 2 * low)].mean() for low in (0.01, 0.02, 0.04, 0.08, 0.16)]
    slope = np.polyfit(np.log(2.0 ** np.arange(5)), np.log(bands), 1)[0]
    assert -2.2 < slope < -0.6  # photos: about -1; drawn objects have nothing but edges, about -1.5


def test_a_tree_has_as_many_files_as_it_should(tmp_path: Path) -> None:
    paths = pictures.tree(tmp_path, 2 * pictures.FILES_A_FOLDER + 1)
    assert sorted(tmp_path.glob("*/*.jpg")) == paths
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_holds_just_the_files_that_were_named(tmp_path: Path) -> None:
    paths = pictures.tree(tmp_path / "tree", 5)
    for count in (5, 3):
        folder = pictures.folder_of(paths[:count], tmp_path / "folder")
        assert sorted(path.name for path in folder.iterdir()) == [path.name for path in paths[:count]]


def test_groups_of_faces_are_measured_by_each_face() -> None:
    labels, owners = np.array([0, 0, 1, -1, -1]), np.array([0, 0, 0, 1, 1])
    precision, recall = faces.b_cubed(labels, owners)
    assert precision == 1.0
    assert recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 / 2 + 1 / 2) / 5)
    assert faces.b_cubed(np.zeros(4, np.int64), np.array([0, 0, 1, 1])) == (0.5, 1.0)


def test_made_vectors_of_faces_lie_as_those_of_people_do() -> None:
    vectors = faces.made_vectors(400, 40)
    cosines = vectors @ vectors.T
    apart = np.sqrt(np.maximum(2 - 2 * cosines, 0))[np.triu_indices(400, 1)]
    near = np.sort(apart)[: 400 * 10 // 2 - 400]
    assert np.median(near) == pytest.approx(0.3, abs=0.02)
    assert np.median(apart) == pytest.approx(0.72, abs=0.05)

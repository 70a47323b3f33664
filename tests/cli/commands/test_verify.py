"""`cbir verify`: three answers, each with an exit code of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.cli.commands import verify
from cbir.faces import compare
from cbir.faces.packages import has_packages

pytestmark = pytest.mark.skipif(not has_packages(), reason="the packages of cbir[faces] are not installed")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["verify", *map(str, arguments)])


@pytest.fixture(scope="module")
def people(shared) -> Path:
    """The folder of people."""
    return shared("faces")


def test_each_answer_has_its_exit_code() -> None:
    assert verify.EXIT_CODES == {compare.SAME: 0, compare.DIFFERENT: 5, compare.CANNOT_SAY: 6}


def test_one_person_is_the_same(people: Path) -> None:
    result = run(people / "lfw-Kofi_Annan" / "1.jpg", people / "lfw-Kofi_Annan" / "2.jpg")
    assert result.exit_code == 0, result.output
    first, second, *pictures = result.stdout.splitlines()
    assert first == "same: They show the same person."
    assert second.startswith("distance 0.")
    assert [line.rpartition("/")[2].split(" (")[0] for line in pictures] == ["1.jpg: 1 face", "2.jpg: 1 face"]


def test_two_people_are_different(people: Path) -> None:
    result = run(people / "lfw-Kofi_Annan" / "1.jpg", people / "ageitgey-obama" / "1.jpg", "--json")
    assert result.exit_code == 5, result.output
    record = json.loads(result.stdout)
    assert record["answer"] == "different"
    assert record["probability"] < 0.1
    assert record["distance"] > record["thresholds"]["different"] > record["thresholds"]["same"]


def test_of_small_faces_it_cannot_be_said(people: Path, tmp_path: Path) -> None:
    image = Image.open(people / "ageitgey-obama" / "1.jpg")
    scale = 26 / 140  # the face is 140 pixels high
    image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS).save(
        tmp_path / "small.png"
    )
    result = run(people / "lfw-Kofi_Annan" / "1.jpg", tmp_path / "small.png")
    assert result.exit_code == 6, result.output
    assert result.stdout.startswith("cannot say: ")
    assert "pixels high" in result.stdout


def test_of_several_faces_it_is_told_which_is_taken(people: Path) -> None:
    several = people / "group" / "obama_and_biden.jpg"
    result = run(people / "ageitgey-obama" / "1.jpg", several)
    assert "obama_and_biden.jpg: 3 faces; the largest is taken (229,73,36,46)" in result.stdout
    answers = {}
    for number in (1, 2):
        result = run(people / "ageitgey-obama" / "1.jpg", several, "--face", 1, "--face", number, "--json")
        record = json.loads(result.stdout)
        assert record["images"][1]["face"]["number"] == number
        answers[record["answer"]] = result.exit_code
    assert answers.items() <= verify.EXIT_CODES.items()
    assert answers.get("same") == 0


def test_a_picture_without_a_face_is_a_failure(people: Path, draw_picture, tmp_path: Path) -> None:
    draw_picture(1, (300, 300)).save(tmp_path / "drawn.png")
    result = run(people / "lfw-Kofi_Annan" / "1.jpg", tmp_path / "drawn.png")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: No face is found in {tmp_path / 'drawn.png'}.\n"
    result = run(people / "lfw-Kofi_Annan" / "1.jpg", people / "lfw-Kofi_Annan" / "1.jpg", "--face", "2")
    assert (result.exit_code, "Only one face is found in" in result.stderr) == (1, True)


def test_what_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    result = run(tmp_path / "none.jpg", tmp_path / "none.jpg")
    assert (result.exit_code, "there is no such file" in result.stderr) == (1, True)


def test_more_faces_than_pictures_are_wrong_usage(tmp_path: Path) -> None:
    assert run("a.jpg", "b.jpg", "--face", "1", "--face", "2", "--face", "3").exit_code == 2

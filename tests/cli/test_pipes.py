"""Many queries through pipes: answers while the list is being written, pipes that close, queries that fail."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.cli.options.images import NamedPictures, Stdin
from cbir.cli.options.lists import NameList
from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError, IndexConflictError
from cbir.extract import loader
from cbir.extract.of_index import backbone_of
from cbir.index.format import META
from cbir.index.open import open_index
from cbir.search import resolve
from cbir.search.from_index import indexed_queries
from cbir.search.queries import AnyQuery, CombinedQuery, Query, WordQuery
from cbir.search.searcher import Searcher
from tests.helpers.feature_index import make_index
from tests.helpers.waiting import GUARD_SECONDS

FORMATS = ("json", "jsonl", "csv", "tsv", "paths", "table")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """A folder of 12 pictures, indexed as `photos`, and beside it `new.png` and `other.png`, which are not."""
    root = tmp_path_factory.mktemp("pipes")
    (root / "photos").mkdir()
    for seed in range(12):
        draw_picture(seed).save(root / "photos" / f"{seed:02}.jpg")
    draw_picture(50).save(root / "new.png")
    draw_picture(51).save(root / "other.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBIR_HOME", str(root / "indexes"))
        assert run("index", root / "photos", "-q").exit_code == 0
    return root / "photos"


@pytest.fixture(autouse=True)
def _home(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBIR_HOME", str(photos.parent / "indexes"))


def run(*arguments: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=input)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "cbir", *map(str, arguments)]


def test_a_coprocess_gets_each_answer_before_it_asks_again(photos: Path) -> None:
    asks = [photos / "03.jpg", photos.parent / "new.png", photos / "gone.jpg", photos.parent / "new.png"]
    arguments = command("search", "-0", "--files-from", "-", "--format", "jsonl", "-k", "2")
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        for ask in asks:
            process.stdin.write(os.fsencode(ask) + b"\0")
            process.stdin.flush()
            record = json.loads(process.stdout.readline())  # empty when the watchdog has bitten
            assert record["query"] == str(ask)
            assert ("error" in record, len(record["matches"])) == ((True, 0) if ask.stem == "gone" else (False, 2))
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 1
        watchdog.cancel()


def test_a_pipe_that_closes_ends_a_search_with_queries_under_way(photos: Path) -> None:
    """An endless list: nothing but the closed pipe ends it."""
    listing = f"yes {photos / '03.jpg'} | {' '.join(command('search', '--files-from', '-', '--format', 'csv'))}"
    script = f"set -o pipefail; ({listing}; echo $? >&2) | head -2"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=GUARD_SECONDS, check=False)
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr in ("0\n", "141\n")  # of the two, `yes` may be the last to learn it
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("format_", FORMATS)
def test_a_list_gives_what_its_names_give(photos: Path, format_: str) -> None:
    names = [str(photos / "03.jpg"), str(photos.parent / "new.png"), str(photos / "05.jpg")]
    expected = run("search", *names, "--format", format_, "-k", "3").stdout
    assert expected
    for separator, options in ((b"\n", []), (b"\r\n", []), (b"\0", ["-0"])):
        listing = separator.join(map(str.encode, names))
        result = run("search", "--files-from", "-", *options, "--format", format_, "-k", "3", input=listing)
        if format_ == "paths" and options:
            assert result.stdout.split("\0") == [*expected.splitlines(), ""]
        else:
            assert result.stdout == expected
    alone = run("search", "--files-from", "-", "--format", format_, input=names[0].encode()).stdout
    if format_ != "table":
        assert alone == run("search", names[0], "--format", format_).stdout


def test_a_query_that_failed_has_a_record_in_every_format(photos: Path) -> None:
    gone, there = photos / 'a "gone", one.jpg', photos / "03.jpg"
    problem = f"Cannot read {gone}: there is no such file."
    results = {format_: run("search", gone, there, "-k", "1", "--format", format_) for format_ in FORMATS}
    for result in results.values():
        assert result.exit_code == 1
        assert problem in result.stderr
    first, second = json.loads(results["json"].stdout)
    assert (first["query"], first["matches"], first["error"]) == (str(gone), [], problem)
    assert "error" not in second
    assert [json.loads(line) for line in results["jsonl"].stdout.splitlines()] == [first, second]
    for format_, delimiter in (("csv", ","), ("tsv", "\t")):
        one, other = csv.DictReader(io.StringIO(results[format_].stdout), delimiter=delimiter)
        assert {key: value for key, value in one.items() if value} == {"query": str(gone), "error": problem}
        assert (other["query"], other["error"]) == (str(there), "")
    assert results["paths"].stdout == second["matches"][0]["path"] + "\n"
    assert str(gone) not in results["table"].stdout


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [(b"a\0b\0", [], "add -0"), (b"x" * (3 << 20), [], "names that end in"), (b"y" * (3 << 20), ["-0"], "without -0")],
)
def test_lists_that_are_none_are_told(data: bytes, options: list[str], message: str) -> None:
    result = run("search", "--files-from", "-", *options, input=data)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Cannot read the list -: ")
    assert message in result.stderr


def test_a_long_list_is_not_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"picture.jpg\n" * 200_000)
    names = NameList(tmp_path / "list", null=False)
    iterator = iter(names)
    first = [next(iterator) for _ in range(2000)]
    assert set(first) == {"picture.jpg"}
    assert names.arrived <= 1024
    assert len(first) + len(list(iterator)) == 200_000


def test_a_batch_ends_where_the_next_name_is_not_written_yet(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list")
    names = NameList(tmp_path / "list", null=False)
    batches = names.batches()
    with (tmp_path / "list").open("w", buffering=1) as file:
        for written in (["1.jpg"], ["2.jpg", "3.jpg"], ["4.jpg"]):
            file.write("".join(f"{name}\n" for name in written))
            told: list[str] = []
            while len(told) < len(written):  # a thread that reads slowly may make two batches of them
                told += next(batches)
            assert told == written
    assert not [name for batch in batches for name in batch]


def test_pictures_are_named_before_those_of_each_batch(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("2.jpg\n3.jpg\n")
    pictures = NamedPictures([Path("1.jpg")], tmp_path / "list", Stdin(), null=False)
    assert not pictures.are_none()
    first, *others = [[one.name for one in batch] for batch in pictures.batches()]
    assert (first, [name for batch in others for name in batch]) == (["1.jpg"], ["2.jpg", "3.jpg"])
    pictures = NamedPictures([], tmp_path / "list", Stdin(), null=False)
    assert not pictures.are_none()
    assert pictures.at_least >= 1
    assert [one.name for batch in pictures.batches() for one in batch] == ["2.jpg", "3.jpg"]
    (tmp_path / "list").write_text("\n\n")
    assert NamedPictures([], tmp_path / "list", Stdin(), null=False).are_none()


def test_a_list_that_cannot_be_read_is_told_when_its_names_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(CbirError, match="no such file"):
        list(NameList(tmp_path / "none", null=False))


# ---- the searcher


def test_batches_change_no_result(photos: Path) -> None:
    new = [photos.parent / "new.png", photos.parent / "other.png"]
    asks = [photos / "03.jpg", new[0], new[0], photos / "gone.jpg", new[1], new[0], photos / "05.jpg"]
    searcher = Searcher(open_index("photos"))

    def told(*batches: list[Path]) -> list[object]:
        results = [result for batch in batches for result in searcher.search(iter(batch))]
        return [(result.query.name, result.matches, str(result.error)) for result in results]

    plain = told(asks)
    assert len(plain) == len(asks)
    for places in ([1], [0, 7], range(1, 7), [3, 4]):
        starts = [0, *places]
        assert told(*(asks[start:end] for start, end in zip(starts, [*places, None], strict=True))) == plain


def test_a_new_picture_of_an_earlier_batch_needs_no_network(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searcher = Searcher(open_index("photos"))
    (first,) = searcher.search([photos.parent / "new.png"])
    monkeypatch.setattr(LazyEngine, "opened", lambda _: pytest.fail("the network was to run"))
    (again,) = searcher.search([photos.parent / "new.png"])
    assert again.matches == first.matches


def test_pictures_that_need_no_look_do_not_wait_for_the_others(photos: Path) -> None:
    """Of an endless stream of queries by rows of an index, each is answered soon."""
    index = open_index("photos")
    rows = list(indexed_queries(index, backbone_of(index)))
    taken = 0

    def endless() -> Iterator[AnyQuery]:
        nonlocal taken
        yield Query.from_path(photos.parent / "new.png")
        while True:
            taken += 1
            yield rows[taken % 12]

    results = Searcher(index).search(endless())
    for _ in range(200):
        next(results)
    assert taken < 400


@pytest.mark.parametrize("kind", [list, iter])
def test_a_query_that_is_refused_is_refused_at_its_turn(photos: Path, kind: Callable[[list[Query]], Any]) -> None:
    searcher = Searcher(open_index("photos"))
    good, bad = Query.from_path(photos.parent / "new.png"), Query.from_path(photos / "03.jpg", parts=True)
    results = searcher.search(kind([good, good, bad, good]))
    assert [len(next(results).matches) for _ in range(2)] == [10, 10]
    with pytest.raises(CbirError, match="has no parts"):
        next(results)
    with pytest.raises(TypeError, match="no int"):
        list(searcher.search([1]))  # type: ignore[list-item]


def test_few_pictures_are_remembered_and_no_result_depends_on_it(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlike = Query.from_path(photos.parent / "new.png")
    data = [path.read_bytes() for path in sorted(photos.iterdir())]
    pictures = [Query(data[n % 12] + bytes(n // 12 + 1), str(n)) for n in range(96)]  # each content a new one
    queries = [CombinedQuery((one,), (unlike,)) for one in [*pictures, *pictures[:20]]]
    expected = [result.matches for result in Searcher(open_index("photos")).search(queries, count=3)]
    monkeypatch.setattr(loader, "AHEAD", 2)
    monkeypatch.setattr(resolve, "REMEMBERED", 40)
    most = 0
    results = Searcher(open_index("photos")).search(iter(queries), count=3)
    for number, (result, matches) in enumerate(zip(results, expected, strict=True)):
        assert result.matches == matches
        if number % 10 == 5:  # looking at all objects takes a quarter of a second
            most = max(most, sum(isinstance(one, resolve.QueryPicture) for one in gc.get_objects()))
    assert 0 < most < 80


# ---- --query-index


def test_the_pictures_of_another_index_are_queries(photos: Path, tmp_path: Path, draw_picture: Callable) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for seed in (2, 70, 71):
        draw_picture(seed).save(other / f"{seed}.jpg")
    shutil.copy(photos / "04.jpg", other / "copy of 04.jpg")
    assert run("index", other, "-q").exit_code == 0
    expected = run("search", *sorted(other.iterdir()), "--index", "photos", "--format", "json", "-k", "4")
    for path in other.iterdir():
        path.unlink()  # the pictures are not touched
    result = run("search", "--query-index", "other", "--index", "photos", "--format", "json", "-k", "4")
    assert result.exit_code == 0, result.stderr
    ours, theirs = json.loads(result.stdout), json.loads(expected.stdout)
    assert [record["query"] for record in ours] == [record["query"] for record in theirs]
    for one, same in zip(ours, theirs, strict=True):
        assert [match["path"] for match in one["matches"]] == [match["path"] for match in same["matches"]]
        scores = [match["score"] for match in one["matches"]]
        assert scores == pytest.approx([match["score"] for match in same["matches"]], abs=2e-3)
    assert ours[-1]["matches"][0]["path"] == str(photos / "04.jpg")  # a copy is not the query's own file
    run("index", "--index", "other", "--prune", "-q")


@pytest.mark.parametrize("options", [[], ["--self"], ["--no-rerank"], ["--word", "bird"], ["--min-score", "0.1"]])
def test_the_pictures_of_the_same_index_leave_themselves_out(photos: Path, options: list[str]) -> None:
    arguments = ("--index", "photos", "--format", "json", "-k", "12", *options)
    found = json.loads(run("search", "--query-index", "photos", *arguments).stdout)
    assert found == json.loads(run("search", *sorted(photos.iterdir()), *arguments).stdout)
    for record in found:
        paths = [match["path"] for match in record["matches"]]
        assert (record["query"] in paths) == ("--self" in options)


def test_only_features_of_the_same_network_are_compared(photos: Path, tmp_path: Path) -> None:
    index = open_index("photos")
    other = make_index(tmp_path / "other", np.eye(3, 1280, dtype=np.float32))
    backbone = backbone_of(index)
    with pytest.raises(IndexConflictError, match="another weights"):
        list(indexed_queries(other, backbone))
    resized = replace(backbone, preprocessing=replace(backbone.preprocessing, resize=300))
    with pytest.raises(IndexConflictError, match="another preprocessing"):
        list(indexed_queries(index, resized))
    # which none of an index has that was not forged
    model = {**index.model, "preprocessing": {**index.model["preprocessing"], "resize": 300}}
    shutil.copytree(index.directory, tmp_path / "resized")
    (tmp_path / "resized" / META).write_text(index.meta.but(model=model).dump())
    result = run("search", "--query-index", str(tmp_path / "resized"), "--index", "photos")
    assert result.exit_code == 1
    assert "its preprocessing is not that of efficientnet_lite0" in result.stderr
    shutil.rmtree(tmp_path / "resized")


def test_queries_of_an_index_load_no_network(photos: Path) -> None:
    code = (
        "import sys\nfrom cbir.cli import cli\ntry: cli(sys.argv[1:])\n"
        "finally: print(*{'torch', 'openvino'} & set(sys.modules), file=sys.stderr)"
    )
    arguments = ["search", "--query-index", "photos", "--index", "photos", "-k", "1", "--format", "jsonl"]
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert (len(result.stdout.splitlines()), result.stderr) == (12, "\n")


@pytest.mark.parametrize(
    ("arguments", "message"), [(["x.jpg"], "name pictures, or an index"), (["--together"], "each is a query")]
)
def test_what_cannot_be_with_query_index(arguments: list[str], message: str) -> None:
    result = run("search", "--query-index", "photos", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_words_alone_are_still_answered_at_once(photos: Path) -> None:
    results = Searcher(open_index("photos")).search(iter([WordQuery.from_text("bird"), photos / "03.jpg"]))
    assert [len(result.matches) > 0 for result in results][1]


# ---- other commands


def test_segment_takes_lists_and_tells_what_failed(photos: Path, tmp_path: Path) -> None:
    names = [photos / "03.jpg", photos / "gone.jpg"]
    listing = b"".join(os.fsencode(name) + b"\0" for name in names)
    common = ("segment", "--files-from", "-", "-0", "--out", tmp_path, "-q", "--fast")
    result = run(*common, "--format", "jsonl", "--coco", tmp_path / "coco.json", input=listing)
    one, other = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 1
    assert (one["image"], other["image"]) == tuple(map(str, names))
    assert one["segments"]
    assert "there is no such file" in other["error"]
    assert len(json.loads((tmp_path / "coco.json").read_text())["images"]) == 1
    *_, last = csv.DictReader(io.StringIO(run(*common, "--format", "csv", input=os.fsencode(names[1])).stdout))
    assert {key for key, value in last.items() if value} == {"image", "error"}
    assert run("segment").exit_code == 2


def test_tags_tell_what_failed_in_csv(photos: Path) -> None:
    listing = os.fsencode(photos / "gone.jpg") + b"\0"
    result = run("tags", "--files-from", "-", "-0", "-q", "--format", "csv", input=listing)
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert {key for key, value in row.items() if value} == {"path", "error"}

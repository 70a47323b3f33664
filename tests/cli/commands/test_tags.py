"""`cbir tags`, the tags that `cbir search` shows, and XMP sidecar files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cbir import __version__
from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.imagenet import find_class
from cbir.cli import cli
from cbir.errors import CbirError
from cbir.index.columns.classes import CLASSES, COUNT, pack
from cbir.index.columns.objects import pack as pack_objects
from cbir.index.entries import ObjectsEntry
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.home import home
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.tags.rules import words_above
from cbir.tags.tagger import Choice, RowTags, tag_index
from cbir.tags.xmp import Content, Outcome, Sidecars, packet, words_of
from cbir.words.tag import Tag
from cbir.words.wordnet import wordnet

DC, LR, RDF = (
    "{http://purl.org/dc/elements/1.1/}",
    "{http://ns.adobe.com/lightroom/1.0/}",
    "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}",
)

#: What the network is said to have seen in each picture of the index, and the tags that follow.
SEEN: dict[str, dict[str, float]] = {
    "b/dog.jpg": {"beagle": 0.3, "pug": 0.3, "basset": 0.3},
    "a/piano.jpg": {"grand piano": 0.9},
    "c/crane.jpg": {"n03126707": 0.75, "goldfish": 0.25},  # the machine, not the bird
    "a/nothing.jpg": {"tench": 0.02},
}
WORDS = {
    "a/nothing.jpg": [],
    "a/piano.jpg": ["grand piano"],
    "b/dog.jpg": ["dog"],
    "c/crane.jpg": ["crane", "goldfish"],
}


#: Classes of a detector; WordNet does not know the last one.
OBJECTS = ("person", "dog", "bird", "piano", "couch", "blorp")


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin)


def records(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def words(record: dict) -> list[str]:
    return [tag["word"] for tag in record["tags"]]


def a_tag(name: str, probability: float = 0.5) -> Tag:
    number = find_class(name).number
    return Tag(name, probability, int(wordnet().classes[number]), is_class=True)


@pytest.fixture
def photos(photo_folder: Callable[..., Path]) -> Path:
    return photo_folder(4)


@pytest.fixture
def make_index(tmp_path: Path, draw_picture: Callable, bundled: Backbone) -> Callable[..., Index]:
    """A function that makes the index `seen` of SEEN's pictures, those of `unknown` without classes.

    With `objects`, scores of things by pictures, it has these of them, and knows nothing of those of others.
    """

    def make(
        *,
        unknown: tuple[str, ...] = (),
        backbone: Backbone = bundled,
        objects: dict[str, list[tuple[str, float]]] | None = None,
    ) -> Index:
        root, directory = tmp_path / "pictures", home() / "seen"
        directory.mkdir(parents=True)
        writer = Writer(directory, Meta(backbone.to_json(), backbone.dimension, str(root), "", ""))
        for number, (name, seen) in enumerate(SEEN.items()):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_picture(number).save(path)
            classes, probabilities = np.zeros(COUNT, dtype=int), np.zeros(COUNT)
            for place, (one, probability) in enumerate(seen.items()):
                classes[place], probabilities[place] = find_class(one).number, probability
            feature = np.random.default_rng(number).random(backbone.dimension, dtype=np.float32)
            record = FileRecord(name, path.stat().st_size, 1, hashlib.sha256(path.read_bytes()).hexdigest())
            columns = {} if name in unknown else {"classes": pack(classes, probabilities)}
            if objects is not None and name in objects:
                numbers = np.array([OBJECTS.index(thing) for thing, _ in objects[name]], dtype=int)
                scores = np.array([score for _, score in objects[name]])
                its, boxes = pack_objects(numbers, scores, np.tile([10.0, 10, 20, 20], (len(scores), 1)))
                columns |= {"objects": its, "boxes": boxes}
            assert writer.add(record, feature, columns)
        if objects is None:
            writer.commit()
        else:
            writer.commit(objects=ObjectsEntry("toy", "toy", "ab" * 32, "/toy.onnx", OBJECTS, 0.4))
        return Index.open(directory)

    return make


# ---- of pictures


def test_a_picture_elsewhere_has_no_sidecar_file() -> None:
    result = CliRunner().invoke(cli, ["tags", "s3://bucket/some.jpg", "--xmp"])
    assert result.exit_code == 2
    assert "s3://bucket/some.jpg is no file here" in result.stderr


def test_photos_get_the_words_that_they_show(shared: Callable[[str], Path]) -> None:
    names = {"flamingo/image_0011.jpg": "flamingo", "grand_piano/image_0018.jpg": "grand piano"}
    pictures = [shared("photos") / name for name in names]
    result = run("tags", *pictures, pictures[0])
    assert result.exit_code == 0, result.output
    found = records(result)
    assert [record["path"] for record in found] == [str(path) for path in [*pictures, pictures[0]]]
    assert [words(record)[0] for record in found] == [*names.values(), "flamingo"]
    tag = found[0]["tags"][0]
    assert (tag["synset"], tag["probability"] > 0.8) == ("n02007558", True)
    # the index has them by the same way
    assert run("index", pictures[0].parent).exit_code == 0
    of_index = records(run("tags", "--index", "flamingo"))
    one = next(record for record in of_index if record["path"] == str(pictures[0]))
    assert words(one) == words(found[0])
    assert one["tags"][0]["probability"] == pytest.approx(tag["probability"], abs=0.01)


def test_stdin_is_a_picture_or_a_list(photos: Path) -> None:
    files = sorted(photos.iterdir())
    listed = run(
        "tags", "--files-from", "-", "-0", "--min-probability", "0.01", stdin=b"\0".join(map(os.fsencode, files))
    )
    assert [record["path"] for record in records(listed)] == [str(path) for path in files]
    (piped,) = records(run("tags", "-", "--min-probability", "0.01", stdin=files[1].read_bytes()))
    assert piped["path"] == "-"
    assert piped["tags"] == records(listed)[1]["tags"] != []


def test_a_folder_stands_for_its_pictures_and_bad_ones_are_told(photos: Path) -> None:
    (photos / "sub").mkdir()
    shutil.copy(photos / "img_000.jpg", photos / "sub" / "copy.jpg")
    (photos / "bad.jpg").write_bytes(b"no picture")
    result = run("tags", photos / "img_002.jpg", photos, "--min-probability", "0.01")
    assert result.exit_code == 1
    assert f"Error: Cannot read {photos / 'bad.jpg'}: it is no picture" in result.stderr
    named, bad, first, *others, copy = records(result)
    assert named["path"] == others[1]["path"] == str(photos / "img_002.jpg")
    assert set(bad) == {"path", "error"}
    assert copy["path"] == str(photos / "sub" / "copy.jpg")
    assert copy["tags"] == first["tags"] != []
    empty = photos / "empty"
    empty.mkdir()
    assert "There are no pictures in" in run("tags", empty).stderr


def test_options_choose_tags(photos: Path) -> None:
    picture = photos / "img_000.jpg"
    (many,) = records(run("tags", picture, "-k", "9", "--min-probability", "0.005"))
    assert len(many["tags"]) > 2
    (two,) = records(run("tags", picture, "-k", "2", "--min-probability", "0.005"))
    assert two["tags"] == many["tags"][:2]
    (special,) = records(run("tags", picture, "-k", "9", "--min-probability", "0.005", "--max-general", "0"))
    classes = {wordnet().wordnet_id(int(one)) for one in wordnet().classes}
    assert {tag["synset"] for tag in special["tags"]} <= classes
    assert not {tag["synset"] for tag in many["tags"]} <= classes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name a picture"),
        (["--index", "seen", "x.jpg"], "name pictures, or an index"),
        (["--index", "seen", "--model", "resnet50"], "--model cannot be used with --index"),
        (["x.jpg", "--dry-run"], "add --xmp"),
        (["-", "--xmp"], "no place for a sidecar"),
    ],
)
def test_options_that_contradict(arguments: list[str], message: str) -> None:
    result = run("tags", *arguments, stdin=b"x")
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_network_without_classes_says_so(photos: Path) -> None:
    result = run("tags", photos / "img_000.jpg", "--weights", "untrained")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "untrained: they know no classes" in result.stderr


# ---- of an index


def test_an_index_needs_no_network(make_index: Callable[..., Index]) -> None:
    make_index()
    loaded = "print('torch' in sys.modules, 'openvino' in sys.modules, file=sys.stderr)"
    code = f"import sys; from cbir.cli import main\ntry: main()\nfinally: {loaded}"
    command = [sys.executable, "-c", code, "tags", "--index", "seen"]
    result = subprocess.run(command, capture_output=True, check=True, text=True)
    assert result.stderr == "False False\n"
    found = [json.loads(line) for line in result.stdout.splitlines()]
    root = home().parent / "pictures"
    assert {os.path.relpath(record["path"], root): words(record) for record in found} == WORDS
    assert [record["path"] for record in found] == sorted(record["path"] for record in found)


def test_every_format(make_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch) -> None:
    index = make_index()
    monkeypatch.chdir(index.root)
    lines = records(run("tags", "--index", "seen"))
    assert json.loads(run("tags", "--index", "seen", "--json").stdout) == lines
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        text = run("tags", "--index", "seen", "--format", name).stdout
        rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
        told = [(record["path"], tag["word"], tag["synset"]) for record in lines for tag in record["tags"]]
        assert [(row["path"], row["tag"], row["synset"]) for row in rows] == told
        assert [row["rank"] for row in rows] == ["1", "1", "1", "2"]
    table = run("tags", "--index", "seen", "--format", "table").stdout.splitlines()
    assert [line.split(maxsplit=1)[1] for line in table] == [
        "–",
        "grand piano 90%",
        "dog 90%",
        "crane 75%, goldfish 25%",
    ]
    assert len({line.index(line.split(maxsplit=1)[1]) for line in table}) == 1
    assert [one.tags and one.tags[0].word for one in tag_index(index, Choice(count=1))] == [
        [],
        "grand piano",
        "dog",
        "crane",
    ]


def test_pictures_whose_classes_the_index_lacks(make_index: Callable[..., Index]) -> None:
    make_index(unknown=("b/dog.jpg",))
    result = run("tags", "--index", "seen")
    assert result.exit_code == 0
    assert [record["tags"] is None for record in records(result)] == [False, False, True, False]
    assert "1 of 4 pictures are without tags." in result.stderr
    assert "`cbir index --index seen` looks for them" in result.stderr


def test_objects_are_tags_too(make_index: Callable[..., Index]) -> None:
    index = make_index(
        objects={
            "b/dog.jpg": [("dog", 0.95), ("person", 0.9), ("person", 0.6), ("couch", 0.39)],  # the last is not believed
            "a/piano.jpg": [("piano", 0.9), ("blorp", 0.5)],  # a grand piano is one, and says more
            "a/nothing.jpg": [],
        }
    )
    found = {os.path.relpath(one["path"], index.root): one["tags"] for one in records(run("tags", "--index", "seen"))}
    told = {name: [(tag["word"], tag["probability"]) for tag in its] for name, its in found.items()}
    assert told == {
        "b/dog.jpg": [("person", pytest.approx(0.9, abs=1e-4)), ("dog", pytest.approx(0.95, abs=1e-4))],
        "a/piano.jpg": [("grand piano", pytest.approx(0.9, abs=1e-3)), ("blorp", pytest.approx(0.5, abs=1e-4))],
        "a/nothing.jpg": [],
        "c/crane.jpg": [("crane", 0.75), ("goldfish", 0.25)],
    }
    assert [tag["synset"] for tag in found["a/piano.jpg"]] == ["n03452741", None]
    assert words(records(run("tags", "--index", "seen", "-k", "1"))[2]) == ["person"]
    assert words(records(run("tags", "--index", "seen", "--min-probability", "0.92"))[2]) == ["dog"]
    assert run("tags", "--index", "seen", "--xmp", "-q").exit_code == 0
    keywords = ElementTree.parse(index.root / "b/dog.jpg.xmp").getroot().findall(f".//{DC}subject//{RDF}li")
    assert [one.text for one in keywords] == ["person", "dog"]
    search = run("search", index.root / "b/dog.jpg", "--self", "-k", "1", "--format", "jsonl")
    assert [tag["word"] for tag in records(search)[0]["matches"][0]["tags"]] == ["person", "dog"]


def test_objects_are_the_tags_of_pictures_without_classes(make_index: Callable[..., Index]) -> None:
    index = make_index(
        unknown=tuple(SEEN),
        backbone=describe("efficientnet_lite0", "untrained"),
        objects={"b/dog.jpg": [("dog", 0.95)], "a/nothing.jpg": []},
    )
    result = run("tags", "--index", "seen", "--format", "table")
    assert result.exit_code == 0
    assert [line.split(maxsplit=1)[1:] for line in result.stdout.splitlines()] == [["–"], ["dog 95%"]]
    assert "2 of 4 pictures are without tags. `cbir index --index seen` looks for what they show." in result.stderr
    (file,) = index.directory.glob("objects-*.npy")
    file.write_bytes(file.read_bytes()[:-20] + b"\xff" * 20)
    assert run("tags", "--index", "seen").exit_code == 1
    assert "--repair" in run("tags", "--index", "seen").stderr


def test_an_index_without_classes(make_index: Callable[..., Index]) -> None:
    make_index(unknown=tuple(SEEN))
    result = run("tags", "--index", "seen")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "`cbir index --index seen` looks for them" in result.stderr
    shutil.rmtree(home() / "seen")
    make_index(unknown=tuple(SEEN), backbone=describe("efficientnet_lite0", "untrained"))
    assert "untrained: they know no classes" in run("tags", "--index", "seen").stderr


# ---- in a search


def test_a_search_shows_tags(make_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch) -> None:
    index = make_index(unknown=("a/nothing.jpg",))
    query = index.root / "b/dog.jpg"
    search = ["search", query, "--self", "-k", "4"]
    (record,) = records(run(*search, "--format", "jsonl"))
    found = {os.path.relpath(match["path"], index.root): match["tags"] for match in record["matches"]}
    assert {name: tags and [tag["word"] for tag in tags] for name, tags in found.items()} == {
        **WORDS,
        "a/nothing.jpg": None,
    }
    assert found["b/dog.jpg"] == [{"word": "dog", "probability": pytest.approx(0.9, abs=1e-3)}]
    rows = list(csv.DictReader(io.StringIO(run(*search, "--format", "csv").stdout)))
    assert {os.path.relpath(row["path"], index.root): row["tag"] for row in rows} == {
        name: (its or [""])[0] for name, its in WORDS.items()
    }
    table = run(*search, "--format", "table").stdout.splitlines()
    assert table[0].split() == ["rank", "score", "percentile", "tag", "path"]
    assert table[1].split()[3] == "dog"
    monkeypatch.setattr("cbir.cli.terminal.table.terminal_width", lambda: 60)
    narrow = run(*search, "--format", "table").stdout.splitlines()
    assert narrow[0].split() == ["rank", "score", "percentile", "path"]
    assert narrow[1].split()[3].endswith("b/dog.jpg")


def test_a_search_without_classes_has_no_column_of_tags(make_index: Callable[..., Index]) -> None:
    index = make_index(unknown=tuple(SEEN))
    query = index.root / "b/dog.jpg"
    assert run("search", query, "--format", "table").stdout.split()[:4] == ["rank", "score", "percentile", "path"]
    (record,) = records(run("search", query, "--format", "jsonl"))
    assert [match["tags"] for match in record["matches"]] == [None] * 3


def test_damaged_classes_cost_a_search_only_its_tags(make_index: Callable[..., Index]) -> None:
    index = make_index()
    (file,) = index.directory.glob("classes-*.npy")
    file.write_bytes(file.read_bytes()[:-20] + b"\xff" * 20)
    assert RowTags(Index.open(index.directory)).of([0]) != [None]  # of other rows than the damaged one
    result = run("search", index.root / "b/dog.jpg", index.root / "a/piano.jpg", "--format", "table")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2 * (1 + 4 + 1)
    assert "tag" not in result.stdout
    assert result.stderr.count("Matches are without tags") == 1
    assert "--repair" in result.stderr
    assert run("tags", "--index", "seen").exit_code == 1


# ---- sidecar files


def keywords(file: Path) -> tuple[list[str | None], list[str | None]]:
    """The keywords in a sidecar, and those with what stands above them."""
    text = file.read_text("utf-8")
    assert text.startswith('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta')
    assert text.endswith('<?xpacket end="w"?>\n')
    tree = ElementTree.fromstring(text)
    return tuple(  # type: ignore[return-value]
        [item.text for item in tree.iterfind(f".//{name}/{RDF}Bag/{RDF}li")]
        for name in (f"{DC}subject", f"{LR}hierarchicalSubject")
    )


def test_sidecars_are_written_once_and_pictures_stay_as_they_are(make_index: Callable[..., Index]) -> None:
    index = make_index()
    pictures = sorted(index.root.rglob("*.jpg"))
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in pictures]
    result = run("tags", "--index", "seen", "--xmp")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Sidecar files: 3 written, none for 1 without tags.\n"
    sidecars = sorted(path for path in index.root.rglob("*") if path.is_file() and path not in pictures)
    assert [path.relative_to(index.root).as_posix() for path in sidecars] == [
        "a/piano.jpg.xmp",
        "b/dog.jpg.xmp",
        "c/crane.jpg.xmp",
    ]
    assert keywords(sidecars[0])[0] == ["grand piano"]
    assert keywords(sidecars[1])[1] == ["animal|mammal|carnivore|canine|dog"]
    assert keywords(sidecars[2])[0] == ["crane", "goldfish"]
    umask = os.umask(0)
    os.umask(umask)
    assert sidecars[0].stat().st_mode & 0o777 == 0o666 & ~umask
    written = sidecars[0].stat()
    again = run("tags", "--index", "seen", "--xmp", "--format", "jsonl")
    assert again.stderr == "Sidecar files: 0 written, 3 unchanged, none for 1 without tags.\n"
    assert records(again)[1]["sidecar"] == {"path": str(sidecars[0]), "outcome": "unchanged"}
    assert (sidecars[0].stat().st_mtime_ns, sidecars[0].stat().st_ino) == (written.st_mtime_ns, written.st_ino)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in pictures] == before
    fewer = run("tags", "--index", "seen", "--xmp", "-k", "1")
    assert fewer.stderr == "Sidecar files: 0 written, 1 refreshed, 2 unchanged, none for 1 without tags.\n"
    assert keywords(sidecars[2])[0] == ["crane"]


def test_a_dry_run_writes_nothing(make_index: Callable[..., Index]) -> None:
    index = make_index()
    (index.root / "a/piano.jpg").unlink()
    result = run("tags", "--index", "seen", "--xmp", "-n")
    assert "2 written, none for 1 without tags, none for 1 that are gone. Nothing was written." in result.stderr
    assert not list(index.root.rglob("*.xmp"))


@pytest.mark.parametrize("change", ["a rating", "a byte", "all", "a link", "a folder"])
def test_sidecars_of_others_are_left_alone(tmp_path: Path, change: str) -> None:
    """Those that another program wrote, and those of cbir's that it has changed since."""
    picture = tmp_path / "some.jpg"
    sidecar = tmp_path / "some.jpg.xmp"
    sidecars = Sidecars()
    assert sidecars.write(picture, [a_tag("flamingo")]) is Outcome.WRITTEN
    content = sidecar.read_bytes()
    if change == "a rating":
        sidecar.write_bytes(content.replace(b"<dc:subject>", b"<xmp:Rating>5</xmp:Rating><dc:subject>"))
    elif change == "a byte":
        sidecar.write_bytes(content + b"\n")
    elif change == "all":
        sidecar.write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    elif change == "a link":
        sidecar.rename(tmp_path / "elsewhere")
        sidecar.symlink_to(tmp_path / "elsewhere")
    else:
        sidecar.unlink()
        sidecar.mkdir()
    before = sidecar.read_bytes() if sidecar.is_file() else None
    assert sidecars.write(picture, [a_tag("goldfish")]) is Outcome.FOREIGN
    assert (sidecar.read_bytes() if sidecar.is_file() else None) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {"some.jpg.xmp", "elsewhere"} & set(os.listdir(tmp_path))
    )


def test_the_command_names_sidecars_of_others(make_index: Callable[..., Index]) -> None:
    index = make_index()
    other = index.root / "b/dog.jpg.xmp"
    other.write_text("mine")
    result = run("tags", "--index", "seen", "--xmp")
    assert result.exit_code == 0
    assert f"{other}: left alone" in result.stderr
    assert "2 written, 1 of others left alone" in result.stderr
    assert other.read_text() == "mine"


def test_two_pictures_do_not_take_one_sidecar_from_each_other(tmp_path: Path) -> None:
    jpeg, png = tmp_path / "some.jpg", tmp_path / "some.png"
    for path in (jpeg, png):
        path.touch()
    sidecars = Sidecars("replace")
    assert sidecars.path_of(jpeg) == sidecars.path_of(png) == tmp_path / "some.xmp"
    assert sidecars.write(jpeg, [a_tag("flamingo")]) is Outcome.WRITTEN
    assert sidecars.write(png, [a_tag("goldfish")]) is Outcome.FOREIGN
    assert sidecars.write(jpeg, [a_tag("tench")]) is Outcome.REFRESHED
    jpeg.unlink()
    assert sidecars.write(png, [a_tag("goldfish")]) is Outcome.REFRESHED


def test_a_sidecar_that_is_written_at_the_same_time_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar, link = tmp_path / "some.jpg.xmp", os.link

    def late(source: Path, target: Path) -> None:
        Path(target).write_text("mine")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert Sidecars().write(tmp_path / "some.jpg", [a_tag("flamingo")]) is Outcome.FOREIGN
    assert sidecar.read_text() == "mine"
    assert os.listdir(tmp_path) == [sidecar.name]


def test_a_file_system_without_links_gets_sidecars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert Sidecars().write(tmp_path / "some.jpg", [a_tag("flamingo")]) is Outcome.WRITTEN
    assert os.listdir(tmp_path) == ["some.jpg.xmp"]


def test_names_of_any_bytes_have_sidecars(tmp_path: Path) -> None:
    picture = tmp_path / os.fsdecode(b"\xff<&\n]]>.jpg")
    assert Sidecars().write(picture, [a_tag("flamingo")]) is Outcome.WRITTEN
    assert Sidecars().write(picture, [a_tag("flamingo")]) is Outcome.UNCHANGED
    assert Sidecars().write(picture, []) is Outcome.REFRESHED
    assert keywords(picture.with_name(picture.name + ".xmp")) == ([], [])


def test_words_are_escaped(tmp_path: Path) -> None:
    tag = Tag("jack-o'-<lantern> & é", 0.5, int(wordnet().classes[0]), is_class=True)
    (tmp_path / "some.jpg.xmp").write_bytes(packet(tmp_path / "some.jpg", Content(words_of([tag]))))
    assert keywords(tmp_path / "some.jpg.xmp")[0] == [tag.word]


def test_sidecars_that_cannot_be_written_are_errors(tmp_path: Path, make_index: Callable[..., Index]) -> None:
    with pytest.raises(CbirError, match=r"Cannot write .*some\.jpg\.xmp: no such file"):
        Sidecars().write(tmp_path / "missing" / "some.jpg", [a_tag("flamingo")])
    index = make_index()
    long = index.root / "a/piano.jpg"
    name = "x" * 250 + ".jpg"
    long.rename(long.with_name(name))
    result = run("tags", long.with_name(name), "--xmp", "--min-probability", "0.005", "--format", "jsonl")
    assert result.exit_code == 1
    assert "Error: Cannot write" in result.stderr
    assert "0 written, 1 failed" in result.stderr
    assert records(result)[0]["sidecar"]["outcome"] == "failed"


@pytest.mark.parametrize("name", ["%00", "%2F", "%2Fetc%2Fpasswd", "..", ".", "", "..%2Fb.jpg", "b.jpg"])
def test_a_sidecar_with_a_forged_picture_in_it_is_an_others(tmp_path: Path, name: str) -> None:
    (tmp_path / "b.jpg").touch()
    picture = tmp_path / "some.jpg"
    blank = f"<cbir:picture>{name}</cbir:picture><cbir:checksum>{'0' * 64}</cbir:checksum>".encode()
    content = blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode())
    picture.with_name("some.jpg.xmp").write_bytes(content)
    assert Sidecars().write(picture, [a_tag("flamingo")]) is Outcome.FOREIGN
    assert picture.with_name("some.jpg.xmp").read_bytes() == content


def test_an_empty_sidecar_as_a_power_cut_leaves_it_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "some.jpg.xmp").touch()
    assert Sidecars().write(tmp_path / "some.jpg", []) is Outcome.WITHOUT_TAGS
    assert Sidecars().write(tmp_path / "some.jpg", [a_tag("flamingo")]) is Outcome.WRITTEN
    assert keywords(tmp_path / "some.jpg.xmp")[0] == ["flamingo"]


def test_only_pictures_get_sidecars_whatever_an_index_names(make_index: Callable[..., Index], tmp_path: Path) -> None:
    index = make_index()
    picture = (index.root / "a/piano.jpg").read_bytes()
    files = {".bashrc": b"alias", "a/notes.pdf": b"%PDF-1.4", "a/letter": b"Dear", "a/photo": picture, "c.jpg": picture}
    directory = home() / "forged"
    directory.mkdir()
    writer = Writer(directory, Meta(index.meta.model, index.meta.dimension, str(tmp_path / "of a user"), "", ""))
    classes = next(index.stored(CLASSES, [row]) for row in range(index.rows) if index.valid[row])
    for number, (name, content) in enumerate(files.items()):
        path = tmp_path / "of a user" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        feature = np.random.default_rng(number).random(index.meta.dimension, dtype=np.float32)
        assert writer.add(FileRecord(name, len(content), 1, f"{number:064x}"), feature, {"classes": classes})
    writer.commit()
    result = run("tags", "--index", "forged", "--xmp")
    assert result.exit_code == 0
    assert "2 written, none for 3 that are no pictures" in result.stderr
    made = {path.relative_to(tmp_path / "of a user").as_posix() for path in (tmp_path / "of a user").rglob("*.xmp")}
    assert made == {"a/photo.xmp", "c.jpg.xmp"}


def test_exiftool_reads_sidecars(tmp_path: Path) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed: apt-get install libimage-exiftool-perl")
    Sidecars().write(tmp_path / "some.jpg", [a_tag("flamingo"), a_tag("grand piano")])
    command = ["exiftool", "-j", "-validate", "-XMP:all", tmp_path / "some.jpg.xmp"]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert found["Subject"] == ["flamingo", "grand piano"]
    assert found["HierarchicalSubject"][0] == "animal|bird|flamingo"
    assert (found["CreatorTool"], found["Validate"]) == (f"cbir {__version__}", "OK")


def test_the_examples_of_the_docs(
    tmp_path: Path, shared: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("flamingo/image_0011", "flamingo/image_0019", "ant/image_0010", "grand_piano/image_0018"):
        target = tmp_path / "photos" / f"{name}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared("photos") / f"{name}.jpg", target)
    monkeypatch.chdir(tmp_path)
    docs = Path(__file__).parents[3] / "docs"
    text = "\n".join((docs / f"{page}.md").read_text(encoding="utf-8") for page in ("tags", "sidecars", "search"))
    examples = [part for block in text.split("```")[1::2] for part in block.split("$ cbir ")[1:]]
    assert len(examples) == 7
    for example in examples:
        command, _, expected = example.partition("\n")
        result = run(*shlex.split(command))
        shown = "".join(
            line for line in result.output.splitlines(keepends=True) if not line.startswith(("Using ", "Preparing "))
        )
        # processors differ in the last digits
        assert re.sub(r"[\d.]+", "0", shown) == re.sub(r"[\d.]+", "0", expected), command


def test_words_above_a_tag_become_more_special() -> None:
    assert words_above(a_tag("beagle")) == ["animal", "mammal", "carnivore", "canine", "dog", "hound"]

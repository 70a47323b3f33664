"""`cbir people` as it is typed: lists, names, corrections, the page, sidecar files, and forgetting."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.index.home import index_directory
from cbir.index.lock import exclusive
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.people.of_index import read_album
from tests.helpers.people import ALBUM, add_pictures, box_of, make_index


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an index `photos`, above which the current folder is."""
    monkeypatch.chdir(tmp_path)
    make_index(index_directory("photos"), tmp_path / "photos", ALBUM)
    return tmp_path / "photos"


def people(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["people", *arguments], prog_name="cbir")


def done(*arguments: str) -> Result:
    result = people(*arguments)
    assert result.exit_code == 0, result.output
    return result


def faces_of(who: str) -> list[str]:
    (found,) = json.loads(done("list", who, "--json").stdout)
    return sorted(one["face"] for one in found["faces"])


def meta_bytes() -> bytes:
    return (index_directory("photos") / "meta.json").read_bytes()


def test_people_are_listed(photos: Path) -> None:
    listed = done("--format", "table")
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert lines[0] == ["number", "name", "faces", "pictures", "like", "the", "others"]
    assert [line[:3] for line in lines[1:]] == [["1", "4", "4"], ["2", "3", "3"]]
    assert "8 faces, 2 of them nobody's yet." not in listed.stdout
    assert "9 faces, 2 of them nobody's yet." in listed.stderr
    # what was found is kept, and listing it again writes nothing
    before = meta_bytes()
    assert done("--format", "table").stdout == listed.stdout
    assert meta_bytes() == before


def test_lists_for_programs(photos: Path) -> None:
    done("name", "1", "Anna")
    found = json.loads(done("--json").stdout)
    assert [(one["number"], one["name"], one["pictures"], len(one["faces"])) for one in found] == [
        (1, "Anna", 4, 4),
        (2, None, 3, 3),
    ]
    face = next(one for one in found[0]["faces"] if one["face"] == "trip/table.png#2")
    assert face == {
        "face": "trip/table.png#2",
        "path": str(photos / "trip/table.png"),
        "box": list(box_of(1)),
        "score": 1.0,
    }
    assert [json.loads(line) for line in done().stdout.splitlines()] == found
    rows = list(csv.reader(io.StringIO(done("list", "Anna", "--format", "csv").stdout)))
    assert rows[0] == ["number", "name", "face", "path", "x", "y", "width", "height", "score"]
    assert sorted(row[2] for row in rows[1:]) == faces_of("anna")
    paths = done("list", "2", "--format", "paths").stdout.splitlines()
    assert sorted(paths) == sorted(str(photos / f"{name}.png") for name in ("boat", "trip/door", "trip/table"))
    table = done("list", "Anna", "--format", "table").stdout.splitlines()
    assert table[0].split() == ["face", "box", "by", "hand", "score"]
    assert len(table) == 5


def test_names_and_corrections(photos: Path) -> None:
    assert done("name", "1", "Anna").stderr.strip() == "Person 1 is called Anna."
    assert done("not", "photos/beach.png").stderr.strip() == "1 face is taken out."
    assert "beach.png#1" not in faces_of("Anna")
    assert done("add", "anna", "beach.png#1", "stairs.png").stderr.strip() == "2 faces are of Anna (person 1)."
    assert {"beach.png#1", "stairs.png#1"} <= set(faces_of("Anna"))
    split = done("split", "stairs.png#1", "trip/table.png#3", "--name", "Cleo")
    assert split.stderr.strip() == "2 faces are of Cleo (person 3)."
    assert faces_of("Cleo") == ["stairs.png#1", "trip/table.png#3"]
    assert done("name", "2", "Bob").exit_code == 0
    merged = done("merge", "Cleo", "Bob")
    assert merged.stderr.strip() == "They are one person: Cleo (person 3). No longer called Bob."
    assert len(faces_of("Cleo")) == 5
    # and new pictures join
    index = Index.open(index_directory("photos"))
    writer = Writer(index.directory, index.meta)
    add_pictures(writer, photos, {"new": ["anna", "bob"]})
    writer.commit()
    assert "new.png#1" in faces_of("Anna")
    assert "new.png#2" in faces_of("Cleo")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("name", "1"), "`cbir people name` takes PERSON and a name."),
        (("merge", "1"), "takes two people and more"),
        (("split",), "takes faces"),
        (("list", "1", "2"), "takes PERSON, or nobody"),
        (("forget",), "takes PERSON"),
        (("dance",), "'dance' is not one of"),
        (("not", "beach.png", "--json"), "are about lists"),
        (("merge", "1", "2", "--name", "Anna"), "--name is the name of the person whom `split` makes."),
        (("--dry-run",), "add --xmp"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_wrong_usage_is_told(arguments: tuple[str, ...], why: str) -> None:
    result = people(*arguments)
    assert result.exit_code == 2
    assert why in result.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("name", "9", "Anna"), "There is no person 9"),
        (("list", "Anna"), "There is no person Anna"),
        (("name", "1", "12"), "cannot be called '12'"),
        (("name", "1", "\x1b[2J"), "cannot be called"),
        (("not", "wall.png#1"), "There is no face wall.png#1"),
        (("not", "trip/table.png"), "has 3 faces"),
        (("not", "stairs.png#1"), "belongs to nobody"),
        (("add", "1", "boat.png#3"), "none with the number 3"),
        (("forget", "nobody"), "There is no person nobody"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_what_there_is_not_is_told_and_changes_nothing(arguments: tuple[str, ...], why: str) -> None:
    done()
    before = meta_bytes()
    result = people(*arguments)
    assert result.exit_code == 1
    assert why in result.stderr
    assert "\x1b" not in result.stderr
    assert meta_bytes() == before


def test_an_index_that_cannot_be_written_is_listed_all_the_same(photos: Path) -> None:
    with exclusive(index_directory("photos")):
        listed = done("--format", "table")
        assert "What was found is not kept: Another run is writing" in listed.stderr
        assert len(listed.stdout.splitlines()) == 3
        refused = people("name", "1", "Anna")
        assert refused.exit_code != 0
        assert "Another run is writing" in refused.stderr


def test_an_index_without_faces_says_how_to_get_them(photos: Path) -> None:
    index = Index.open(index_directory("photos"))
    Writer(index.directory, index.meta).replace(index.meta.without("faces"))
    result = people()
    assert result.exit_code == 1
    assert "`cbir index --index photos --faces` looks for them" in result.stderr


def test_the_page_shows_faces(photos: Path) -> None:
    done("name", "1", "A <b>Anna</b>")
    (photos / "beach.png").unlink()
    assert done("--html", "people.html").stdout == ""
    page = Path("people.html").read_text("utf-8")
    assert "A &lt;b&gt;Anna&lt;/b&gt;" in page
    assert "Person 1, 4 faces in 4 pictures." in page
    assert ">Person 2<" in page
    assert page.count('alt="Face"') == 6
    assert page.count("the file is not there") == 1
    assert "boat.png#2" in page
    # of one person it has all faces
    done("list", "2", "--html", "two.html")
    assert Path("two.html").read_text("utf-8").count('alt="Face"') == 3
    Path("other.html").write_text("mine")
    result = people("--html", "other.html")
    assert result.exit_code != 0
    assert Path("other.html").read_text() == "mine"


RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
MWG = "{http://www.metadataworkinggroup.com/schemas/regions/}"
AREA = "{http://ns.adobe.com/xmp/sType/Area#}"


def regions_in(path: Path) -> dict[str, list[float]]:
    root = ElementTree.parse(path).getroot()
    return {
        one.attrib[f"{MWG}Name"]: [float(one.find(f"{MWG}Area").attrib[f"{AREA}{key}"]) for key in "xywh"]  # type: ignore[union-attr]
        for one in root.iter(f"{RDF}Description")
        if f"{MWG}Name" in one.attrib
    }


def test_names_and_places_go_into_sidecars(photos: Path) -> None:
    done("name", "1", "Anna")
    done("name", "2", "Bob")
    told = done("--xmp", "--dry-run").stderr
    assert "5 written, none for 2 without names. Nothing was written." in told
    assert not list(photos.rglob("*.xmp"))
    assert "5 written" in done("--xmp").stderr
    # pictures are 400 x 150
    found = regions_in(photos / "boat.png.xmp")
    assert found["Anna"] == pytest.approx([40 / 400, 55 / 150, 80 / 400, 90 / 150])
    assert found["Bob"] == pytest.approx([140 / 400, 55 / 150, 80 / 400, 90 / 150])
    text = (photos / "boat.png.xmp").read_text("utf-8")
    assert "<rdf:li>Anna</rdf:li>" in text
    assert "<rdf:li>People|Bob</rdf:li>" in text
    assert 'stDim:w="400" stDim:h="150"' in text
    assert "5 unchanged" in done("--xmp").stderr
    # names follow, also where nobody with a name is left
    done("forget", "Anna")
    assert "3 unchanged" not in done("--xmp").stderr
    assert "Anna" not in (photos / "boat.png.xmp").read_text("utf-8")
    assert "Anna" not in (photos / "beach.png.xmp").read_text("utf-8")


def test_a_sidecar_of_somebody_else_is_left_alone(photos: Path) -> None:
    done("name", "1", "Anna")
    (photos / "beach.png.xmp").write_text("mine")
    result = done("--xmp")
    assert "1 of others left alone" in result.stderr
    assert (photos / "beach.png.xmp").read_text() == "mine"


def test_a_picture_that_has_changed_gets_no_places(photos: Path) -> None:
    done("name", "1", "Anna")
    Image.new("RGB", (50, 50)).save(photos / "beach.png")
    result = people("--xmp")
    assert result.exit_code == 1
    assert "it has changed since its faces were found" in result.stderr
    assert not (photos / "beach.png.xmp").exists()
    assert (photos / "wood.png.xmp").exists()


def test_forgetting_tells_what_it_does_not_reach(photos: Path) -> None:
    done("name", "1", "Anna")
    told = done("forget", "anna").stderr
    assert "Anna is forgotten: 4 faces are out of the index photos." in told
    assert "copies of the index made before are as they were" in told
    assert len(json.loads(done("--json").stdout)) == 1
    assert len(read_album(Index.open(index_directory("photos"))).forgotten) == 4

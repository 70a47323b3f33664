"""HTML pages: what is on them, whatever files are called, that nothing in them runs or loads, and what is refused."""

from __future__ import annotations

import base64
import configparser
import io
import os
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.cli.render import segment_report
from cbir.cli.render.search_report import TOO_MANY
from cbir.errors import CbirError
from cbir.report.card import Card, Group
from cbir.report.page import Pictures, file_uri, write_page
from cbir.segment.describe import describe_segments
from cbir.segment.segmentation import Segmentation
from tests.helpers.photo_index import index_photos

#: Names that have hurt somebody, as bytes: markup, quotes, escapes of addresses, line ends, no UTF-8, no ASCII.
HOSTILE = [
    b"<script>alert(1)<_script>.jpg",
    b'" onerror="alert(1).jpg',
    b"' onclick='x.jpg",
    b"%28%2e%00.jpg",
    b"line\none\ttab.jpg",
    b"a#b?c&d=e;f.jpg",
    b"{{ 7 * 7 }}{% x %}.jpg",
    b"&lt;b&gt;&amp;.jpg",
    b"not \xff\xfe utf-8.jpg",
    "Überraschung 中文 (\u202egpj.jpg".encode(),
    b"\x1b]0;x\x07\x1b[2J\x9b31m\xc2\x9b2J\xe2\x80\xa8.jpg",
    b" two  spaces .jpg",
    b"javascript:alert(1).jpg",
    b"x" * 200 + b".jpg",
]


class Page(HTMLParser):
    """What a browser would see of a page: elements with their attributes, and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self._inside = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside != "style":
            self.text += data

    def all(self, tag: str, **wanted: str) -> Iterator[dict[str, str]]:
        for name, attributes in self.elements:
            if name == tag and wanted.items() <= attributes.items():
                yield attributes

    @property
    def files(self) -> list[bytes]:
        """The files that it links to."""
        links = (one["href"] for one in self.all("a") if one["href"].startswith("file://"))
        return [unquote_to_bytes(link.removeprefix("file://")) for link in links]


def run(*arguments: object, input: bytes | None = None) -> Result:
    given = [os.fsdecode(one) if isinstance(one, (bytes, Path)) else str(one) for one in arguments]
    return CliRunner().invoke(cli, given, input=input)


@pytest.fixture
def photos(photo_folder: Callable[..., Path]) -> Path:
    """A folder of 8 pictures in two subfolders, indexed as `photos`; img_002.jpg is a flamingo, all others beagles."""
    root = photo_folder(8, subfolders=["cats", "dogs"], size=(64, 48))
    index_photos(root, {"img_002.jpg": "n02007558"})
    return root


@pytest.fixture
def hostile(tmp_path: Path, draw_picture: Callable) -> Path:
    """A folder of pictures with hostile names, indexed as `photos`."""
    root = tmp_path / "a <b>&%41 #folder"
    root.mkdir()
    for number, name in enumerate(HOSTILE):
        with open(os.path.join(os.fsencode(root), name), "wb") as file:
            draw_picture(number, (40, 30)).save(file, "JPEG")
    index_photos(root)
    return root


def test_a_page_has_the_query_its_matches_scores_and_tags(photos: Path, tmp_path: Path) -> None:
    query = photos / "cats/img_000.jpg"
    plainly = run("search", query, "-k", "4").stdout
    result = run("search", query, "-k", "4", "--html", tmp_path / "new/page.html")
    assert result.exit_code == 0, result.output
    assert result.stdout == plainly
    page = Page(tmp_path / "new/page.html")
    matches = [os.fsencode(line) for line in plainly.splitlines()]
    assert page.files == [os.fsencode(query), *matches]
    scores = re.findall(r"^.*?,\d,(0\.\d+),", run("search", query, "-k", "4", "--format", "csv").stdout, re.MULTILINE)
    assert len(scores) == 4
    assert all(f"{float(score):.3f}" in page.text for score in scores)
    assert "flamingo" in page.text
    assert f"8 pictures below {photos}" in page.text
    images = list(page.all("img"))
    assert len(images) == 5
    assert images[0]["alt"] == f"Query: {query}"
    assert all(one["alt"].startswith("Match: ") for one in images[1:])
    for one, path in zip(images, page.files, strict=True):
        kind, content = one["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        shown = Image.open(io.BytesIO(base64.b64decode(content)))
        assert (one["width"], one["height"]) == tuple(map(str, shown.size)) == ("64", "48")
        original = np.asarray(Image.open(os.fsdecode(path)), dtype=int)
        assert np.abs(np.asarray(shown, dtype=int) - original).mean() < 6


def test_a_page_has_landmarks_and_headings_and_forbids_all_but_itself(photos: Path, tmp_path: Path) -> None:
    queries = [photos / "cats/img_000.jpg", photos / "dogs/img_001.jpg"]
    assert run("search", *queries, "--html", tmp_path / "a.html").exit_code == 0
    page = Page(tmp_path / "a.html")
    assert {"header", "nav", "main", "footer", "h1", "h2"} <= {tag for tag, _ in page.elements}
    assert "script" not in {tag for tag, _ in page.elements}
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy["content"]
    assert "script-src" not in policy["content"]
    assert next(page.all("html"))["lang"] == "en"
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    inside = [one["href"][1:] for one in page.all("a") if one["href"].startswith("#")]
    assert set(inside) <= set(identifiers)
    assert len(inside) == 3
    assert not re.findall(r"https?:|url\(|@import", page.source)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_hostile_names_are_text_and_their_links_lead_to_the_files(hostile: Path, tmp_path: Path) -> None:
    query = os.path.join(os.fsencode(hostile), HOSTILE[0])
    # a name that cannot be found is told on the page, too
    result = run("search", query, b"<b>none\n\xff.jpg", "-k", "50", "--html", tmp_path / "a.html")
    assert result.exit_code == 1
    page = Page(tmp_path / "a.html")
    assert sorted(page.files[1:-1]) == sorted(os.path.join(os.fsencode(hostile), name) for name in HOSTILE[1:])
    assert all(os.path.exists(file) for file in page.files[:-1])
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "b"}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    for text in ("<script>alert(1)<_script>.jpg", '" onerror="alert(1).jpg', "line\\none\\ttab.jpg", "%28%2e%00.jpg"):
        assert text in page.text
    assert "{{ 7 * 7 }}{% x %}.jpg" in page.text
    assert "&lt;b&gt;&amp;.jpg" in page.text
    assert "not \ufffd\ufffd utf-8.jpg" in page.text
    assert "中文 (\\u202egpj.jpg" in page.text
    assert "\\x1b]0;x\\x07\\x1b[2J\ufffd31m\\x9b2J\\u2028.jpg" in page.text
    assert "Cannot read <b>none\\n\ufffd.jpg: there is no such file." in page.text


def test_every_byte_of_a_name_survives_in_a_link(tmp_path: Path) -> None:
    names = [bytes([byte]) * 2 for byte in range(1, 256) if byte not in b"/."]
    for name in names:
        uri = file_uri(Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))))
        assert re.fullmatch(r"file:///[A-Za-z0-9%/._~:@!$&()*+,;=-]*", uri), uri
        assert unquote_to_bytes(uri.removeprefix("file://")) == os.path.join(os.fsencode(tmp_path), name)
    assert file_uri(Path("some.jpg")) == file_uri(Path.cwd() / "some.jpg")


def test_words_several_pictures_stdin_and_what_is_gone(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    assert run("search", "--word", "beagle", "--not-word", "flamingo", "--html", file).exit_code == 0
    page = Page(file)
    assert "beagle, not flamingo" in page.text
    assert "probability" in page.text
    assert "percentile" not in page.text
    # words take no room beside their matches, which a picture does
    assert not list(page.all("div", **{"class": "led"}))
    gone, query = photos / "cats/img_002.jpg", photos / "cats/img_000.jpg"
    content = query.read_bytes()
    gone.unlink()
    assert run("search", "-", "--html", file, input=content).exit_code == 0
    page = Page(file)
    assert "a picture from stdin" in page.text
    assert "the file is not there" in page.text
    assert len(list(page.all("img"))) == 1 + 7
    others = [photos / f"cats/img_{number:03d}.jpg" for number in (4, 6)]
    result = run("search", "--together", query, *others, "--unlike", photos / "dogs/img_001.jpg", "--html", file)
    assert result.exit_code == 0
    page = Page(file)
    assert f"{query} + {others[0]} + {others[1]}" in page.text
    assert f"unlike: {photos / 'dogs/img_001.jpg'}" in page.text
    assert run("search", query, "--min-score", "0.9999", "--html", file).exit_code == 0
    assert "Nothing was found." in Page(file).text


def test_a_picture_in_two_places_is_decoded_once_and_its_boxes_differ(
    tmp_path: Path, draw_picture: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    draw_picture(1, (200, 100)).save(path)
    reads = []
    monkeypatch.setattr("cbir.images.previews.read_bytes", lambda one: reads.append(one) or one.read_bytes())
    plain, boxed = Card("x", path), Card("x", path, boxes=((20, 20, 100, 50),))
    pictures = Pictures([plain, boxed, plain])
    assert reads == [path]
    assert pictures(plain) != pictures(boxed)


def test_too_many_pictures_are_refused_and_not_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = [Card("x", tmp_path / f"{number}.jpg") for number in range(20_001)]
    with pytest.raises(CbirError, match="20,001 pictures are too many for one page"):
        write_page("search.html", [Group("x", cards)], tmp_path / "a.html")
    monkeypatch.setattr("cbir.cli.render.search_report.TOO_MANY", 5)
    assert TOO_MANY > 5
    query = photos / "cats/img_000.jpg"
    result = run("search", query, query, "-k", "4", "--html", tmp_path / "a.html", "--sheet", tmp_path / "a.png")
    assert result.exit_code == 1
    assert f"10 pictures are too many for {tmp_path / 'a.html'}" in result.stderr
    assert f"10 pictures are too many for {tmp_path / 'a.png'}" in result.stderr
    assert len(result.stdout.splitlines()) == 8
    assert not list(tmp_path.glob("a.*"))


def test_evaluate_shows_figures_classes_and_the_best_and_worst(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    result = run("evaluate", "--index", "photos", "--html", file, "-q")
    assert result.exit_code == 0, result.output
    assert "mAP of each class" in result.stdout
    page = Page(file)
    for figure in re.findall(r"\b[01]\.\d{3}\b", result.stdout):
        assert figure in page.text
    assert "8 pictures below" in page.text
    assert "in 2 classes" in page.text
    headings = re.findall(r"<h([123])", page.source)
    assert headings == ["1", "2", "2", "2", *["3"] * 4, "2", *["3"] * 4]
    # four worst and four best queries, each with seven matches
    assert len(list(page.all("img"))) == 8 * 8
    bars = [float(one["style"].removeprefix("width: ").rstrip("%")) for one in page.all("i")]
    assert len(bars) == 4
    assert all(0 <= width <= 100 for width in bars)
    right = sum(one.get("class") == "card right" for _, one in page.elements)
    wrong = sum(one.get("class") == "card wrong" for _, one in page.elements)
    assert (right, wrong) == (8 * 3, 8 * 4)
    # what is right is of the query's own class
    for section in page.source.split("<h3")[1:]:
        folder = re.search(r">(\w+)/", section)[1]  # type: ignore[index]
        places = re.findall(r'class="card right".*?class="place">(\w+)/', section, re.DOTALL)
        assert places == [folder] * 3


def test_segment_shows_each_picture_and_where_its_segments_are(tmp_path: Path, draw_picture: Callable) -> None:
    labels = np.zeros((60, 90), dtype=np.uint8)
    labels[10:30, 20:50] = 1
    labels[15:20, 25:30] = 2
    image = draw_picture(3, (90, 60))
    segments = describe_segments(np.asarray(image), labels)
    page = segment_report.SegmentPage([tmp_path / "x<y>.png"], "some_network")
    record = {"segments": [{"classes": [{"name": "kite", "probability": 0.5}]} for _ in segments]}
    page.add(Segmentation(image, labels, segments), tmp_path / "x<y>.png", record)
    page.fail("Cannot read <z>.png: there is no such file.")
    page.write(tmp_path / "a.html")
    shown = Page(tmp_path / "a.html")
    assert "x<y>.png" in shown.text
    assert "Cannot read <z>.png" in shown.text
    assert "kite 50%" in shown.text
    assert len(list(shown.all("img"))) == 2
    paths = [one["d"].split("z", 1)[1] for one in shown.all("path")]
    assert paths[2] == "M25 15h5v5h-5z"
    assert paths[1] == "M20 10h30v20h-30zM25 15h5v5h-5z"
    with pytest.raises(CbirError, match="name at most 300 with --html"):
        segment_report.SegmentPage([tmp_path / "x.png"] * 301, "some_network")


def test_no_picture_is_written_over_by_a_page(tmp_path: Path, draw_picture: Callable) -> None:
    path = tmp_path / "odd.html"
    draw_picture(1).save(path, "PNG")
    before = path.read_bytes()
    with pytest.raises(CbirError, match="would be written over"):
        write_page("search.html", [Group("x", [Card("x", path)])], path, heading="x", about=[])
    with pytest.raises(CbirError, match="would be written over"):
        write_page("search.html", [], path, others=[path], heading="x", about=[])
    assert path.read_bytes() == before


def test_templates_come_with_the_package() -> None:
    root = Path(__file__).parents[2]
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    patterns = setup["options.package_data"]["cbir.report"].split()
    named = {path for pattern in patterns for path in (root / "cbir/report").glob(pattern)}
    assert named == set((root / "cbir/report/templates").iterdir())

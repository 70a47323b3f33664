"""The contact sheet: what stands where, upright and in its colours, for few pictures and many; what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageFont

from cbir.cli import cli
from cbir.errors import CbirError
from cbir.images.previews import thumbnails
from cbir.images.read import read_thumbnail
from cbir.report import fonts
from cbir.report.card import Card, Group
from cbir.report.fonts import Lettering
from cbir.report.layout import COMFORTABLE, MOST, SIDES, Layout, choose_layout
from cbir.report.sheet import draw_sheet, write_sheet
from tests.helpers.photo_index import index_photos
from tests.helpers.sample_files import exif


def run(*arguments: object, input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=input)


def plain(path: Path, colour: str, size: tuple[int, int] = (300, 200)) -> Path:
    """A picture of one colour."""
    Image.new("RGB", size, colour).save(path)
    return path


def groups_of(counts: list[int], path: Path) -> list[Group]:
    return [
        Group(
            f"query {place}",
            [Card("m.png", path, rank, [("score", "0.5")]) for rank in range(count)],
            [Card("q", path)],
        )
        for place, count in enumerate(counts)
    ]


def share_of(image: Image.Image, colour: str) -> float:
    """The share of an image's pixels that are nearly of a colour."""
    expected = np.array(Image.new("RGB", (1, 1), colour))[0, 0].astype(int)
    return float((np.abs(np.asarray(image).astype(int) - expected).max(axis=2) < 30).mean())


@pytest.fixture
def photos(photo_folder: Callable[..., Path]) -> Path:
    """A folder of 6 pictures in two subfolders, indexed as `photos`."""
    root = photo_folder(6, subfolders=["cats", "dogs"])
    index_photos(root)
    return root


def test_a_thumbnail_is_upright_and_knows_the_size_of_its_picture(tmp_path: Path, draw_picture: Callable) -> None:
    picture = draw_picture(1, (803, 401))
    turned = tmp_path / "turned.jpg"
    # as a camera held upright writes it: orientation 6 says that the first row is on the right
    picture.rotate(90, expand=True).save(turned, exif=exif(6), quality=95)
    (_, thumbnail), (_, gone) = thumbnails([turned, tmp_path / "none.jpg", turned], 100)
    assert thumbnail.image is not None
    assert (thumbnail.image.size, thumbnail.size) == ((100, 50), (803, 401))
    expected = picture.resize((100, 50), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(thumbnail.image).astype(int) - np.asarray(expected)).mean() < 3
    assert (gone.image, gone.problem) == (None, "the file is not there")


def test_a_small_picture_keeps_its_size_and_a_thin_one_a_pixel(tmp_path: Path) -> None:
    for size, expected in (((30, 20), (30, 20)), ((2000, 3), (64, 1))):
        image, own = read_thumbnail(plain(tmp_path / "x.png", "red", size).read_bytes(), 64, name="x")
        assert (image.size, own) == (expected, size)


def test_a_box_is_drawn_where_it_is_in_the_picture(tmp_path: Path) -> None:
    path = plain(tmp_path / "x.png", "blue", (400, 200))
    ((_, thumbnail),) = thumbnails([path], 100)
    assert thumbnail.with_boxes([]) is thumbnail.image
    pixels = np.asarray(thumbnail.with_boxes([(200, 40, 120, 120)]))
    drawn = np.argwhere((pixels != (0, 0, 255)).any(axis=2))
    assert drawn.min(axis=0).tolist() == [10, 50]
    assert drawn.max(axis=0).tolist() == [39, 79]
    assert (pixels[25, 65] == (0, 0, 255)).all()
    both = np.asarray(thumbnail.with_boxes([(200, 40, 120, 120), (0, 0, 100, 100)]))
    assert (both[10:40, 50:80] == pixels[10:40, 50:80]).all()
    assert (both[:25, :25] != (0, 0, 255)).any()
    # what lies outside the picture, or is smaller than a pixel, is no error
    for box in ((-10.0, -10.0, 1000.0, 1000.0), (399.5, 199.5, 0.5, 0.5)):
        assert thumbnail.with_boxes([box]).size == (100, 50)


def test_places_are_around_the_lead_and_never_twice(tmp_path: Path) -> None:
    for columns, lead, count in ((5, 2, 6), (5, 2, 7), (4, 2, 30), (3, 1, 2), (3, 1, 9)):
        layout = Layout(100, columns, lead, 1)
        places = list(layout.places(count, led=True))
        taken = {(column, row) for column in range(lead) for row in range(lead)}
        assert len({*places} | taken) == count + lead**2
        assert max(column for column, _ in places) < columns
        assert max(row for _, row in places) + 1 <= layout.rows(count, led=True)
        assert layout.rows(count, led=True) == max(lead, max(row for _, row in places) + 1)


@pytest.mark.parametrize("counts", [[1], [10], [200], [10] * 100, [0, 3, 200], [0], [1] * 1000, [3000]])
def test_sheets_of_any_number_of_pictures_can_be_looked_at(counts: list[int]) -> None:
    groups = groups_of(counts, Path("x"))
    layout = choose_layout(groups, 16_383, advice="")
    width, height = layout.size(groups)
    assert max(width, height) <= 16_383
    assert width * height <= (COMFORTABLE if layout.side > SIDES[-1] else MOST)
    assert 0.3 < width / height < 5
    # a few pictures are shown large, and no picture is ever too small to see what it is
    assert layout.side == SIDES[0] or sum(counts) > 30
    assert sum(map(len, layout.columns_of_blocks(groups))) == len(groups)


@pytest.mark.parametrize("counts", [[7, 7, 7], [10, 0, 3, 12], [1, 1], [5] * 20])
def test_each_of_several_queries_has_a_row(tmp_path: Path, counts: list[int]) -> None:
    groups = groups_of(counts, tmp_path / "q.png")
    layout = choose_layout(groups, 65_535, advice="")
    assert layout.columns_of_blocks(groups) == [groups]
    assert {layout.rows(count, led=True) for count in counts} == {1}
    assert max(layout.size(groups)) < 8000


def test_too_many_pictures_are_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(CbirError, match=r"20,100 pictures are too many for one sheet\. Ask for fewer \(-k\)"):
        draw_sheet(groups_of([200] * 100, tmp_path / "x"))


def test_pictures_stand_where_they_belong(tmp_path: Path) -> None:
    red, green = plain(tmp_path / "red.png", "red"), plain(tmp_path / "lime.png", "lime")
    cards = [Card("a.png", green, 1, [("score", "0.9")]), Card("gone.png", tmp_path / "gone.png", 2)]
    group = Group("red.png", cards, [Card("red.png", red)])
    sheet = draw_sheet([group])
    layout = choose_layout([group], 65_535, advice="")
    assert sheet.size == layout.size([group])
    left, top = layout.margin, layout.margin
    bottom = top + (layout.lead - 1) * layout.down + layout.side
    lead = sheet.crop((left, top, left + layout.lead * layout.across - layout.gap, bottom))
    assert share_of(lead, "red") > 0.2
    assert share_of(lead, "lime") == 0
    found = []
    for column, row in layout.places(2, led=True):
        x, y = left + column * layout.across, top + row * layout.down
        found.append(sheet.crop((x, y, x + layout.side, y + layout.side)))
        caption = np.asarray(sheet.crop((x, y + layout.side, x + layout.side, y + layout.side + layout.caption)))
        assert (caption < 130).any()
    assert share_of(found[0], "lime") > 0.08
    # the file that is gone is a tile with words, not a picture of something else
    assert share_of(found[1], "lime") == share_of(found[1], "red") == 0
    assert (np.asarray(found[1]) != np.asarray(found[1])[5, 100]).any()


def test_one_sheet_for_words_several_pictures_failures_and_nothing(tmp_path: Path) -> None:
    red, blue = plain(tmp_path / "red.png", "red"), plain(tmp_path / "blue.png", "blue")
    both = Group("two", [], [Card("red", red), Card("blue", blue, mark="unlike")], notes=["unlike: blue"])
    sheet = draw_sheet([both])
    assert share_of(sheet, "red") > 0.05
    assert share_of(sheet, "blue") > 0.05
    words = Group("bird, not flamingo", [], [Card("bird, not flamingo", None)])
    failed = Group("x.jpg", [], [Card("x.jpg", tmp_path / "x.jpg")], problem="Cannot read x.jpg: it is no picture.")
    untitled = Group("three that are the same", [Card("red", red)] * 3)
    blank = draw_sheet([Group("", [], [Card("", None)])])
    for group in (words, failed):
        assert (np.asarray(draw_sheet([group])) < 130).sum() > (np.asarray(blank) < 130).sum()
    assert share_of(draw_sheet([untitled]), "red") > 0.05
    assert draw_sheet([words, failed, untitled, both]).size[0] > 300


def test_names_keep_their_end_and_are_read_in_any_script() -> None:
    letters = Lettering()
    short = letters.shorten("holidays/2024/on the island/IMG_2041.jpg", 16, 130)
    assert short.startswith("…")
    assert short.endswith("IMG_2041.jpg")
    assert letters.length(short, 16) <= 130
    assert letters.shorten("a.jpg", 16, 130) == "a.jpg"
    box = letters.readable("\ufffd")  # as a letter, where a font has it
    assert letters.shorten("a\nb\x1b\udcff\u202e.jpg", 16, 500) == f"a\\nb\\x1b{box}\\u202e.jpg"
    # composed as the system's file names on some systems are not
    assert letters.readable("Cafe\u0301") == letters.readable("Caf\u00e9")
    wrapped = letters.wrap("Cannot read some.jpg: it is damaged (" + "x" * 100 + ").", 16, 120, 3)
    assert len(wrapped) == 3
    assert max(letters.length(line, 16) for line in wrapped) <= 120
    assert wrapped[-1].endswith("…")


def test_what_no_font_has_is_written_as_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_font_files", lambda: ())
    letters = Lettering()
    short = letters.shorten("holidays/é/IMG_2041.jpg", 16, 130)
    assert short.endswith("/IMG_2041.jpg")
    assert letters.length(short, 16) <= 130
    assert Lettering().readable("中文\U0001f600.jpg") == "\\u4e2d\\u6587\\U0001f600.jpg"


def test_what_pillows_font_lacks_comes_from_the_systems(tmp_path: Path) -> None:
    try:
        ImageFont.truetype("DejaVuSans.ttf", 12)
    except OSError:
        pytest.skip("this system has no DejaVu Sans")
    letters = Lettering()
    assert letters.readable("Москва Ελλάδα.jpg") == "Москва Ελλάδα.jpg"
    group = Group("x", [Card("Москва.jpg", None, 1)])
    question_marks = Group("x", [Card("??????.jpg", None, 1)])
    boxes = Group("x", [Card("□□□□□□.jpg", None, 1)])
    drawn = [np.asarray(draw_sheet([one])) for one in (group, question_marks, boxes)]
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_a_sheet_comes_beside_the_matches_in_every_format(photos: Path, tmp_path: Path) -> None:
    query = photos / "cats/img_000.jpg"
    plainly = run("search", query, "-k", "3").stdout
    for name, format_ in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("new/folder/A.WEBP", "WEBP"), ("a.jpeg", "JPEG")):
        result = run("search", query, "-k", "3", "--sheet", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert result.stdout == plainly
        with Image.open(tmp_path / name) as sheet:
            assert (sheet.format, sheet.mode) == (format_, "RGB")
            assert min(sheet.size) > 250
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.jpeg", "a.jpg", "a.png"]
    assert not list(tmp_path.rglob(".cbir*"))


def test_a_sheet_of_queries_of_which_one_fails(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    gone = photos / "dogs/img_001.jpg"
    queries = [photos / "cats/img_000.jpg", tmp_path / "bad.jpg", photos / "cats/img_002.jpg"]
    (tmp_path / "list").write_text("\n".join(map(str, queries)))
    gone.unlink()
    sheet = tmp_path / "sheet.png"
    result = run("search", "--files-from", tmp_path / "list", "--sheet", sheet, "--format", "paths")
    assert result.exit_code == 1
    assert str(gone) in result.stdout
    assert "it is no picture in a known format" in result.stderr
    assert Image.open(sheet).width > 500


def test_a_picture_from_stdin_and_several_together(photos: Path, tmp_path: Path) -> None:
    content = (photos / "cats/img_000.jpg").read_bytes()
    assert run("search", "-", "--sheet", tmp_path / "one.png", input=content).exit_code == 0
    named = [photos / f"cats/img_{number:03d}.jpg" for number in (0, 2)]
    other = photos / "dogs/img_001.jpg"
    assert run("search", "--together", *named, "--unlike", other, "--sheet", tmp_path / "two.png").exit_code == 0
    # the frame of the picture that matches are to be unlike
    assert share_of(Image.open(tmp_path / "two.png"), "#b02030") > share_of(Image.open(tmp_path / "one.png"), "#b02030")


def test_it_works_without_a_terminal_and_loads_no_network(photos: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from cbir.cli import cli; "
        "cli(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'torch', 'openvino', 'jinja2'} & set(sys.modules)), file=sys.stderr)"
    )
    arguments = ["search", str(photos / "cats/img_000.jpg"), "--sheet", str(tmp_path / "a.png")]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        env={"PATH": "/nowhere", "CBIR_HOME": str(tmp_path / "indexes"), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert len(result.stdout.splitlines()) == 5
    assert result.stderr.decode().strip() == "[]"
    assert (tmp_path / "a.png").exists()


def test_reading_the_options_imports_no_numpy(tmp_path: Path) -> None:
    """Whoever imports it first decides how many threads multiply (`cbir.cli.terminal.runs.use_one_blas_thread`)."""
    code = (
        "import sys; from cbir.cli.commands.search import command; "
        "command.make_context('search', sys.argv[1:]); print('numpy' in sys.modules, 'PIL' in sys.modules)"
    )
    arguments = ["x.jpg", "--sheet", str(tmp_path / "a.png"), "--html", str(tmp_path / "a.html")]
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True)
    assert result.stdout.split() == [b"False", b"False"]


@pytest.mark.parametrize("option", ["--sheet", "--html"])
def test_what_cannot_be_written_is_told_before_the_search(photos: Path, tmp_path: Path, option: str) -> None:
    query = photos / "cats/img_000.jpg"
    ending = ".png" if option == "--sheet" else ".html"
    (tmp_path / "file").write_text("no folder")
    (tmp_path / f"folder{ending}").mkdir()
    for name, reason, code in (
        ("x.gif", "is none", 2),
        ("x", "is none", 2),
        (f"file/x{ending}", f"{tmp_path / 'file'} is no folder", 1),
        (f"folder{ending}", "it is a folder", 1),
    ):
        result = run("search", query, option, tmp_path / name)
        assert result.exit_code == code
        assert reason in result.stderr
        assert f"name another file with {option}" in result.stderr.lower().replace("\n", " ")
        assert result.stdout == ""


def test_no_picture_is_written_over(photos: Path, tmp_path: Path) -> None:
    query = tmp_path / "query.jpg"
    shutil.copy(photos / "cats/img_000.jpg", query)
    match = photos / "dogs/img_001.jpg"
    for target in (query, match):
        before = target.read_bytes()
        result = run("search", query, "--sheet", target)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"{target} is there, and cbir did not make it" in result.stderr
        result = run("search", query, "--sheet", target, "--force")
        assert result.exit_code == 1
        assert "would be written over, and it is one of the pictures" in result.stderr
        assert target.read_bytes() == before
        assert len(result.stdout.splitlines()) == 6


def test_a_sheet_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "sheet.png"
    groups = groups_of([2], plain(tmp_path / "x.png", "red"))
    write_sheet(groups, target)
    target.chmod(0o640)
    write_sheet(groups, target)
    assert target.stat().st_mode & 0o777 == 0o640
    before = target.read_bytes()

    def fail(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", fail)
    with pytest.raises(CbirError, match=r"Cannot write .*sheet\.png: no space left on device\. Name another file"):
        write_sheet(groups, target)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet.png", "x.png"]

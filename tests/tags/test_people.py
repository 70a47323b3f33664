"""People in sidecars: beside tags, and in pictures that are turned."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from cbir.errors import ImageReadError
from cbir.images.read import open_image
from cbir.images.regions import Box
from cbir.tags.people import find_people
from cbir.tags.xmp import Outcome, Region, Sidecars
from cbir.words.tag import Tag

ANNA = Region("Anna", 0.25, 0.5, 0.125, 0.25)


def tag(word: str) -> Tag:
    return Tag(word, 0.9, None, True)


def test_tags_and_people_share_a_sidecar(tmp_path: Path) -> None:
    picture, sidecars = tmp_path / "some.jpg", Sidecars()
    file = tmp_path / "some.jpg.xmp"
    assert sidecars.write(picture, [tag("dog")]) is Outcome.WRITTEN
    alone = file.read_text("utf-8")
    assert sidecars.write_people(picture, [ANNA, ANNA._replace(name="A|<Bob>\x1b")], (400, 300)) is Outcome.REFRESHED
    both = file.read_text("utf-8")
    for text in ("<rdf:li>dog</rdf:li>", "<rdf:li>People|Anna</rdf:li>", "<rdf:li>People|A/&lt;Bob&gt;\\x1b</rdf:li>"):
        assert text in both
    assert sidecars.write_people(picture, [ANNA, ANNA._replace(name="A|<Bob>\x1b")], (400, 300)) is Outcome.UNCHANGED
    # new tags leave people, and people leave tags
    assert sidecars.write(picture, [tag("cat"), tag("a|b")]) is Outcome.REFRESHED
    text = file.read_text("utf-8")
    assert "dog" not in text
    assert 'mwg-rs:Name="Anna"' in text
    assert 'stDim:w="400"' in text
    assert sidecars.write_people(picture, [], (0, 0)) is Outcome.REFRESHED
    assert "mwg-rs" not in file.read_text("utf-8")
    assert sidecars.write(picture, [tag("dog")]) is Outcome.REFRESHED
    assert file.read_text("utf-8") == alone


def test_a_picture_without_people_gets_no_sidecar(tmp_path: Path) -> None:
    assert Sidecars().write_people(tmp_path / "some.jpg", [], (0, 0)) is Outcome.WITHOUT_TAGS
    assert not list(tmp_path.iterdir())


def test_what_is_of_another_picture_is_not_kept(tmp_path: Path) -> None:
    jpeg, png, sidecars = tmp_path / "some.jpg", tmp_path / "some.png", Sidecars("replace")
    png.touch()
    assert sidecars.write_people(jpeg, [ANNA], (400, 300)) is Outcome.WRITTEN
    assert sidecars.write(png, [tag("dog")]) is Outcome.REFRESHED
    assert "Anna" not in (tmp_path / "some.xmp").read_text("utf-8")


def test_an_entity_that_a_stranger_put_there_is_not_read(tmp_path: Path) -> None:
    picture, sidecars, file = tmp_path / "some.jpg", Sidecars(), tmp_path / "some.jpg.xmp"
    sidecars.write_people(picture, [ANNA], (400, 300))
    data = file.read_bytes().replace(b"<x:xmpmeta", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x:xmpmeta')
    blank = data.replace(data[data.index(b"<cbir:checksum>") + 15 :][:64], b"0" * 64)
    file.write_bytes(blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode()))
    assert sidecars.write(picture, [tag("dog")]) is Outcome.REFRESHED
    assert "Anna" not in file.read_text("utf-8")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_places_are_those_of_the_picture_as_it_is_stored(tmp_path: Path, orientation: int) -> None:
    stored = Image.new("RGB", (120, 80))
    stored.paste((255, 255, 255), (10, 20, 40, 60))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    stored.save(path, exif=exif)
    upright = open_image(path)
    left, top, right, bottom = upright.getbbox() or (0, 0, 0, 0)
    data = hashlib.sha256(path.read_bytes()).hexdigest()
    found = find_people(path, data, [("Anna", Box(left, top, right - left, bottom - top))])
    assert found.size == (120, 80)
    (region,) = found.regions
    assert region[1:] == pytest.approx((25 / 120, 40 / 80, 30 / 120, 40 / 80))


def test_another_content_has_no_places(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 20)).save(path)
    with pytest.raises(ImageReadError, match="it has changed"):
        find_people(path, "0" * 64, [("Anna", Box(0, 0, 5, 5))])
    assert find_people(path, "0" * 64, []) == ([], (0, 0))

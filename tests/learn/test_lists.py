"""Lists of labels and pairs as people and spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbir.errors import CbirError
from cbir.learn.lists import GivenLabel, GivenPair, read_labels, read_pairs


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"a.jpg,cat\nb.jpg,\n",
        b"path,class\r\na.jpg,cat\r\n\r\nb.jpg,\r\n",
        b"\xef\xbb\xbfPath;Class\na.jpg; cat \nb.jpg;\n",
        "sep=;\na.jpg;cat\nb.jpg;\n".encode("utf-16"),
        b"path\tclass\na.jpg\tcat\nb.jpg\t\n",
    ],
)
def test_labels_are_read_as_they_are_meant(tmp_path: Path, content: bytes) -> None:
    assert read_labels(written(tmp_path, content)) == [GivenLabel("a.jpg", "cat"), GivenLabel("b.jpg", "")]


def test_labels_of_parts_have_boxes(tmp_path: Path) -> None:
    file = written(tmp_path, b"path,label,x,y,width,height\na.jpg,dog,1,2,30,40.5\nb.jpg,,10%,10%,50%,50%\n")
    assert read_labels(file) == [("a.jpg", "dog", "1,2,30,40.5"), ("b.jpg", "", "10%,10%,50%,50%")]
    for line in (b"a.jpg,dog,1,2,30", b"a.jpg,dog,1,2,0,4", b"a.jpg,dog,x,2,3,4", b"a.jpg,dog,-1,2,3,4"):
        with pytest.raises(CbirError, match="Line 2"):
            read_labels(written(tmp_path, b"b.jpg,dog,1,2,30,40\n" + line))


def test_a_picture_may_be_called_as_a_header_later(tmp_path: Path) -> None:
    assert read_labels(written(tmp_path, b"a,b\npath,class\n"))[1] == GivenLabel("path", "class")


def test_pairs_are_read_below_a_header_or_without(tmp_path: Path) -> None:
    expected = [GivenPair(True, "a.jpg", "b.jpg"), GivenPair(False, "a.jpg", "c, d.jpg")]
    lines = b'Same,a.jpg,b.jpg\ndifferent,a.jpg,"c, d.jpg"\n'
    assert read_pairs(written(tmp_path, lines)) == expected
    assert read_pairs(written(tmp_path, b"pair,first,second\n" + lines)) == expected


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"a.jpg,cat\nb.jpg\n", 2), (b"a.jpg,cat,dog\n", 1), (b"a.jpg,x\n\n,cat\n", 3)],
)
def test_what_is_no_label_is_named_by_its_line(tmp_path: Path, content: bytes, line: int) -> None:
    with pytest.raises(CbirError, match=f"Line {line} of .*list.csv is"):
        read_labels(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"same,a,b\nalike,a,b\n", 2), (b"same,a\n", 1), (b"same,a,b\nsame,,b\n", 2), (b"same,a,b\npair,a,b\n", 2)],
)
def test_what_is_no_pair_is_named_by_its_line(tmp_path: Path, content: bytes, line: int) -> None:
    with pytest.raises(CbirError, match=f"Line {line} of .*list.csv is no pair"):
        read_pairs(written(tmp_path, content))


def test_files_that_are_no_lists_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CbirError, match="is empty"):
        read_labels(written(tmp_path, b"\n\n"))
    with pytest.raises(CbirError, match="Cannot read the list of labels"):
        read_labels(tmp_path / "nowhere.csv")
    with pytest.raises(CbirError, match="Cannot read the list of pairs"):
        read_pairs(tmp_path)

"""Files of boxes: what is written is read again as it was, others' files are read, and odd ones are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbir.detect.formats import coco, voc, yolo
from cbir.detect.formats.annotations import Annotated, Annotation, Names, Size
from cbir.detect.formats.reading import read_boxes
from cbir.errors import CbirError, OutputRefusedError
from cbir.utils.marks import Mark
from cbir.utils.outputs import Derived, Piece

MASK = np.array([[1, 1, 0], [0, 1, 1]], dtype=bool)
PICTURES = (
    Annotated(
        "a.jpg",
        Size(100, 80),
        (
            Annotation((10, 20, 30, 40), "dog", 0.75),
            Annotation((0, 0, 100, 80), "potted plant & “pot” <b>", 0.5),
            Annotation((5, 6, 3, 2), "dog", 0.25, MASK),
        ),
    ),
    Annotated("b.jpg", Size(64, 48), (Annotation((1, 2, 3, 4), "cat", difficult=True),)),
    Annotated("none.jpg", Size(10, 10)),
)
CLASSES = ("cat", "dog", "potted plant & “pot” <b>")


def same(found: tuple[Annotated, ...], expected: tuple[Annotated, ...], *, masks: bool = False) -> None:
    """Pictures, boxes, names and scores are the same."""
    assert [one.name for one in found] == [one.name for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert [(a.name, a.score, a.difficult) for a in one.annotations] == [
            (a.name, a.score, a.difficult) for a in other.annotations
        ]
        for mine, theirs in zip(one.annotations, other.annotations, strict=True):
            assert mine.box == pytest.approx(theirs.box, abs=1e-3)
            if masks and theirs.mask is not None:
                assert mine.mask is not None
                assert (mine.mask == theirs.mask).all()


def test_datasets_of_coco(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(coco.dataset(PICTURES, CLASSES)))
    found = coco.read(path, masks=True)
    same(found.pictures, PICTURES, masks=True)
    assert found.classes == CLASSES
    assert [one.size for one in found.pictures] == [one.size for one in PICTURES]
    document = json.loads(path.read_text())
    assert document["annotations"][2]["area"] == MASK.sum()
    assert document["annotations"][0]["bbox"] == [10, 20, 30, 40]
    assert [one["category_id"] for one in document["annotations"]] == [2, 3, 2, 1]


def test_pycocotools_reads_datasets_and_results(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    path, found = tmp_path / "boxes.json", tmp_path / "results.json"
    path.write_text(json.dumps(coco.dataset(PICTURES, CLASSES)))
    found.write_text(json.dumps(coco.results(PICTURES, coco.read(path))))
    truth = COCO(str(path))
    assert truth.annToMask(truth.anns[3]).sum() == MASK.sum()
    loaded = truth.loadRes(str(found))
    assert [one["score"] for one in loaded.anns.values()] == [0.75, 0.5, 0.25, 1.0]
    assert truth.annToMask(loaded.anns[3])[6:8, 5:8].tolist() == MASK.astype(int).tolist()


def test_results_are_of_their_dataset(tmp_path: Path) -> None:
    path, found = tmp_path / "boxes.json", tmp_path / "results.json"
    path.write_text(json.dumps(coco.dataset(PICTURES, CLASSES)))
    truth = coco.read(path)
    shown = (PICTURES[0], Annotated("b.jpg", Size(64, 48), (Annotation((1, 2, 3, 4), "unicorn", 0.9),)), PICTURES[2])
    found.write_text(json.dumps(coco.results(shown, truth)))
    same(coco.read(found, truth, masks=True).pictures, (PICTURES[0], Annotated("b.jpg", None), PICTURES[2]), masks=True)
    with pytest.raises(CbirError, match="no dataset"):
        coco.read(found)


def document(**changes: Any) -> dict[str, Any]:
    """A small dataset with some of its keys changed."""
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 10}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], **changes.pop("box", {})}],
        "categories": [{"id": 1, "name": "dog"}],
        **changes,
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "cannot be used"),
        ("no json", "cannot be used"),
        ("[" * 100_000, "cannot be used"),
        ("3", "neither a dataset"),
        ("{}", "list of images"),
        (json.dumps(document(annotations={})), "list of annotations"),
        (json.dumps(document(images=[{"id": 1, "width": 10}])), "no width and height"),
        (json.dumps(document(images=[{"id": 1, "width": 10**9, "height": 10}])), "no width and height"),
        (json.dumps(document(images=[{"id": 1.5}])), "whole number"),
        (json.dumps(document(images=[{"id": 1, "width": 1, "height": 1}] * 2)), "two of the images"),
        (json.dumps(document(categories=[{"id": 1, "name": 3}])), "no name of a class"),
        (json.dumps(document(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}])), "one name"),
        (json.dumps(document(box={"image_id": 2})), "the picture 2"),
        (json.dumps(document(box={"image_id": [1]})), "the picture"),
        (json.dumps(document(box={"category_id": None})), "the category None"),
        (json.dumps(document(box={"bbox": [1, 1, 2]})), "no box of"),
        (json.dumps(document(box={"bbox": [1, 1, 2, -2]})), "not a number from 0"),
        (json.dumps(document(box={"bbox": [1, 1, 2, float("nan")]})), "cannot be used"),
        (json.dumps(document(box={"bbox": [1, 1, 2, 1e300]})), "not a number"),
        (json.dumps(document(box={"bbox": [1, 1, 2, "3"]})), "not a number"),
        (json.dumps(document(box={"score": float("inf")})), "cannot be used"),
        (json.dumps(document(box={"score": "high"})), "not a number"),
        (json.dumps(document(box={"iscrowd": "no"})), "iscrowd"),
    ],
)
def test_odd_documents_of_coco_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(CbirError, match=reason) as error:
        coco.read(path)
    assert str(path) in str(error.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(CbirError, match=str(path)):
            read_boxes(path)


def write_yolo(folder: Path, pictures: tuple[Annotated, ...], **options: Any) -> None:
    """Write pictures as YOLO has them."""
    writer = yolo.YoloFolder(folder, options.pop("classes", CLASSES), **options)
    for one in pictures:
        writer.add(folder.parent / one.name, one)
    writer.finish()


def test_folders_of_yolo(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write_yolo(folder, PICTURES)
    assert (folder / "classes.txt").read_text().splitlines() == list(CLASSES)
    assert (folder / "a.txt").read_text().splitlines()[0] == "1 0.250000 0.500000 0.300000 0.500000 0.75000"
    assert (folder / "none.txt").read_text() == ""
    found = read_boxes(folder)
    sized = tuple(one.of_size(other.size) for one, other in zip(found.pictures, PICTURES, strict=True))
    expected = (PICTURES[0], Annotated("b.jpg", None, (Annotation((1, 2, 3, 4), "cat"),)), PICTURES[2])
    same(sized, tuple(Annotated(Path(one.name).stem, one.size, one.annotations) for one in expected))
    assert found.classes == CLASSES


def test_corrected_boxes_of_yolo_are_not_lost(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write_yolo(folder, PICTURES)
    write_yolo(folder, PICTURES)  # again, the same
    other = (Annotated("a.jpg", Size(100, 80), ()),)
    write_yolo(folder, other)  # its own file is replaced
    assert (folder / "a.txt").read_text() == ""
    (folder / "b.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(OutputRefusedError, match=r"b\.txt is there"):
        write_yolo(folder, PICTURES)
    assert (folder / "b.txt").read_text() == "0 0.5 0.5 0.1 0.1\n"
    write_yolo(folder, PICTURES, force=True)
    assert (folder / "b.txt").read_text() != "0 0.5 0.5 0.1 0.1\n"


def test_classes_of_yolo_are_not_mixed(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write_yolo(folder, PICTURES)
    with pytest.raises(OutputRefusedError, match="other classes"):
        write_yolo(folder, PICTURES[:1], classes=(*CLASSES, "unicorn"))


def test_two_pictures_have_no_text_of_yolo_together(tmp_path: Path) -> None:
    writer = yolo.YoloFolder(tmp_path / "labels", CLASSES)
    writer.add(tmp_path / "a.jpg", PICTURES[0])
    with pytest.raises(OutputRefusedError, match="where those of"):
        writer.add(tmp_path / "a.png", PICTURES[0])
    with pytest.raises(OutputRefusedError, match="where the classes are"):
        writer.add(tmp_path / "classes.jpg", PICTURES[0])


def test_a_list_of_what_was_written_is_not_trusted(tmp_path: Path) -> None:
    for content in ("[]", "{", '{"files": 3}', '{"files": {"a.txt": 5}}', "[" * 100_000):
        (tmp_path / "cbir-yolo.json").write_text(content)
        (tmp_path / "a.txt").write_text("mine")
        with pytest.raises(OutputRefusedError):
            write_yolo(tmp_path, PICTURES)
        assert (tmp_path / "a.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("line", "box", "score"),
    [
        ("1 0.5 0.5 0.2 0.4", (0.4, 0.3, 0.2, 0.4), None),
        ("1 .5 5e-1 0.2 0.4 0.9", (0.4, 0.3, 0.2, 0.4), 0.9),
        ("1 0.1 0.1 0.3 0.1 0.3 0.5", (0.1, 0.1, 0.2, 0.4), None),
        ("1 0.1 0.1 0.3 0.1 0.3 0.5 0.8", (0.1, 0.1, 0.2, 0.4), 0.8),
    ],
)
def test_lines_of_others(tmp_path: Path, line: str, box: tuple[float, ...], score: float | None) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "x.txt").write_text(f"\n{line}\n")
    (one,) = read_boxes(tmp_path).pictures[0].annotations
    assert one.box == pytest.approx(box)
    assert (one.name, one.score) == ("dog", score)


@pytest.mark.parametrize(
    "line",
    ["dog 0.5 0.5 0.2 0.2", "2 0.5 0.5 0.2 0.2", "-1 0.5 0.5 0.2 0.2", "0 nan 0.5 0.2 0.2", "0 0.5 0.5 0.2",
     "0 0.5 0.5 -0.2 0.2", "0 120 50 30 40", "0 1e400 0.5 0.2 0.2", "0 \x00 0 0 0"],
)  # fmt: skip
def test_odd_lines_of_yolo_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "x.txt").write_text(f"{line}\n")
    with pytest.raises(CbirError, match=r"x\.txt cannot be used: line 1"):
        read_boxes(tmp_path)


def write_voc(folder: Path, pictures: tuple[Annotated, ...], *, force: bool = False) -> list[Path]:
    """Write pictures as VOC has them."""
    derived = Derived(force=force)
    paths = []
    for one in pictures:
        picture = folder.parent / one.name

        def fill(file: Any, mark: Mark, picture: Path = picture, one: Annotated = one) -> None:
            file.write(voc.document(picture, one, mark))

        paths += derived.write(picture, [(Piece(folder, voc.ENDING, "voc", "--voc"), fill)])
    return paths


def test_folders_of_voc(tmp_path: Path) -> None:
    folder = tmp_path / "xml"
    assert [path.name for path in write_voc(folder, PICTURES)] == ["a.xml", "b.xml", "none.xml"]
    found = read_boxes(folder)
    same(found.pictures, PICTURES)
    assert found.classes == CLASSES
    assert "<xmin>11</xmin>" in (folder / "a.xml").read_text()
    write_voc(folder, PICTURES)  # its own are replaced
    (folder / "a.xml").write_text((folder / "a.xml").read_text().replace("<!--", "<!-- drawn by me, once"))
    with pytest.raises(OutputRefusedError, match=r"a\.xml is there"):
        write_voc(folder, PICTURES)


def test_boxes_of_voc_stay_within_their_picture(tmp_path: Path) -> None:
    odd = (
        Annotated("a.jpg", Size(10, 10), (Annotation((9.9, 9.9, 0.05, 0.05), "x"), Annotation((-3, -3, 50, 2), "y"))),
    )
    write_voc(tmp_path / "xml", odd)
    found = [one.box for one in read_boxes(tmp_path / "xml").pictures[0].annotations]
    assert found == [(9, 9, 1, 1), (0, 0, 10, 1)]


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotation><filename>&b;</filename></annotation>'
FILE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation><filename>&a;</filename></annotation>'


SIDES = "<size><width>9</width><height>9</height></size>"


def voc_box(inner: str) -> str:
    """A file of VOC with that in its box."""
    return f"<annotation>{SIDES}<object><name>x</name><bndbox>{inner}</bndbox></object></annotation>"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BOMB, "document type"),
        (FILE, "document type"),
        ("", "no XML"),
        ("<annotation>", "no XML"),
        ("<a>" * 100_000, "no XML"),
        ("<html/>", "no annotation of VOC"),
        ("<annotation/>", "size is not in it"),
        (f"<annotation>{SIDES.replace('9', '0')}</annotation>", "width is not from 1"),
        (f"<annotation>{SIDES}<object><name>x</name></object></annotation>", "no bndbox"),
        (voc_box("<xmin>1</xmin>"), "no finite number"),
        (voc_box("<xmin>1</xmin><ymin>1</ymin><xmax>nan</xmax><ymax>2</ymax>"), "no finite number"),
        (voc_box("<xmin>1</xmin><ymin>1</ymin><xmax>1e9</xmax><ymax>2</ymax>"), "xmax is not"),
        (voc_box("<xmin>5</xmin><ymin>1</ymin><xmax>1</xmax><ymax>2</ymax>"), "ends before"),
        (
            voc_box("<xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>").replace(">x<", "> <"),
            "no name of a class",
        ),
    ],
)
def test_odd_files_of_voc_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "x.xml").write_text(content)
    with pytest.raises(CbirError, match=reason) as error:
        read_boxes(tmp_path)
    assert "root:" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_pipes_in_folders_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.xml")
    with pytest.raises(CbirError, match="not a regular file"):
        read_boxes(tmp_path)


def test_pictures_are_found_by_their_names() -> None:
    names = Names(["a/x.jpg", "b/x.jpg", "b/y.png", "z.jpg", "c/z.png"])
    assert [names.find(one) for one in ("a/x.jpg", "a\\x.jpg", "x.jpg", "y.png", "y", "z", "z.png", "none")] == [
        0, 0, None, 2, 2, None, 4, None,
    ]  # fmt: skip

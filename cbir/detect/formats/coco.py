"""Boxes in the format of COCO: datasets (pictures, boxes, categories) and results (a list of found boxes).

Lin et al., "Microsoft COCO: Common Objects in Context" (ECCV 2014); the format is described at cocodataset.org.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cbir.detect.formats.annotations import (
    LARGEST,
    Annotated,
    Annotation,
    Annotations,
    Size,
    class_name,
    numbered,
    read_text,
    unusable,
)
from cbir.detect.formats.masks import area, packed_runs, read_mask, segmentation
from cbir.detect.geometry import whole_pixels
from cbir.index.values import LARGEST as LARGEST_WHOLE
from cbir.index.values import number, read_json, text, whole
from cbir.utils.marks import Mark

#: Bytes of a document: COCO's own of 118,000 photos has 448 million.
MOST_BYTES = 1 << 29

_SCORES = 1e9  # of any detector, however it counts


def dataset(pictures: Iterable[Annotated], classes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the document of a dataset; boxes that have a score keep it.

    Categories are `classes` and then whatever else there is, numbered from 1. All pictures have a size.
    """
    of = dataset_numbers(pictures, classes)
    categories = dict(zip(of.classes, of.class_ids, strict=True))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for place, picture in zip(of.ids, of.pictures, strict=True):
        size = _size_of(picture)
        images.append({"id": place, "file_name": picture.name, "width": size.width, "height": size.height})
        for one in picture.annotations:
            mask = one.opened_mask()
            record = {
                "id": len(annotations) + 1,
                "image_id": place,
                "category_id": categories[one.name],
                "bbox": _rounded(one.box),
                "area": round(one.box[2] * one.box[3], 2) if mask is None else area(mask),
                "iscrowd": int(one.crowd),
            }
            if mask is not None:
                record["segmentation"] = segmentation(mask, whole_pixels(one.box, size), size)
                record |= _approximate(one)
            if one.difficult:
                record["difficult"] = 1
            if one.score is not None:
                record["score"] = round(one.score, 5)
            annotations.append(record)
    named = [{"id": number, "name": name} for name, number in categories.items()]
    return {"info": {"made_by": str(Mark("coco"))}, "images": images, "annotations": annotations, "categories": named}


def dataset_numbers(pictures: Iterable[Annotated], classes: Sequence[str] = ()) -> Annotations:
    """Return the pictures and classes with the numbers that they have in their `dataset`."""
    known = tuple(pictures)
    names = numbered([*classes, *(one.name for picture in known for one in picture.annotations)])
    return Annotations(known, names, tuple(range(1, len(known) + 1)), tuple(range(1, len(names) + 1)))


def results(pictures: Iterable[Annotated], of: Annotations) -> list[dict[str, Any]]:
    """Return results for the pictures of a dataset, in its numbers; boxes of classes that it lacks are left out.

    `pictures` are those `of` the dataset, in its order. Masks are packed run lengths.
    """
    categories = dict(zip(of.classes, of.class_ids, strict=True))
    found = []
    for image, picture in zip(of.ids, pictures, strict=True):
        for one in picture.annotations:
            if one.name not in categories:
                continue
            record: dict[str, Any] = {"image_id": image, "category_id": categories[one.name], "bbox": _rounded(one.box)}
            record["score"] = round(1.0 if one.score is None else one.score, 5)
            if (mask := one.opened_mask()) is not None:
                size = _size_of(picture)
                record["segmentation"] = packed_runs(mask, whole_pixels(one.box, size), size)
                record |= _approximate(one)
            found.append(record)
    return found


def read(path: Path, of: Annotations | None = None, *, masks: bool = False) -> Annotations:
    """Read a dataset, or results `of` one; with `masks` also these.

    Results have the pictures of their dataset in its order, those without any box included. CbirError where it cannot
    be read, or is of another form.
    """
    content = read_text(path, MOST_BYTES)
    try:
        document = read_json(content)
        if isinstance(document, dict):
            return _dataset(document, masks=masks)
        if not isinstance(document, list):
            raise ValueError("they are neither a dataset of COCO nor results")
        if of is None or not of.ids:
            raise ValueError("they are results of COCO, and there is no dataset of COCO whose numbers they have")
        return _results(document, of, masks=masks)
    except RecursionError as error:
        raise unusable(path, "they are no JSON: too many brackets") from error
    except ValueError as error:
        raise unusable(path, error) from error


def _dataset(document: dict[str, Any], *, masks: bool) -> Annotations:
    images = _by_number(document, "images")
    categories = _by_number(document, "categories")
    names: dict[int, str] = {}
    for key, category in categories.items():
        if not isinstance(key, int):
            raise ValueError(f"the category {key} has no number")
        names[key] = class_name(category.get("name"))
    found: dict[int | str, list[Annotation]] = {key: [] for key in images}
    sizes = {key: _size(key, image) for key, image in images.items()}
    for record in _records(document, "annotations"):
        image, annotation = _annotation(record, sizes, names, masks=masks)
        found[image].append(annotation)
    pictures = tuple(Annotated(_name(key, image), sizes[key], tuple(found[key])) for key, image in images.items())
    classes = numbered(names.values())
    if len(classes) < len(names):
        raise ValueError("two categories have one name")
    return Annotations(pictures, classes, tuple(images), tuple(names))


def _results(records: Sequence[Any], of: Annotations, *, masks: bool) -> Annotations:
    names = dict(zip(of.class_ids, of.classes, strict=True))
    sizes = {key: picture.size for key, picture in zip(of.ids, of.pictures, strict=True)}
    found: dict[int | str, list[Annotation]] = {key: [] for key in of.ids}
    for record in records:
        image, annotation = _annotation(record, sizes, names, masks=masks)
        if annotation.score is None:
            raise ValueError(f"the result {str(record)[:80]} has no score")
        found[image].append(annotation)
    pictures = tuple(
        Annotated(picture.name, picture.size, tuple(found[key]))
        for key, picture in zip(of.ids, of.pictures, strict=True)
    )
    return Annotations(pictures, of.classes, of.ids, of.class_ids)


def _annotation(
    record: Any, sizes: Mapping[int | str, Size | None], names: dict[int, str], *, masks: bool
) -> tuple[int | str, Annotation]:
    """Return the number of an annotation's picture, and the annotation."""
    if not isinstance(record, dict):
        raise ValueError(f"an annotation is no object: {str(record)[:80]}")
    image, category, box = record.get("image_id"), record.get("category_id"), record.get("bbox")
    if not isinstance(image, (int, str)) or image not in sizes:
        raise ValueError(f"a box is of the picture {str(image)[:40]}, which is not among them")
    if not isinstance(category, int) or category not in names:
        raise ValueError(f"a box is of the category {str(category)[:40]}, which is not among them")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"no box of x, y, width and height: {str(box)[:80]}")
    x, y = (number(one, -LARGEST, LARGEST) for one in box[:2])
    width, height = (number(one, 0, LARGEST) for one in box[2:])
    score = record.get("score")
    mask, size = None, sizes[image]
    if masks and size is not None and record.get("segmentation"):
        mask = read_mask(record["segmentation"], whole_pixels((x, y, width, height), size), size)
    return image, Annotation(
        (x, y, width, height),
        names[category],
        None if score is None else number(score, -_SCORES, _SCORES),
        mask,
        crowd=_is_set(record, "iscrowd"),
        difficult=_is_set(record, "difficult") or _is_set(record, "ignore"),
    )


def _records(document: dict[str, Any], key: str) -> list[Any]:
    records = document.get(key)
    if not isinstance(records, list):
        raise ValueError(f"a dataset of COCO has a list of {key}")
    return records


def _by_number(document: dict[str, Any], key: str) -> dict[int | str, dict[str, Any]]:
    """Return the objects of a list by their `id`, each of which comes once."""
    found: dict[int | str, dict[str, Any]] = {}
    for record in _records(document, key):
        given = record.get("id") if isinstance(record, dict) else None
        place = text(given) if isinstance(given, str) else whole(given, -LARGEST_WHOLE)
        if place in found:
            raise ValueError(f"two of the {key} have the id {place}")
        found[place] = record
    return found


def _name(key: int | str, image: dict[str, Any]) -> str:
    return text(image["file_name"]) if "file_name" in image else str(key)


def _size(key: int | str, image: dict[str, Any]) -> Size:
    try:
        return Size(whole(image.get("width"), 1, LARGEST), whole(image.get("height"), 1, LARGEST))
    except ValueError as error:
        raise ValueError(f"the picture {key} has no width and height") from error


def _is_set(record: dict[str, Any], key: str) -> bool:
    value = record.get(key, 0)
    if value not in (0, 1, None):
        raise ValueError(f"{key} is neither 0 nor 1: {str(value)[:40]}")
    return bool(value)


def _approximate(one: Annotation) -> dict[str, int]:
    """Return the key that says so of an approximate mask; other programs pass over it."""
    return {"approximate": 1} if one.is_approximate else {}


def _size_of(picture: Annotated) -> Size:
    assert picture.size is not None
    return picture.size


def _rounded(box: Sequence[float]) -> list[float]:
    return [round(float(one), 2) for one in box]

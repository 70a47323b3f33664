"""Boxes to be measured: what people drew and what was found, brought to the same pictures, names and pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from cbir.detect.classes import synset_of
from cbir.detect.detection import Detector
from cbir.detect.formats.annotations import Annotated, Annotation, Annotations, Names, Size
from cbir.detect.formats.reading import read_boxes
from cbir.detect.run import Found, detect_files
from cbir.errors import CbirError, ImageReadError, reason_of
from cbir.images.scan import scan
from cbir.words.wordnet import plain

#: Pictures that an error names; the others are counted.
_NAMED = 3


@dataclass(frozen=True)
class DrawnBoxes:
    """The boxes that people drew, of `file`, in pictures below `root`."""

    file: Path
    root: Path
    boxes: Annotations

    @classmethod
    def read(cls, file: Path, root: Path | None) -> DrawnBoxes:
        """Read a file, or a folder, whose pictures are below `root`, by default beside it."""
        boxes = read_boxes(file)
        if not any(picture.annotations for picture in boxes.pictures):
            raise CbirError(f"{file} has no box of any picture: there is nothing to be found.")
        return cls(file, root or file.parent, boxes)

    @cached_property
    def files(self) -> list[Path | None]:
        """The file of each picture, None where there is none of that name, or several."""
        try:
            paths = [found.path for found in scan(self.root).files]
        except OSError as error:
            raise CbirError(f"Cannot read the folder {self.root}: {reason_of(error)}.") from error
        names = Names(paths)
        places = [names.find(picture.name) for picture in self.boxes.pictures]
        return [None if place is None else self.root / paths[place] for place in places]

    def matched(self, found: Annotations) -> list[tuple[Annotated, Annotated]]:
        """Pair each picture with what was found in it, in the same pixels and by the same names of classes.

        Boxes of classes that nobody drew are left out, and pictures that nobody drew boxes in. CbirError where
        no picture is in both.
        """
        names = Names([picture.name for picture in self.boxes.pictures])
        classes = same_classes(found.classes, self.boxes.classes)
        own: dict[int, Annotated] = {}
        for picture in found.pictures:
            place = names.find(picture.name)
            if place is not None:
                own[place] = picture
        if not own:
            raise CbirError(
                f"None of the pictures of {self.file} is among those in which boxes were found: names have to be alike."
            )
        pairs = []
        for place, drawn in enumerate(self.boxes.pictures):
            its = own.get(place, Annotated(drawn.name, drawn.size))
            size = drawn.size or its.size
            kept = tuple(_named(one, classes[one.name]) for one in its.annotations if one.name in classes)
            pairs.append((drawn.of_size(size), replace(its, annotations=kept).of_size(size)))
        return pairs

    def detect(self, detector: Detector) -> Iterator[Found[int]]:
        """Find objects in all pictures, in order; the keys are their places. CbirError where some are missing."""
        missing = [one.name for one, path in zip(self.boxes.pictures, self.files, strict=True) if path is None]
        if missing:
            named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
            raise CbirError(
                f"{len(missing):,} of {len(self.files):,} pictures of {self.file} are not below {self.root}, or there "
                f"are several of their names: {named}. Name their folder, as in `cbir evaluate photos/ --boxes FILE`."
            )
        files = [(place, path) for place, path in enumerate(self.files) if path is not None]
        return detect_files(detector, files, isolated=len(files) > 1)

    def found(self, results: Iterator[Found[int]], classes: Sequence[str]) -> tuple[Annotations, list[ImageReadError]]:
        """Gather what `detect` finds, and the errors of pictures that could not be read; those have no boxes."""
        pictures, errors = [], []
        for result in results:
            if result.error is not None:
                errors.append(result.error)
            boxes = (Annotation(one.box, one.name, one.score) for one in result.detections.each(classes))
            size = Size(*result.size) if result.error is None else None
            pictures.append(Annotated(self.boxes.pictures[result.key].name, size, tuple(boxes)))
        return Annotations(tuple(pictures), tuple(dict.fromkeys(classes))), errors


def same_classes(found: Sequence[str], drawn: Sequence[str]) -> dict[str, str]:
    """Return the drawn class's name for each found one that has one: of the same name, else of the same meaning."""
    by_name = {plain(name): name for name in reversed(drawn)}
    by_meaning = {synset: name for name in reversed(drawn) if (synset := synset_of(name)) is not None}
    same = {}
    for name in found:
        other = by_name.get(plain(name))
        if other is None and (synset := synset_of(name)) is not None:
            other = by_meaning.get(synset)
        if other is not None:
            same[name] = other
    return same


def _named(one: Annotation, name: str) -> Annotation:
    return replace(one, name=name, score=1.0 if one.score is None else one.score)

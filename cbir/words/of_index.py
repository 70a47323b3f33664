"""The classes of an index's rows, which words are looked for in."""

from __future__ import annotations

from cbir.backbones.catalog import BUNDLED
from cbir.errors import CbirError, ModelError
from cbir.extract.of_index import backbone_of
from cbir.index.columns.classes import CLASSES, RowClasses
from cbir.index.store import Index


def classes_of(index: Index) -> RowClasses:
    """Return the most probable classes of an index's rows; those of some may be unknown (see `RowClasses.known`).

    CbirError, which says why and what to do, where no picture has any; IndexDamagedError where they are unsound.
    """
    classes = index.classes()
    if len(index) and not (classes.known & index.valid).any():
        raise CbirError(why_without_classes(index))
    return classes


def why_without_classes(index: Index) -> str:
    """Say why pictures of an index have no classes, and what to do: sentences for people."""
    from cbir.backbones.head import open_classifier

    try:
        open_classifier(backbone_of(index))
    except ModelError as error:
        return f"{error} `cbir index FOLDER --model {BUNDLED} --index NAME` makes an index that has classes."
    except CbirError as error:
        return str(error)
    count = int((index.missing(CLASSES) & index.valid).sum())
    if count:
        return (
            f"{index.directory} does not have the classes of {count:,} of its pictures yet: "
            f"`cbir index --index {index.directory.name}` looks for them."
        )
    return (
        f"Some pictures of {index.directory} could not be read again for their classes: "
        f"`cbir index --index {index.directory.name} --repair` tries once more."
    )

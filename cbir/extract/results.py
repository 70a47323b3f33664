"""The result of extraction for one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from cbir.errors import ImageReadError
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    from cbir.index.columns.column import Records

Key = TypeVar("Key")


@dataclass(frozen=True)
class Extracted(Generic[Key]):
    """The result for one file.

    Exactly one holds: `feature`, shape (dimension,), not normalised; `error`, where it could not be read; or
    neither, where the network was not run because something was known of the content (`sha256`). `records` are what
    the extractor's makers made of it, by the names of columns, and `precision` is what a feature was computed in, as in
    `Engine`.
    """

    key: Key
    sha256: str
    feature: Floats | None = None
    error: ImageReadError | None = None
    records: Mapping[str, Records] = field(default_factory=dict)
    precision: str | None = None

"""Errors that a user may meet.

Each error carries the whole sentence that the user reads: what happened, to which file, and what to do.
The command line prints it after ``Error:`` and exits with ``exit_code``; nothing else is needed there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable


class CbirError(Exception):
    """Base of all errors that are meant for the user's eyes."""

    exit_code = 1


class ImageReadError(CbirError):
    """A file is no picture that can be read.

    ``reason`` is the short form, for lists in which the file's name stands beside it. ``transient`` tells a
    file that could not be reached (permissions, a failing disk) from one whose content is no picture.
    """

    def __init__(self, name: str, reason: str, *, transient: bool = False) -> None:
        super().__init__(f"Cannot read {name}: {reason}.")
        self.name = name
        self.reason = reason
        self.transient = transient

    def __reduce__(self) -> tuple[Callable[..., ImageReadError], tuple[str, str]]:
        """Pickle it, as a result of another process."""
        return functools.partial(type(self), transient=self.transient), (self.name, self.reason)


class DecodersError(CbirError):
    """No process can be started in which pictures are decoded."""


class WorkersError(DecodersError):
    """The machines that were to extract are gone, or cannot."""


class OwnOutputError(ImageReadError):
    """A picture is one that cbir made, a sheet or an overlay say, and so none to be indexed."""


class ModelError(CbirError):
    """There is no such backbone, or it cannot do what was asked of it."""


class TorchMissingError(ModelError):
    """Something needs torch and torchvision, which are not installed."""


class PackageMissingError(CbirError):
    """Something needs a package that is not installed; the sentence says which extra of cbir has it."""


class WeightsError(CbirError):
    """A backbone's weights are missing, cannot be downloaded or do not fit."""


class WordError(CbirError):
    """There is no such word, or it has no such sense."""


class RegionError(CbirError):
    """A picture does not have the region that was asked for."""


class EngineError(CbirError):
    """The runtime that was asked for cannot run here."""


class IndexNotFoundError(CbirError):
    """There is no index of that name, or none at all."""


class IndexConflictError(CbirError):
    """An index exists but belongs to another root, backbone or weights than those asked for."""


class IndexDamagedError(CbirError):
    """A file of an index is missing, is not what ``meta.json`` says, or comes from a newer cbir."""


class BackendError(IndexDamagedError):
    """A database that has rows of an index cannot be reached, or has not what it should have."""


class IndexLockedError(CbirError):
    """Another process is writing to the index."""


class IndexWriteError(CbirError):
    """The index cannot be written (disk full, read-only directory); its last state is intact."""


class OutputRefusedError(CbirError):
    """A file was to be written where something else is that must not be written over."""


class RefusedToForgetError(CbirError):
    """The root looks unmounted; forgetting its pictures needs ``--prune``."""

    exit_code = 3


class StdoutError(CbirError):
    """The requested output cannot be written to stdout."""


def reason_of(error: Exception) -> str:
    """Return why the system, or memory, refused something: words for the inside of a sentence."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()

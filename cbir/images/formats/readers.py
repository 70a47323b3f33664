"""The readers of pictures on this machine: another version, or a further extra, may read what was refused before."""

from __future__ import annotations

from cbir._version import __version__

_PACKAGES = ("pillow", "pillow-heif", "pillow-jxl-plugin", "rawpy")


def describe_readers(max_pixels: int) -> str:
    """Return the versions of all that reads pictures, and the largest that are read, on one line."""
    versions = (f"{name} {_version(name)}" for name in _PACKAGES)
    return ", ".join([f"cbir {__version__}", *versions, f"{max_pixels} pixels"])


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "none"

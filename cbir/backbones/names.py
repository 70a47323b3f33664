"""The names of networks: a stranger's where an index has them, and parts of those of files in the cache.

`resnet50` is one of torchvision's or of cbir's own, `clip:ViT-B-32/openai` one of the family that the prefix names
(`families.PREFIXES`).
"""

from __future__ import annotations

import re
from pathlib import PurePath

#: Between the names of networks whose features are joined.
JOINT = "+"

#: In front of a name that has no prefix, for whoever likes one; it is not kept.
PLAIN = "tv"

#: The prefix of names that are files' in front of an index, and their stems in it.
ONNX = "onnx"

# Each word begins with a letter or a digit, so no name leads out of a folder.
_LONGEST = 100
_WORD = f"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{_LONGEST - 1}}}"
_UNSAFE = re.compile("[^A-Za-z0-9_.-]+")
_BEHIND = "(?:,[A-Za-z0-9.,:=-]{1,200})"
_NAME = re.compile(rf"[a-z0-9_]{{1,64}}|[a-z]{{1,16}}:{_WORD}(?:/{_WORD})?|{ONNX}:{_WORD}(?:/{_WORD})?{_BEHIND}")


def is_name(name: object) -> bool:
    """Tell whether something has the form of one network's name, as indexes keep it."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def prefix_of(name: str) -> str:
    """Return what stands before a name's colon; nothing where it has none."""
    before, colon, _ = name.partition(":")
    return before if colon else ""


def file_name(name: str) -> str:
    """Return what a file of a network is called by: another for each name, without what file systems do not take."""
    return name.replace(":", "=").replace("/", "=")


def of_file(file: str) -> str:
    """Return the name that an index keeps of a file: safe characters of the file's name without its ending."""
    stem = PurePath(file).name.removesuffix(f".{ONNX}")
    return f"{ONNX}:{_UNSAFE.sub('_', stem).lstrip('_.-')[:_LONGEST] or 'network'}"


def of_output(output: str) -> str:
    """Return what a network's name has of the name of one of its outputs."""
    return _UNSAFE.sub("_", output).lstrip("_.-")[:_LONGEST] or "output"

"""XMP sidecar files: a picture's tags in a file beside it, where photo managers look for them.

A sidecar has the tags as keywords (`dc:subject`), and each with what stands above it (`lr:hierarchicalSubject`), as in
Adobe's XMP Specification, parts 1 and 3. cbir knows its own again by a checksum of the whole file: one that any other
program has written or changed, however little, is never written over.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree

from cbir._version import __version__
from cbir.errors import CbirError, reason_of
from cbir.tags.rules import words_above
from cbir.utils.drafts import Draft, sweep
from cbir.utils.opening import OddFileError, read_regular
from cbir.utils.printable import printable
from cbir.utils.rights import rights_of
from cbir.words.tag import Tag

#: Names of the sidecars of `photo.jpg`: `photo.jpg.xmp`, as darktable and digiKam do, or `photo.xmp`, as Adobe does.
NAMINGS = ("append", "replace")

_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "cbir": "urn:x-cbir:sidecar:1/",
}

_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_END = '\n<?xpacket end="w"?>\n'

# What stands in the place of the checksum while it is being computed.
_BLANK = b"0" * 64
_CHECKSUM = re.compile(rb"(<cbir:checksum>)([0-9a-f]{64})(</cbir:checksum>)")
_PICTURE = re.compile(rb"<cbir:picture>([^<]*)</cbir:picture>")

# Longer files are none of cbir's: these have some hundred bytes a tag.
_MOST_BYTES = 1_000_000


class Outcome(Enum):
    """The outcome of writing a picture's sidecar."""

    WRITTEN = "written"
    REFRESHED = "refreshed"
    UNCHANGED = "unchanged"
    FOREIGN = "foreign"
    WITHOUT_TAGS = "without tags"


class Sidecars:
    """Writes sidecars. `naming` is one of NAMINGS; with `dry_run` nothing is written."""

    def __init__(self, naming: str = NAMINGS[0], *, dry_run: bool = False) -> None:
        self._naming = naming
        self._dry_run = dry_run

    def path_of(self, picture: Path) -> Path:
        """Return the path of a picture's sidecar."""
        return picture.with_name(picture.name + ".xmp") if self._naming == "append" else picture.with_suffix(".xmp")

    def write(self, picture: Path, tags: Sequence[Tag]) -> Outcome:
        """Write or refresh the sidecar of a picture, whole or not at all; the picture itself is not touched.

        FOREIGN where there is one that cbir did not write, that another program has changed since, or that is of
        another picture; it is left alone. A picture without tags gets no sidecar, but an older one of cbir's
        loses its tags. CbirError where a sidecar cannot be written.
        """
        path = self.path_of(picture)
        content = packet(picture, tags)
        try:
            there = _read(path)
            if there and not _is_ours(there, picture):
                return Outcome.FOREIGN
            if there == content:
                return Outcome.UNCHANGED
            if not there and not tags:
                return Outcome.WITHOUT_TAGS
            if not self._dry_run and not _put(path, content, picture, is_new=there is None):
                return Outcome.FOREIGN
        except OSError as error:
            raise CbirError(f"Cannot write {path}: {reason_of(error)}.") from error
        return Outcome.REFRESHED if there else Outcome.WRITTEN


def packet(picture: Path, tags: Sequence[Tag]) -> bytes:
    """Return the content of a picture's sidecar; the same for the same tags and the same version of cbir."""
    for prefix, uri in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    root = ElementTree.Element(_name("x:xmpmeta"))
    about = ElementTree.SubElement(
        ElementTree.SubElement(root, _name("rdf:RDF")), _name("rdf:Description"), {_name("rdf:about"): ""}
    )
    _add(about, "xmp:CreatorTool", f"cbir {__version__}")
    if tags:
        # a class that a user has taught may be called anything, which XML, and whoever reads a tree, may not
        words = [printable(tag.word) for tag in tags]
        _add_bag(about, "dc:subject", words)
        trees = ([*words_above(tag), word.replace("|", "/")] for tag, word in zip(tags, words, strict=True))
        _add_bag(about, "lr:hierarchicalSubject", map("|".join, trees))
    # percent-encoded, since a name may have bytes in it that XML must not
    _add(about, "cbir:picture", quote(os.fsencode(picture.name)))
    _add(about, "cbir:checksum", _BLANK.decode("ascii"))
    ElementTree.indent(root)
    content = (_BEGIN + ElementTree.tostring(root, encoding="unicode") + _END).encode("utf-8")
    return _CHECKSUM.sub(rb"\g<1>" + hashlib.sha256(content).hexdigest().encode("ascii") + rb"\g<3>", content)


def _name(prefixed: str) -> str:
    prefix, name = prefixed.split(":")
    return f"{{{_NAMESPACES[prefix]}}}{name}"


def _add(to: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(to, _name(name)).text = text


def _add_bag(to: ElementTree.Element, name: str, items: Iterable[str]) -> None:
    bag = ElementTree.SubElement(ElementTree.SubElement(to, _name(name)), _name("rdf:Bag"))
    for item in dict.fromkeys(items):
        _add(bag, "rdf:li", item)


def _read(path: Path) -> bytes | None:
    """Read the file at `path`; None where there is none, b"?" where it is nothing that cbir would write."""
    try:
        return read_regular(path, most=_MOST_BYTES, follow=False)
    except FileNotFoundError:
        return None
    except OddFileError:
        return b"?"


def _is_ours(content: bytes, picture: Path) -> bool:
    """Tell whether a file is as cbir wrote it, and not for another picture that is still there."""
    checksum, name = _CHECKSUM.search(content), _PICTURE.search(content)
    if checksum is None or name is None:
        return False
    blank = content[: checksum.start(2)] + _BLANK + content[checksum.end(2) :]
    if hashlib.sha256(blank).hexdigest().encode("ascii") != checksum[2]:
        return False
    other = os.fsdecode(unquote_to_bytes(name[1]))
    if "\0" in other or other != os.path.basename(other) or other in ("", ".", ".."):
        return False  # no file is called so
    return other == picture.name or not os.path.lexists(picture.with_name(other))


def _put(path: Path, content: bytes, picture: Path, *, is_new: bool) -> bool:
    """Write a picture's file, whole or not at all; False where it `is_new` and another program has just written one."""
    sweep(path.parent)
    with Draft(path.parent, rights_of([picture], path.parent)) as draft:
        draft.file.write(content)
        # without waiting for the disk, a hundred thousand times: one that a power cut leaves empty is written anew
        draft.finish(synced=False)
        if not is_new:
            draft.replace(path)
            return True
        try:
            draft.become_new(path)
        except FileExistsError:
            return False
        return True

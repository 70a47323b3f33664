"""XMP sidecar files: a picture's tags and people in a file beside it, where photo managers look for them.

A sidecar has the tags as keywords (`dc:subject`), and each with what stands above it (`lr:hierarchicalSubject`), as in
Adobe's XMP Specification, parts 1 and 3; and people as keywords below "People", and where their faces are, as in the
Metadata Working Group's "Guidelines for Handling Image Metadata", version 2.0, 5.9. cbir knows its own again by a
checksum of the whole file: one that any other program has written or changed, however little, is never written over.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple
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
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
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


# What stands above the names of people, as in digiKam.
_PEOPLE = "People"


class Region(NamedTuple):
    """A named face: its centre, its width and its height, in shares of the sides of the picture as it is stored."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Content:
    """The content of a sidecar: words, each with its way from the top ("animal|dog"), and people.

    `size` is the width and height of the picture as it is stored, before it is turned upright.
    """

    words: tuple[tuple[str, str], ...] = ()
    people: tuple[Region, ...] = ()
    size: tuple[int, int] = (0, 0)


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
        """Write or refresh the tags in the sidecar of a picture, whole or not at all; the picture is not touched.

        FOREIGN where there is one that cbir did not write, that another program has changed since, or that is of
        another picture; it is left alone. A picture without tags gets no sidecar, but an older one of cbir's
        loses its tags. What it has of people stays. CbirError where a sidecar cannot be written.
        """
        return self._write(picture, Content(words_of(tags)), keeps_people=True)

    def write_people(self, picture: Path, people: Sequence[Region], size: tuple[int, int]) -> Outcome:
        """Write or refresh the people in the sidecar of a picture, whose tags stay; all else as of `write`."""
        return self._write(picture, Content((), tuple(people), size), keeps_people=False)

    def _write(self, picture: Path, content: Content, *, keeps_people: bool) -> Outcome:
        path = self.path_of(picture)
        try:
            there = _read(path)
            if there and not _is_ours(there, picture):
                return Outcome.FOREIGN
            if there:
                former = _parsed(there, picture)
                content = replace(former, words=content.words) if keeps_people else replace(content, words=former.words)
            data = packet(picture, content)
            if there == data:
                return Outcome.UNCHANGED
            if not there and not (content.words or content.people):
                return Outcome.WITHOUT_TAGS
            if not self._dry_run and not _put(path, data, picture, is_new=there is None):
                return Outcome.FOREIGN
        except OSError as error:
            raise CbirError(f"Cannot write {path}: {reason_of(error)}.") from error
        return Outcome.REFRESHED if there else Outcome.WRITTEN


def packet(picture: Path, content: Content) -> bytes:
    """Return the bytes of a picture's sidecar; the same for the same content and the same version of cbir."""
    for prefix, uri in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    root = ElementTree.Element(_name("x:xmpmeta"))
    about = ElementTree.SubElement(
        ElementTree.SubElement(root, _name("rdf:RDF")), _name("rdf:Description"), {_name("rdf:about"): ""}
    )
    _add(about, "xmp:CreatorTool", f"cbir {__version__}")
    # names may be anything, which XML, and whoever reads a tree, may not
    names = [printable(one.name) for one in content.people]
    if content.words or names:
        _add_bag(about, "dc:subject", [*(word for word, _ in content.words), *names])
        ways = [f"{_PEOPLE}|{name.replace('|', '/')}" for name in names]
        _add_bag(about, "lr:hierarchicalSubject", [*(way for _, way in content.words), *ways])
    if names:
        _add_regions(about, content)
    # percent-encoded, since a name may have bytes in it that XML must not
    _add(about, "cbir:picture", quote(os.fsencode(picture.name)))
    _add(about, "cbir:checksum", _BLANK.decode("ascii"))
    ElementTree.indent(root)
    data = (_BEGIN + ElementTree.tostring(root, encoding="unicode") + _END).encode("utf-8")
    return _CHECKSUM.sub(rb"\g<1>" + hashlib.sha256(data).hexdigest().encode("ascii") + rb"\g<3>", data)


def words_of(tags: Sequence[Tag]) -> tuple[tuple[str, str], ...]:
    """Return the words of tags as a sidecar has them."""
    # a class that a user has taught may be called anything
    words = [printable(tag.word) for tag in tags]
    return tuple(
        (word, "|".join([*words_above(tag), word.replace("|", "/")])) for tag, word in zip(tags, words, strict=True)
    )


def _add_regions(to: ElementTree.Element, content: Content) -> None:
    resource = {_name("rdf:parseType"): "Resource"}
    regions = ElementTree.SubElement(to, _name("mwg-rs:Regions"), resource)
    sides = zip("wh", map(str, content.size), strict=True)
    size = {_name(f"stDim:{side}"): length for side, length in (*sides, ("unit", "pixel"))}
    ElementTree.SubElement(regions, _name("mwg-rs:AppliedToDimensions"), size)
    bag = ElementTree.SubElement(ElementTree.SubElement(regions, _name("mwg-rs:RegionList")), _name("rdf:Bag"))
    for one in content.people:
        about = {_name("mwg-rs:Name"): printable(one.name), _name("mwg-rs:Type"): "Face"}
        region = ElementTree.SubElement(ElementTree.SubElement(bag, _name("rdf:li")), _name("rdf:Description"), about)
        places = zip("xywh", (f"{share:.6f}" for share in one[1:]), strict=True)
        area = {_name(f"stArea:{key}"): value for key, value in (*places, ("unit", "normalized"))}
        ElementTree.SubElement(region, _name("mwg-rs:Area"), area)


def _parsed(data: bytes, picture: Path) -> Content:
    """Read the content of a sidecar of cbir's; nothing where it is of another picture, or a stranger has made it."""
    name = _PICTURE.search(data)
    if b"<!" in data or name is None or name[1] != quote(os.fsencode(picture.name)).encode("ascii"):
        return Content()
    try:
        root = ElementTree.fromstring(data.decode("utf-8"))
        ways = [one.text or "" for one in root.iterfind(f".//{_name('lr:hierarchicalSubject')}//{_name('rdf:li')}")]
        subjects = [one.text or "" for one in root.iterfind(f".//{_name('dc:subject')}//{_name('rdf:li')}")]
        people = tuple(
            Region(one.attrib[_name("mwg-rs:Name")], *(float(area.attrib[_name(f"stArea:{key}")]) for key in "xywh"))
            for one in root.iterfind(f".//{_name('mwg-rs:RegionList')}//{_name('rdf:Description')}")
            for area in one.iterfind(_name("mwg-rs:Area"))
        )
        dimensions = root.find(f".//{_name('mwg-rs:AppliedToDimensions')}")
        sides = [0, 0] if dimensions is None else [int(dimensions.attrib[_name(f"stDim:{key}")]) for key in "wh"]
    except (ElementTree.ParseError, ValueError, KeyError, TypeError):
        return Content()
    # the words of tags come first, each with its way
    tagged = [way for way in ways if not way.startswith(f"{_PEOPLE}|")]
    return Content(tuple(zip(subjects, tagged, strict=False)), people, (sides[0], sides[1]))


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

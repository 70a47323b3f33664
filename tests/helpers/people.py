"""Faces of made-up people, and indexes of them: vectors around a centre for each person, pictures of coloured noise."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cbir.backbones.backbone import describe
from cbir.index.columns.faces import Packed, pack
from cbir.index.columns.registry import all_columns
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.people.faces import Faces
from cbir.utils.vectors import Floats, l2_normalize
from tests.helpers.face_index import FINDER

#: One picture: the person of each of its faces, by name; the same again is the same face.
Picture = Sequence[str]

THRESHOLD = 0.36

#: Three people: one alone, two with each other, all at a table; and a stranger.
ALBUM: dict[str, Picture] = {
    "beach": ["anna"],
    "wood": ["anna"],
    "boat": ["anna", "bob"],
    "trip/table": ["bob", "anna", "cleo"],
    "trip/door": ["bob"],
    "stairs": ["stranger"],
    "wall": [],
}

#: Two people, alone and with each other.
TWO_PEOPLE: dict[str, Picture] = {
    "beach": ["anna"],
    "wood": ["anna"],
    "boat": ["bob", "anna"],
    "trip/table": ["bob"],
    "wall": [],
}


def vector_of(person: str, shot: str, spread: float = 0.2) -> Floats:
    """Return the vector of a person's face in a picture, shape (128,): always the same."""
    centre, noise = (
        np.random.default_rng(list(hashlib.sha256(text.encode()).digest())).normal(size=128)
        for text in (person, f"{person} in {shot}")
    )
    found: Floats = l2_normalize((l2_normalize(centre) + spread * l2_normalize(noise)).astype(np.float32))
    return found


def box_of(place: int, moved: int = 0) -> tuple[int, int, int, int]:
    """Return the box of the face with that number in its picture, from 0 on."""
    return 100 * place + moved, 10 + moved, 80, 90


def sha256_of(picture: str) -> str:
    return hashlib.sha256(picture.encode()).hexdigest()


def faces_of(pictures: dict[str, Picture], *, moved: int = 0, small: Sequence[str] = ()) -> Faces:
    """Make the faces of some pictures. Boxes lie side by side, `moved` by so many pixels; `small` are too small to
    found a group.
    """
    names = list(pictures)
    each = [(number, place, who) for number, name in enumerate(names) for place, who in enumerate(pictures[name])]
    count = len(each)
    return Faces(
        [sha256_of(name) for name in names],
        np.arange(len(names), dtype=np.int64),
        np.array([number for number, _, _ in each], dtype=np.int64),
        np.array([place for _, place, _ in each], dtype=np.int64),
        np.array([box_of(place, moved) for _, place, _ in each], np.int32).reshape(-1, 4),
        np.ones(count, dtype=np.float32),
        np.array([20 if who in small else 90 for _, _, who in each], dtype=np.int64),
        np.array([vector_of(who, names[number]) for number, _, who in each], np.float32).reshape(-1, 128),
    )


def packed(person: str, picture: str, place: int) -> Packed:
    """Return a face as an index keeps it."""
    return box_of(place), 1.0, 90, vector_of(person, picture)


def give_faces(directory: Path, pictures: Mapping[str, Picture] | None = None) -> None:
    """Give an index without faces some: of its `pictures`, by path, or one in each, that of a folder's own person."""
    index = Index.open(directory)
    if index.meta.faces is not None:
        return
    writer, columns = Writer(directory, index.meta), {column.name: column for column in all_columns()}
    for row, record in index.records():
        its = [Path(record.path).parent.name] if pictures is None else pictures.get(record.path, ())
        faces = [packed(person, record.path, place) for place, person in enumerate(its)]
        for name, records in pack(faces).items():
            writer.backfill(columns[name], [row], records)
    writer.commit(faces=FINDER)


def make_index(directory: Path, folder: Path, pictures: Mapping[str, Picture]) -> Index:
    """Write pictures into a folder, by their names without the ending, and an index of them and of their faces."""
    folder.mkdir(parents=True, exist_ok=True)
    model = {**describe("efficientnet_lite0", "untrained").to_json(), "dimension": 16}
    directory.mkdir(parents=True)
    writer = Writer(directory, Meta(model, 16, str(folder.absolute()), "2026", "2026"))
    add_pictures(writer, folder, pictures)
    writer.commit(faces=FINDER)
    return Index.open(directory)


def add_pictures(writer: Writer, folder: Path, pictures: Mapping[str, Picture]) -> None:
    """Write pictures into a folder, and rows of them, which are to be committed."""
    for name, its in pictures.items():
        random = np.random.default_rng(list(sha256_of(name).encode()))
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        blocks = random.integers(0, 256, (15, 40, 3), dtype=np.uint8)
        Image.fromarray(blocks.repeat(10, axis=0).repeat(10, axis=1)).save(path)
        data = path.read_bytes()
        record = FileRecord(f"{name}.png", len(data), 1, hashlib.sha256(data).hexdigest())
        faces = pack([packed(person, name, place) for place, person in enumerate(its)])
        writer.add(record, random.random(16, dtype=np.float32), faces)

"""The folders that clip-retrieval's inference writes, also of what img2dataset downloaded.

`img_emb/img_emb_0.npy` are features and `metadata/metadata_0.parquet` their pictures, whose column `image_path` is a
path, or, of tars, the key that img2dataset gave a picture.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

from cbir.errors import CbirError
from cbir.moving.arrays import ArraySource
from cbir.moving.parquet import texts_of
from cbir.moving.rows import About, Given
from cbir.moving.vectorfile import VectorFile

_FEATURES, _METADATA = "img_emb", "metadata"

# Of img2dataset's keys, the first five digits are the number of the shard, as which its folder is called.
_KEY = re.compile(r"(\d{5})\d{4}")


def is_such_a_folder(folder: Path) -> bool:
    """Tell whether a folder is laid out so."""
    return (folder / _FEATURES).is_dir() and (folder / _METADATA).is_dir()


def sources_in(folder: Path) -> list[ArraySource]:
    """Open the parts of such a folder, in order. CbirError where one has no other half, or cannot be read."""
    found = sorted((folder / _FEATURES).glob("img_emb_*.npy"), key=lambda path: (len(path.name), path.name))
    if not found:
        raise CbirError(f"There are no features in {folder / _FEATURES}: no file is called img_emb_0.npy, say.")
    return [
        _source(path, folder / _METADATA / f"metadata_{path.stem.removeprefix('img_emb_')}.parquet") for path in found
    ]


def _source(features: Path, metadata: Path) -> ArraySource:
    paths = [Given(_path_of(one)) for one in chain.from_iterable(texts_of(metadata, "image_path"))]
    return ArraySource(VectorFile.open(features), paths, About(), str(features))


def _path_of(name: str) -> str:
    """Return the path of a picture: img2dataset's keys are names in the folder of their shard."""
    key = _KEY.fullmatch(name)
    return name if key is None else f"{key[1]}/{name}.jpg"

"""cbir: find pictures by picture.

The names below are the library's public interface; they are imported when they are first used, so that
`import cbir` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbir.build import index_folder as index_folder
    from cbir.duplicates.find import find_duplicates as find_duplicates
    from cbir.errors import CbirError as CbirError
    from cbir.errors import ImageReadError as ImageReadError
    from cbir.extract import Extractor as Extractor
    from cbir.images.read import read_image as read_image
    from cbir.index.report import Report as Report
    from cbir.index.store import Index as Index
    from cbir.map.collection import map_index as map_index
    from cbir.parts.locate import Located as Located
    from cbir.parts.locate import Locator as Locator
    from cbir.queries import CombinedQuery as CombinedQuery
    from cbir.queries import Query as Query
    from cbir.queries import WordQuery as WordQuery
    from cbir.search import Match as Match
    from cbir.search import Searcher as Searcher
    from cbir.search import SearchResult as SearchResult
    from cbir.search import open_index as open_index
    from cbir.segment.parts import Segmentation as Segmentation
    from cbir.segment.parts import Segmenter as Segmenter
    from cbir.tagging import Tagged as Tagged
    from cbir.tagging import Tagger as Tagger
    from cbir.tagging import tag_index as tag_index

__version__ = "0.1.0"

_HOMES = {
    "CbirError": "cbir.errors",
    "CombinedQuery": "cbir.queries",
    "Extractor": "cbir.extract",
    "ImageReadError": "cbir.errors",
    "Index": "cbir.index.store",
    "Located": "cbir.parts.locate",
    "Locator": "cbir.parts.locate",
    "Match": "cbir.search",
    "Query": "cbir.queries",
    "Report": "cbir.index.update",
    "SearchResult": "cbir.search",
    "Searcher": "cbir.search",
    "Segmentation": "cbir.segment.parts",
    "Segmenter": "cbir.segment.parts",
    "Tagged": "cbir.tagging",
    "Tagger": "cbir.tagging",
    "WordQuery": "cbir.queries",
    "find_duplicates": "cbir.duplicates.find",
    "index_folder": "cbir.build",
    "map_index": "cbir.map.collection",
    "open_index": "cbir.search",
    "read_image": "cbir.images.read",
    "tag_index": "cbir.tagging",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cbir' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

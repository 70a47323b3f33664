"""cbir: find pictures by picture.

The names below are the library's public interface; they are imported when they are first used, so that
`import cbir` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cbir._version import __version__

if TYPE_CHECKING:
    from cbir.duplicates.find import find_duplicates as find_duplicates
    from cbir.errors import CbirError as CbirError
    from cbir.errors import ImageReadError as ImageReadError
    from cbir.extract.extractor import Extractor as Extractor
    from cbir.images.read import read_image as read_image
    from cbir.index.open import open_index as open_index
    from cbir.index.store import Index as Index
    from cbir.indexing.report import Report as Report
    from cbir.indexing.run import index_folder as index_folder
    from cbir.locate.locator import Located as Located
    from cbir.locate.locator import Locator as Locator
    from cbir.map.collection import map_index as map_index
    from cbir.search.queries import CombinedQuery as CombinedQuery
    from cbir.search.queries import Query as Query
    from cbir.search.queries import TextQuery as TextQuery
    from cbir.search.queries import WordQuery as WordQuery
    from cbir.search.results import Match as Match
    from cbir.search.results import SearchResult as SearchResult
    from cbir.search.searcher import Searcher as Searcher
    from cbir.segment.segmentation import Segmentation as Segmentation
    from cbir.segment.segmenter import Segmenter as Segmenter
    from cbir.tags.tagger import Tagged as Tagged
    from cbir.tags.tagger import Tagger as Tagger
    from cbir.tags.tagger import tag_index as tag_index


_HOMES = {
    "CbirError": "cbir.errors",
    "CombinedQuery": "cbir.search.queries",
    "Extractor": "cbir.extract.extractor",
    "ImageReadError": "cbir.errors",
    "Index": "cbir.index.store",
    "Located": "cbir.locate.locator",
    "Locator": "cbir.locate.locator",
    "Match": "cbir.search.results",
    "Query": "cbir.search.queries",
    "Report": "cbir.indexing.apply",
    "SearchResult": "cbir.search.results",
    "Searcher": "cbir.search.searcher",
    "Segmentation": "cbir.segment.segmentation",
    "Segmenter": "cbir.segment.segmenter",
    "Tagged": "cbir.tags.tagger",
    "Tagger": "cbir.tags.tagger",
    "TextQuery": "cbir.search.queries",
    "WordQuery": "cbir.search.queries",
    "find_duplicates": "cbir.duplicates.find",
    "index_folder": "cbir.indexing.run",
    "map_index": "cbir.map.collection",
    "open_index": "cbir.index.open",
    "read_image": "cbir.images.read",
    "tag_index": "cbir.tags.tagger",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cbir' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

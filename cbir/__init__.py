"""cbir: find pictures by picture.

The names below are the library's public interface; they are imported when they are first used, so that
`import cbir` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cbir._version import __version__

if TYPE_CHECKING:
    from cbir.collection import Collection as Collection
    from cbir.collection import open as open  # noqa: A004  # as `io.open` and `gzip.open` are called
    from cbir.duplicates.find import find_duplicates as find_duplicates
    from cbir.errors import BackendError as BackendError
    from cbir.errors import CbirError as CbirError
    from cbir.errors import DecodersError as DecodersError
    from cbir.errors import EngineError as EngineError
    from cbir.errors import ImageReadError as ImageReadError
    from cbir.errors import IndexConflictError as IndexConflictError
    from cbir.errors import IndexDamagedError as IndexDamagedError
    from cbir.errors import IndexLockedError as IndexLockedError
    from cbir.errors import IndexNotFoundError as IndexNotFoundError
    from cbir.errors import IndexWriteError as IndexWriteError
    from cbir.errors import ModelError as ModelError
    from cbir.errors import OutputRefusedError as OutputRefusedError
    from cbir.errors import OwnOutputError as OwnOutputError
    from cbir.errors import PackageMissingError as PackageMissingError
    from cbir.errors import RefusedToForgetError as RefusedToForgetError
    from cbir.errors import RegionError as RegionError
    from cbir.errors import StdoutError as StdoutError
    from cbir.errors import TorchMissingError as TorchMissingError
    from cbir.errors import WeightsError as WeightsError
    from cbir.errors import WordError as WordError
    from cbir.errors import WorkersError as WorkersError
    from cbir.extract.extractor import Extractor as Extractor
    from cbir.images.read import read_image as read_image
    from cbir.images.regions import Box as Box
    from cbir.index.open import open_index as open_index
    from cbir.index.store import Index as Index
    from cbir.indexing.report import Report as Report
    from cbir.indexing.run import index_folder as index_folder
    from cbir.learn.ask import Asked as Asked
    from cbir.learn.run import Learnt as Learnt
    from cbir.locate.locator import Located as Located
    from cbir.locate.locator import Locator as Locator
    from cbir.map.collection import map_index as map_index
    from cbir.notions.notion import Notion as Notion
    from cbir.notions.store import NotionInfo as NotionInfo
    from cbir.search.face_query import FaceQuery as FaceQuery
    from cbir.search.face_query import PersonQuery as PersonQuery
    from cbir.search.filters import RowFilter as RowFilter
    from cbir.search.object_query import ObjectQuery as ObjectQuery
    from cbir.search.object_query import WantedObject as WantedObject
    from cbir.search.queries import CombinedQuery as CombinedQuery
    from cbir.search.queries import FeedbackQuery as FeedbackQuery
    from cbir.search.queries import Query as Query
    from cbir.search.queries import TextQuery as TextQuery
    from cbir.search.queries import VectorQuery as VectorQuery
    from cbir.search.queries import WordQuery as WordQuery
    from cbir.search.results import Match as Match
    from cbir.search.results import SearchResult as SearchResult
    from cbir.search.searcher import Searcher as Searcher
    from cbir.search.treatment_query import TreatmentQuery as TreatmentQuery
    from cbir.segment.segmentation import Segmentation as Segmentation
    from cbir.segment.segmenter import Segmenter as Segmenter
    from cbir.tags.tagger import Tagged as Tagged
    from cbir.tags.tagger import Tagger as Tagger
    from cbir.tags.tagger import tag_index as tag_index

_HOMES = {
    "Asked": "cbir.learn.ask",
    "BackendError": "cbir.errors",
    "Box": "cbir.images.regions",
    "CbirError": "cbir.errors",
    "Collection": "cbir.collection",
    "CombinedQuery": "cbir.search.queries",
    "DecodersError": "cbir.errors",
    "EngineError": "cbir.errors",
    "Extractor": "cbir.extract.extractor",
    "ImageReadError": "cbir.errors",
    "FaceQuery": "cbir.search.face_query",
    "FeedbackQuery": "cbir.search.queries",
    "Index": "cbir.index.store",
    "IndexConflictError": "cbir.errors",
    "IndexDamagedError": "cbir.errors",
    "IndexLockedError": "cbir.errors",
    "IndexNotFoundError": "cbir.errors",
    "IndexWriteError": "cbir.errors",
    "Learnt": "cbir.learn.run",
    "Located": "cbir.locate.locator",
    "Locator": "cbir.locate.locator",
    "Match": "cbir.search.results",
    "ModelError": "cbir.errors",
    "Notion": "cbir.notions.notion",
    "NotionInfo": "cbir.notions.store",
    "ObjectQuery": "cbir.search.object_query",
    "OutputRefusedError": "cbir.errors",
    "OwnOutputError": "cbir.errors",
    "PackageMissingError": "cbir.errors",
    "PersonQuery": "cbir.search.face_query",
    "Query": "cbir.search.queries",
    "RefusedToForgetError": "cbir.errors",
    "RegionError": "cbir.errors",
    "Report": "cbir.indexing.report",
    "RowFilter": "cbir.search.filters",
    "SearchResult": "cbir.search.results",
    "Searcher": "cbir.search.searcher",
    "Segmentation": "cbir.segment.segmentation",
    "Segmenter": "cbir.segment.segmenter",
    "StdoutError": "cbir.errors",
    "TorchMissingError": "cbir.errors",
    "Tagged": "cbir.tags.tagger",
    "Tagger": "cbir.tags.tagger",
    "TextQuery": "cbir.search.queries",
    "TreatmentQuery": "cbir.search.treatment_query",
    "VectorQuery": "cbir.search.queries",
    "WantedObject": "cbir.search.object_query",
    "WeightsError": "cbir.errors",
    "WordError": "cbir.errors",
    "WorkersError": "cbir.errors",
    "WordQuery": "cbir.search.queries",
    "find_duplicates": "cbir.duplicates.find",
    "index_folder": "cbir.indexing.run",
    "map_index": "cbir.map.collection",
    "open": "cbir.collection",
    "open_index": "cbir.index.open",
    "read_image": "cbir.images.read",
    "tag_index": "cbir.tags.tagger",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cbir' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

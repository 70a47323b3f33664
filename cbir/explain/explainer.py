"""Explains why a match is like a query: shares of places, words, neighbours."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cbir.backbones.head import Classifier, classifier_of, open_classifier
from cbir.engines.lazy import LazyEngine
from cbir.explain.likeness import Likeness, centred, learnt
from cbir.explain.looks import FINE, Look, Looker
from cbir.explain.ways import Way, Ways
from cbir.explain.words import SharedWord, WordPlaces, shared_words, word_places
from cbir.images.contents import read_bytes
from cbir.images.fit import Extent
from cbir.images.safely import decode_reduced
from cbir.images.sources.address import Location
from cbir.index.store import Index
from cbir.search.learnt import LearntSpace
from cbir.search.queries import CombinedQuery, FeedbackQuery, Picture
from cbir.search.searched import AlikeBy, SearchedIndex
from cbir.utils.vectors import Floats
from cbir.words.vocabulary import Word

#: Queries that are of pictures alone.
PictureQuery = Picture | CombinedQuery | FeedbackQuery


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture, decoded, as the network sees it: in its own size, and in the one that places are told of.

    The picture fills the `box` of `image`.
    """

    path: Location
    sha256: str
    image: Image.Image
    box: Extent
    own: Look
    look: Look


@dataclass(frozen=True)
class Shares:
    """The share of each of n places in a likeness, shapes (n,): `raw` in the cosine of features, and in `likeness`."""

    raw: Floats
    likeness: Floats

    def above(self, look: Look) -> Floats:
        """Return by how much each share is above its even part: where positive, a place speaks for the likeness."""
        return self.likeness - look.densities * np.float32(self.likeness.sum())


@dataclass(frozen=True, eq=False)
class Reasons:
    """Reasons why a `match` is like what was asked for.

    `score` is the cosine of their features, as searches have it. `likeness` is the same after the collection's mean was
    taken off, or by a notion; without an index it is the score: `by` says which, "centred", "learnt" or "raw".
    `of_match` are the shares of places, which add up to them. `way` is how re-ranking came to the match.
    """

    match: Seen
    score: float
    likeness: float
    by: str
    of_match: Shares
    way: Way | None


@dataclass(frozen=True, eq=False)
class Explanation(Reasons):
    """Reasons why a match is like another picture, the `query`, whose places have their shares, too.

    Where places are finer, a picture's are looked at larger, the other picture is not, and the sums may be a little
    different. `raw_pairs` and `pairs` are the shares of the places of both.
    """

    query: Seen
    of_query: Shares
    raw_pairs: Likeness
    pairs: Likeness
    words: tuple[SharedWord, ...]


class Explainer:
    """Explains matches with one network, which is loaded at the first picture; `index` is the one that was searched.

    With `notion`, one of the index's, likeness is as that was taught. With `fine`, places have half the side.
    `searched` is the index as searches have it already, of which nothing is then read anew.
    """

    def __init__(
        self,
        engine: LazyEngine,
        index: Index | None = None,
        *,
        searched: SearchedIndex | None = None,
        notion: str | None = None,
        fine: bool = False,
    ) -> None:
        self.engine = engine
        self.index = index
        self.fine = fine
        self._notion = notion
        self._looker = Looker(engine)
        self._searched = searched if index is None or searched is not None else SearchedIndex(index, engine)
        self._space: LearntSpace | None = None
        if notion is not None and self._searched is not None:
            self._space = self._searched.learnt(notion)
        self._ways: tuple[Floats, Ways] | None = None  # those from one query

    def see(self, source: Location | bytes, name: Location | str = "") -> Seen:
        """Look at a picture: a file, or its bytes, which are at or called `name`.

        ImageReadError; ModelError where places of the network have no shares.
        """
        data = source if isinstance(source, bytes) else read_bytes(source)
        path = source if not isinstance(source, bytes) else Path(name) if isinstance(name, str) else name
        image, box = decode_reduced(data, name=str(path), at_least=self._looker.at_least())
        own = look = self._looker.look(image, box)
        if self.fine:
            image, box = decode_reduced(data, name=str(path), at_least=self._looker.at_least(FINE))
            look = self._looker.look(image, box, FINE)
        return Seen(path, hashlib.sha256(data).hexdigest(), image, box, own, look)

    def explain(self, query: Seen, match: Seen) -> Explanation:
        """Explain why a match is like a query."""
        by, of_places = self._places(query)

        def both(ours: Look, theirs: Look) -> tuple[Likeness, Likeness]:
            raw = Likeness(ours.vectors, theirs.vectors)
            return raw, raw if by == "raw" else Likeness(of_places(ours), of_places(theirs))

        raw, likeness = both(query.own, match.own)
        # things that are as large as in the other picture are most alike, and what is small needs the larger look
        from_query = both(query.look, match.own) if self.fine else (raw, likeness)
        from_match = both(query.own, match.look) if self.fine else (raw, likeness)
        pairs = both(query.look, match.look) if self.fine else (raw, likeness)
        words = () if self._classifier is None else tuple(shared_words(self._classifier, query.own, match.own))
        return Explanation(
            match=match,
            score=raw.score,
            likeness=likeness.score,
            by=by,
            of_match=Shares(from_match[0].of_match, from_match[1].of_match),
            way=self._way(query, match),
            query=query,
            of_query=Shares(from_query[0].of_query, from_query[1].of_query),
            raw_pairs=pairs[0],
            pairs=pairs[1],
            words=words,
        )

    def explain_features(self, query: PictureQuery, features: Sequence[Floats], match: Seen) -> Reasons:
        """Explain why a match is like pictures of which only the features are known.

        `features` are those of the query's images, in order, each of shape (dimension,) and of length 1. ValueError
        where there is nothing that matches are to be like.
        """
        asked = query.combine(features)
        if asked is None or asked.likeness is None:
            raise ValueError("there is no picture that matches are to be like")
        by, vector, towards, of_places = self._sought(query, features, asked.direction)
        places = of_places(match.look)
        own = places if match.look is match.own else of_places(match.own)
        return Reasons(
            match=match,
            score=float(match.own.feature @ asked.likeness),
            likeness=float(own.sum(axis=0) @ towards),
            by=by,
            of_match=Shares(match.look.vectors @ asked.likeness, np.asarray(places @ towards, dtype=np.float32)),
            way=self._way_from(vector, by == "learnt", match),
        )

    def _sought(
        self, query: PictureQuery, features: Sequence[Floats], direction: Floats
    ) -> tuple[str, Floats, Floats, Callable[[Look], Floats]]:
        """Return by what a match is like features, the vector that the ranker seeks, and what places are compared with.

        The last is a function that returns the vectors of places that are.
        """
        if self._searched is None:
            return "raw", direction, direction, lambda look: look.vectors
        if self._space is not None:
            vectors, claimed = self._space.queries(np.stack(features))
            like, notion = set(query.like), self._space.notion
            if any(its and one in like for one, its in zip(query.images, claimed.tolist(), strict=True)):
                asked = query.combine(list(vectors))
                assert asked is not None
                assert asked.likeness is not None  # as it is there of features
                return "learnt", asked.direction, asked.likeness, lambda look: learnt(look, notion)
        centre = self._searched.ranker().scanner.centre()
        return "centred", direction, centre.direction(direction), lambda look: centred(look, centre.mean)

    def word(self, seen: Seen, word: Word) -> WordPlaces:
        """Take apart what speaks for a word in a picture. ModelError where the network has no classes."""
        return word_places(self._classifier or open_classifier(self.engine.backbone), seen.look, word)

    @functools.cached_property
    def _classifier(self) -> Classifier | None:
        return classifier_of(self.engine.backbone)

    def _is_claimed(self, query: Seen) -> bool:
        """Tell whether a notion orders the matches of a query."""
        return self._space is not None and bool(self._space.queries(query.own.feature[np.newaxis])[1][0])

    def _places(self, query: Seen) -> tuple[str, Callable[[Look], Floats]]:
        if self._searched is None:
            return "raw", lambda look: look.vectors
        if self._space is not None and self._is_claimed(query):
            notion = self._space.notion
            return "learnt", lambda look: learnt(look, notion)
        mean = self._searched.ranker().scanner.centre().mean
        return "centred", lambda look: centred(look, mean)

    def _way(self, query: Seen, match: Seen) -> Way | None:
        """Return the way to a match by re-ranking, where it is one of the index's pictures."""
        if self.index is None:
            return None
        known = self.index.find(query.sha256)
        feature = self.index.features(known[:1])[0] if known else query.own.feature
        if self._space is None or not self._is_claimed(query):
            return self._way_from(feature, False, match)
        return self._way_from(self._space.queries(feature[np.newaxis])[0][0], True, match)

    def _way_from(self, vector: Floats, is_learnt: bool, match: Seen) -> Way | None:
        """Return the way from a vector of length 1, as the ranker has it that orders the matches."""
        if self.index is None or self._searched is None:
            return None
        rows = [row for row in self.index.find(match.sha256) if self.index.valid[row]]
        if not rows:
            return None
        if self._ways is None or not np.array_equal(self._ways[0], vector):
            ranker = self._searched.ranker(AlikeBy(learnt=self._notion if is_learnt else None))
            self._ways = vector, Ways(ranker, vector)
        return self._ways[1].to(rows[0])

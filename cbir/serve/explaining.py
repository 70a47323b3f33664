"""Reasons why a search found a picture: shares of its places, in words too, and the pictures that led to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from cbir.errors import ImageReadError, ModelError
from cbir.explain.draw import drawn_pair, heated
from cbir.explain.explainer import Explainer, Explanation, PictureQuery, Reasons, Seen
from cbir.explain.record import record_of, record_of_reasons, record_of_word
from cbir.explain.words import WordPlaces
from cbir.search.queries import CombinedQuery, FeedbackQuery, ImageQuery, NounQuery, TextQuery, VectorQuery, WordQuery
from cbir.serve.bodies import Filter, Ref, Search
from cbir.serve.files import read_picture
from cbir.serve.problems import ProblemError
from cbir.serve.records import pictures
from cbir.serve.refs import Refs
from cbir.serve.service import ServedIndex
from cbir.serve.states import ServedState
from cbir.utils.printable import printable
from cbir.utils.vectors import Floats
from cbir.words.vocabulary import Word

# Words whose places are shown, the first ones.
_MOST_WORDS = 4


@dataclass(frozen=True)
class QueryPart:
    """One of several pictures of a query: its name, its row where it is of the index, its cosine with the match."""

    name: str
    row: int | None
    score: float


@dataclass(frozen=True, eq=False)
class Why:
    """Reasons why a search found a row of a state of an index; `query` is what its pictures are called.

    There are `reasons` where it was by pictures: an `Explanation` where both can be looked at. Of several pictures,
    `parts` has each. `words` has what speaks for each. `notices` are sentences about what is left aside.
    """

    state: ServedState
    row: int
    seen: Seen
    query: str
    query_row: int | None
    reasons: Reasons | None
    parts: tuple[QueryPart, ...]
    words: tuple[tuple[Word, WordPlaces], ...]
    notices: tuple[str, ...]

    def to_dict(self, *, all_pairs: bool = False) -> dict[str, Any]:
        """Return the record: the shell's, and where each picture is to be had."""
        index, its = self.state.index, []
        if isinstance(self.reasons, Explanation):
            its.append(record_of(self.reasons, index, all_pairs=all_pairs))
        elif self.reasons is not None:
            its.append(record_of_reasons(self.query, self.reasons, index))
        if self.reasons is not None and self.reasons.way is not None:
            way, told = self.reasons.way, its[0]["way"]
            for rows, records in ((way.neighbours, told["neighbours"]), (way.steps, told["steps"])):
                for record, picture in zip(records, pictures(self.state, [one.row for one in rows]), strict=True):
                    record["picture"] = picture
        its += [record_of_word(self.seen, word, places) for word, places in self.words]
        parts = [
            {"query": one.name, "score": round(one.score, 6), "picture": self._picture(one.row)} for one in self.parts
        ]
        return {
            "state": self.state.id,
            "picture": self._picture(self.row),
            "explanations": its,
            "parts": parts,
            "notices": list(map(printable, self.notices)),
        }

    def _picture(self, row: int | None) -> dict[str, Any] | None:
        return None if row is None else pictures(self.state, [row])[0]

    def drawn(self) -> Image.Image:
        """Draw the match under its heat, beside the query with lines where that can be looked at; or of the word."""
        if isinstance(self.reasons, Explanation):
            return drawn_pair(self.reasons)
        if self.reasons is not None:
            return heated(self.seen, self.reasons.of_match.above(self.seen.look))
        return self.drawn_word(self.words[0][1])

    def drawn_word(self, places: WordPlaces) -> Image.Image:
        """Draw the picture under the heat of what speaks for a word."""
        return heated(self.seen, places.above(self.seen.look))


def explain(
    served: ServedIndex, id_: str, wanted: Search, uploads: Sequence[tuple[str, bytes]] = (), *, fine: bool = False
) -> Why:
    """Explain why a search finds a picture, by its id or the beginning of its SHA-256.

    With `fine`, places have half the side. Raises ProblemError: where a file is gone, or where nothing of the search
    can be explained, which it says; ImageReadError; ModelError where places of the network have no shares.
    """
    try:
        return _Explaining(served, id_, wanted, uploads, fine).why()
    except ValueError as error:  # as of weights that are impossible together
        raise ProblemError(422, "refused", str(error)) from error


class _Explaining:
    """One explanation as it is made."""

    def __init__(
        self, served: ServedIndex, id_: str, wanted: Search, uploads: Sequence[tuple[str, bytes]], fine: bool
    ) -> None:
        self._refs = Refs(served, uploads)
        self._state = self._refs.state
        self._uploads = uploads
        self._wanted = wanted
        self._notices: list[str] = []
        state, row = served.picture(id_)
        # what is searched by, and what re-ranks, is of the state that answers now
        self._row = row if state is self._state else self._state.row_of_content(state.record(row).sha256)
        searcher = self._state.searcher
        self._explainer = Explainer(
            searcher.engine,
            self._state.index,
            searched=searcher.searched,
            notion=self._notion(),
            fine=fine,
        )

    def why(self) -> Why:
        """Look at the pictures, and take their likeness apart."""
        queries = _queries(self._refs, self._wanted)
        match = self._seen(self._row)
        reasons, parts = self._of_pictures(queries.picture, match)
        words = self._of_words(queries.words, match)
        if reasons is None and not words:
            told = self._notices or ["This search has neither a picture nor a word that could tell why it found one."]
            raise ProblemError(422, "nothing-to-explain", " ".join(told))
        self._tell_of_limits(reasons)
        like = queries.refs[0] if len(queries.refs) == 1 else None
        return Why(
            self._state,
            self._row,
            match,
            "" if queries.picture is None else queries.picture.name,
            None if like is None else self._query_row(like),
            reasons,
            parts,
            words,
            tuple(dict.fromkeys(self._notices)),
        )

    def _notion(self) -> str | None:
        name = self._wanted.learnt
        if name is not None and self._state.searcher.searched.is_of_parts(name):
            self._notices.append(f"{name} is a notion of parts of pictures, and left aside here.")
            return None
        return name

    def _seen(self, row: int) -> Seen:
        """Look at a picture of the index. ProblemError where its file is gone, ImageReadError where it is none."""
        record = self._state.record(row)
        root = self._state.index.root
        data = read_picture(root, record.path)
        if hashlib.sha256(data).hexdigest() != record.sha256:
            self._notices.append(f"{record.path} has changed since it was indexed: it is looked at as it is now.")
        return self._explainer.see(data, root / record.path)

    def _query_row(self, ref: Ref) -> int | None:
        """Return the row of a picture of the query, as this state has it; None where it is not of the index."""
        if (found := self._refs.row(ref)) is None:
            return None
        state, row = found
        return row if state is self._state else self._state.row_of_content(state.record(row).sha256)

    def _of_pictures(self, query: PictureQuery | None, match: Seen) -> tuple[Reasons | None, tuple[QueryPart, ...]]:
        """Explain the part of a search that is by pictures, if there is one and matches are to be like some."""
        if query is None:
            return None, ()
        if not query.like:
            self._notices.append("What a picture is to be unlike has no places in it that would speak for it.")
            return None, ()
        seen = self._query_seen(query)
        if seen is not None:
            return self._reranked(self._explainer.explain(seen, match)), ()
        features = self._state.searcher.features(query)
        reasons = self._explainer.explain_features(query, features, match)
        return self._reranked(reasons), self._parts(query, features, match)

    def _query_seen(self, query: PictureQuery) -> Seen | None:
        """Look at the picture that a query is; None where it is several, a part, or only its feature is known."""
        (ref, *others) = (*self._wanted.like, *self._wanted.more, *self._wanted.less)
        if others:
            self._notices.append("The search had several pictures: the places are those that are like all together.")
            return None
        if (ref.region, ref.segment) != (None, None):
            settled = self._state.searcher.settled(query)
            by_parts = isinstance(settled, ImageQuery) and settled.parts
            how = ", and the search compared parts: Where is it? shows where" if by_parts else ""
            self._notices.append(f"The search was by a part of a picture, compared here with the whole match{how}.")
            return None
        if ref.vector is not None:
            self._notices.append(
                f"Of {query.name} only the feature is kept, and nothing of its places: choose its file to see them."
            )
            return None
        row = self._query_row(ref)
        if row is None:
            assert ref.upload is not None
            name, data = self._uploads[ref.upload]
            return self._explainer.see(data, ref.name or name)
        try:
            return self._seen(row)
        except (ProblemError, ImageReadError) as error:
            if isinstance(error, ProblemError) and error.status == 403:
                raise
            self._notices.append(f"{error} Of the query only its feature is known.")
            return None

    def _parts(self, query: PictureQuery, features: Sequence[Floats], match: Seen) -> tuple[QueryPart, ...]:
        """Return the pictures of a query by several that matches are to be like."""
        refs = (*self._wanted.like, *self._wanted.more)
        if len(refs) < 2:
            return ()
        found = []
        for ref, one, feature in zip(refs, query.like, features, strict=False):
            found.append(QueryPart(one.name, self._query_row(ref), float(feature @ match.own.feature)))
        return tuple(found)

    def _reranked(self, reasons: Reasons) -> Reasons:
        return reasons if self._wanted.reranked else replace(reasons, way=None)

    def _of_words(self, query: WordQuery | TextQuery | None, match: Seen) -> tuple[tuple[Word, WordPlaces], ...]:
        """Return what speaks for the words of a search."""
        if query is None:
            return ()
        try:
            settled = self._state.searcher.settled(query)
        except ModelError as error:  # there may be pictures, of which all is known
            self._notices.append(str(error))
            return ()
        if not isinstance(settled, WordQuery):
            self._notices.append("A text is compared with pictures as a whole: none of their places has a share in it.")
            return ()
        if isinstance(settled, NounQuery):
            self._notices.append(settled.said)
        if settled.without:
            self._notices.append("What a picture is to be without has no places in it that would speak for it.")
        if len(settled.words) > _MOST_WORDS:
            self._notices.append(f"The first {_MOST_WORDS} words are shown.")
        try:
            return tuple((word, self._explainer.word(match, word)) for word in settled.words[:_MOST_WORDS])
        except ModelError as error:
            self._notices.append(str(error))
            return ()

    def _tell_of_limits(self, reasons: Reasons | None) -> None:
        limits = self._wanted.filter.model_copy(
            update={"min_score": None, "min_percentile": None, "min_probability": None}
        )
        if (
            reasons is not None
            and reasons.way is not None
            and (limits != Filter() or self._wanted.objects or self._wanted.not_objects)
        ):
            self._notices.append("Filters are left aside: the way is the one among all pictures of the index.")
        if self._wanted.class_weights is not None:
            self._notices.append("The weights of a class are left aside.")


@dataclass(frozen=True)
class _Queries:
    """The parts of a search: what it is by pictures, whose `refs` these are, and by words or texts."""

    picture: PictureQuery | None
    refs: tuple[Ref, ...]
    words: WordQuery | TextQuery | None


def _queries(refs: Refs, wanted: Search) -> _Queries:
    """Part a search. ProblemError where it is by what places of a picture have no share in."""
    named = (*wanted.like, *wanted.more, *wanted.less)
    if wanted.person is not None or any(one.face is not None for one in named):
        raise ProblemError(
            422, "nothing-to-explain", "The search was by a face, and the rest of a picture has no share in that."
        )
    if wanted.asks_objects_alone:
        raise ProblemError(
            422, "nothing-to-explain", "The search was by objects: a picture's own boxes show where they are."
        )
    nothing: dict[str, Any] = {"objects": [], "not_objects": []}
    no_words = nothing | {"words": [], "without": [], "text": None, "texts": [], "not_texts": []}
    no_pictures = nothing | {"like": [], "more": [], "less": []}
    picture = refs.search(wanted.model_copy(update=no_words)) if named else None
    has_words = wanted.words or wanted.without or wanted.all_texts or wanted.not_texts
    words = refs.search(wanted.model_copy(update=no_pictures)) if has_words else None
    assert picture is None or isinstance(picture, (ImageQuery, VectorQuery, CombinedQuery, FeedbackQuery))
    assert words is None or isinstance(words, (WordQuery, TextQuery))
    return _Queries(picture, named, words)

"""Tags that detections give: the names of what a detector found in an index's pictures, among the tags by classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from cbir.detect.classes import synset_of, synsets_above
from cbir.index.columns.objects import ObjectRows
from cbir.index.entries import ObjectsEntry
from cbir.tags.rules import worth
from cbir.words.tag import Tag
from cbir.words.wordnet import plain, wordnet


def with_objects(
    found: Iterable[list[Tag] | None], objects: ObjectRows, entry: ObjectsEntry, count: int, min_probability: float
) -> Iterator[list[Tag] | None]:
    """Add detections to the tags of rows, None where there are none yet: up to `count` of both, the most telling first.

    Detections count from the least score that the detector believes, and from `min_probability` on; the best score of
    a class takes the place of a probability. Of two words of which one is a kind of the other, the more telling stays.
    """
    least = max(entry.least_score, min_probability)
    for tags, is_known, classes, scores in zip(
        found, objects.known.tolist(), objects.classes.tolist(), objects.scores.tolist(), strict=True
    ):
        if not is_known:
            yield tags
            continue
        detected: dict[int, float] = {}
        for number, score in zip(classes, scores, strict=True):
            if score < least:  # and those that follow
                break
            detected.setdefault(number, score)
        named = ((entry.classes[number], score) for number, score in detected.items())
        new = [Tag(name, score, _place(name), is_class=True) for name, score in named]
        yield _joined([*(tags or []), *new], count) if new else tags or []


def _joined(tags: Sequence[Tag], count: int) -> list[Tag]:
    chosen: list[Tag] = []
    for tag in sorted(tags, key=worth, reverse=True):
        if len(chosen) < count and not any(_are_kin(tag, other) for other in chosen):
            chosen.append(tag)
    return chosen


def _are_kin(one: Tag, other: Tag) -> bool:
    """Tell whether two tags say the same, or one of them a kind of the other."""
    if one.place is None or other.place is None:
        return plain(one.word) == plain(other.word)
    return one.place in _above(other.word, other.place) or other.place in _above(one.word, one.place)


@lru_cache(4096)
def _above(word: str, place: int) -> frozenset[int]:
    """Return what stands above a tag; where the detector means the same, also what people put above that."""
    above = frozenset(wordnet().above(place))
    return above | frozenset(synsets_above(word)) if _place(word) == place else above


@lru_cache(4096)
def _place(name: str) -> int | None:
    return synset_of(name)

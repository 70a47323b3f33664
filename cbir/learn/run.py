"""Learning a notion: labels in, a notion in the index out, or the sentence why not."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cbir.engines.lazy import LazyEngine, lazy_engine
from cbir.errors import CbirError
from cbir.extract.extractor import Extractor, Watch
from cbir.extract.of_index import backbone_of
from cbir.images.sources.address import Location
from cbir.index.format import load_meta
from cbir.index.similarity import sample
from cbir.index.store import Index
from cbir.learn.doubtful import Doubtful, doubtful
from cbir.learn.fitting import (
    Basis,
    basis_of,
    fit_classes,
    fit_groups,
    fit_guesses,
    notion_of,
    pairs_quality,
    quality_of,
)
from cbir.learn.folders import labels_of_folders
from cbir.learn.labels import Contradiction, Labelled, by_content, kept_labels, keys_of, path_of
from cbir.learn.lists import GivenLabel, GivenPair
from cbir.learn.pairs import are_enough, by_pairs, regrouped
from cbir.learn.pictures import Picture, Pictures, Skipped, of_key
from cbir.notions.decide import APPLIED, APPLIED_PAIRS, verdict
from cbir.notions.notion import NONE, PARTS, PICTURES, LearntRows, Notion
from cbir.notions.rows import ROWS, model_of
from cbir.notions.store import check_name, keep_notion, read_notion
from cbir.utils.printable import printable

if TYPE_CHECKING:
    from cbir.learn.parts import Parts

logger = logging.getLogger("cbir")


@dataclass(frozen=True)
class Learnt:
    """The outcome of learning: the `notion`, None where it was refused, and what is to be told of its labels.

    `why` says in a sentence why it is applied, weak or refused; `quality` is that of `Notion`, and `plain`, of pairs,
    the same by plain features. `outside` is the number of labelled pictures that the index has not. `of` says whether
    labels are of pictures or of parts.
    """

    name: str
    kind: str
    notion: Notion | None
    quality: float
    why: str
    classes: Mapping[str, int]
    labels: int
    outside: int
    skipped: Sequence[Skipped]
    contradictions: Sequence[Contradiction]
    doubtful: Sequence[Doubtful]
    plain: float | None = None
    of: str = PICTURES

    @property
    def verdict(self) -> str:
        """Applied, weak or refused."""
        return "refused" if self.notion is None else self.notion.verdict

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "of": self.of,
            "verdict": self.verdict,
            "quality": round(self.quality, 4),
            **({} if self.plain is None else {"plain": round(self.plain, 4)}),
            "why": self.why,
            "classes": [{"class": name, "labels": count} for name, count in self.classes.items()],
            "labels": self.labels,
            "outside": self.outside,
            "skipped": [{"path": str(one.path), "reason": one.reason} for one in self.skipped],
            "contradictions": [
                {"paths": [str(path) for path in one.paths], "said": list(one.said)} for one in self.contradictions
            ],
            "doubtful": [
                {
                    "path": str(one.picture.path),
                    **({} if one.picture.box is None else {"box": list(one.picture.box)}),
                    "given": one.given,
                    "likelier": one.likelier,
                    "margin": round(one.margin, 4),
                }
                for one in self.doubtful
            ],
        }


class _Label(NamedTuple):
    """A `GivenLabel` of a file that was found."""

    path: Location
    class_name: str
    region: str = ""


class Learner:
    """Learns notions of an index. Pictures that it has not go through `engine`, which is opened when one needs it.

    `weights` are as in `backbone_of`; `watch` is the place for a progress bar; for another writer of the index it waits
    `wait` seconds.
    """

    def __init__(
        self,
        index: Index,
        *,
        engine: LazyEngine | str | None = None,
        weights: str | None = None,
        wait: float = 0,
        watch: Watch = lambda results, total: results,
    ) -> None:
        self.index = index
        backbone = backbone_of(index, weights=weights)
        self._engine, self._watch = lazy_engine(backbone, engine), watch
        extractor = Extractor(backbone, engine=self._engine, isolated=True, leave_own=True)
        self.pictures = Pictures(index, extractor, watch)
        self._wait = wait

    @cached_property
    def parts(self) -> Parts:
        """The reader of parts. CbirError where the index has none."""
        from cbir.learn.parts import Parts

        return Parts(self.index, self.pictures, self._engine, self._watch)

    def from_folders(self, name: str, folders: Sequence[Path], *, parts: bool = False, **how: bool) -> Learnt:
        """Learn from folders, each a class, or each of the subfolders of one. Options are those of `from_labels`."""
        self._may_learn(name, **how)
        files, problems = labels_of_folders(folders, self.pictures)
        given = [_Label(path, class_name) for path, class_name in files]
        return self._from_files(name, given, problems, PARTS if parts else PICTURES, **how)

    def from_labels(self, name: str, labels: Sequence[GivenLabel], *, parts: bool = False, **how: bool) -> Learnt:
        """Learn from pictures and their classes; from `parts` of them where labels have regions, or these are crops.

        Where there is a notion of that name, `add` adds to its labels, and `anew` takes its place; CbirError without.
        """
        self._may_learn(name, **how)
        given = [
            _Label(path_of(one.path, self.pictures, self.index.root), one.class_name, one.region) for one in labels
        ]
        is_of_parts = parts or any(one.region for one in labels)
        return self._from_files(name, given, [], PARTS if is_of_parts else PICTURES, **how)

    def from_pairs(self, name: str, pairs: Sequence[GivenPair], **how: bool) -> Learnt:
        """Learn from pairs of pictures that are the same to somebody, or different. Options as in `from_labels`."""
        self._may_learn(name, **how)
        named = [path for pair in pairs for path in (pair.first, pair.second)]
        found, skipped = self.pictures.find([path_of(one, self.pictures, self.index.root) for one in named])
        given = [
            (pair.is_same, first, second)
            for pair, first, second in zip(pairs, found[::2], found[1::2], strict=True)
            if first is not None and second is not None
        ]
        absent = None
        if how.get("add"):
            old = self._kept(name, "pairs")
            known = [(bool(same), old.pictures[one], old.pictures[other]) for one, other, same in old.pairs.tolist()]
            given = known + given
            absent = old.absent
        labelled, contradictions = by_pairs(given, absent)
        return self.learn(name, labelled, "pairs", skipped, contradictions)

    def from_index(self, name: str, other: Index, **how: bool) -> Learnt:
        """Learn from the labels that the notion of that name has in another index, perhaps of another network.

        Options as in `from_labels`, but nothing is added.
        """
        self._may_learn(name, **how)
        return self._from_kept(name, read_notion(other, name))

    def again(self, name: str) -> Learnt:
        """Learn a notion anew from the labels that were kept, by the index's pictures and network of today."""
        return self._from_kept(name, read_notion(self.index, name))

    def _from_kept(self, name: str, notion: Notion) -> Learnt:
        labelled = self._labelled(notion)
        if notion.kind == "pairs":
            labelled = regrouped(labelled)
        return self.learn(name, labelled, notion.kind, of=notion.of)

    def learn(
        self,
        name: str,
        labelled: Labelled,
        kind: str,
        skipped: Sequence[Skipped] = (),
        contradictions: Sequence[Contradiction] = (),
        of: str = PICTURES,
    ) -> Learnt:
        """Learn a notion from labelled pictures and keep it, unless it is refused. CbirError where none has a class."""
        check_name(name)
        if count := len(labelled.absent):
            logger.warning(
                "%s labelled pictures are not in the index now: their labels are kept, and not learnt from.",
                f"{count:,}",
            )
        if not (labelled.numbers != NONE).any():
            raise CbirError(
                f"There is nothing to learn {printable(name)} from: none of the pictures given has a class"
                + (f" ({skipped[0].path}: {skipped[0].reason})." if skipped else ".")
            )
        basis = self._basis(labelled, of)
        plain = None
        if kind == "pairs":
            found = fit_groups(basis, labelled.numbers)
            if not are_enough(labelled.pairs):
                raise CbirError("Pairs teach something from five of `same` and five of `different` on: name more.")
            plain, quality = pairs_quality(basis, labelled)
            is_better = quality >= APPLIED_PAIRS and quality > plain
            decided, why = "applied" if is_better else None, _why_of_pairs(quality, plain)
        else:
            found = fit_classes(basis, labelled.numbers, len(labelled.classes))
            quality = quality_of(found, labelled.numbers)
            decided, why = verdict(quality), _why(quality, len(labelled.classes))
            if kind == "marks" and decided is None:
                decided, why = "weak", "Marks are kept however few they are; more of them tell better."
        notion = None
        if decided is not None:
            is_guessed = kind == "classes" and of == PICTURES
            used = fit_guesses(basis, labelled.numbers, found) if is_guessed else found
            notion = notion_of(self.index, name, kind, basis, labelled, used, quality, decided)
            if of == PICTURES:
                notion = replace(notion, cosines=sample(LearntRows(self.index, notion)))
            keep_notion(self.index.directory, notion, self._wait, seen=self.index.meta)
        counts = Counter(labelled.classes[number] for number in labelled.numbers.tolist() if number != NONE)
        return Learnt(
            name,
            kind,
            notion,
            quality,
            why,
            {one: counts[one] for one in labelled.classes},
            len(labelled.pictures),
            sum(one.row is None for one in labelled.pictures),
            list(skipped),
            list(contradictions),
            doubtful(labelled, found) if kind == "classes" else [],
            plain,
            of,
        )

    def _basis(self, labelled: Labelled, of: str) -> Basis:
        if of == PICTURES:
            return basis_of(self.index, labelled)
        from cbir.learn.parts import basis_of_parts

        return basis_of_parts(self.index, labelled)

    def _from_files(
        self, name: str, labels: Sequence[_Label], problems: Sequence[Skipped], of: str, **how: bool
    ) -> Learnt:
        if of == PICTURES:
            found, skipped = self.pictures.find([one.path for one in labels])
        else:
            found, skipped = self.parts.find([(one.path, one.region) for one in labels])
        pairs = zip(found, labels, strict=True)
        given = [(picture, label.class_name) for picture, label in pairs if picture is not None]
        absent: dict[str, str] = {}
        if how.get("add"):
            old = self._kept(name, "classes", of)
            newer = {picture.key for picture, _ in given}
            names = {NONE: "", **dict(enumerate(old.classes))}
            absent = {key: names[number] for key, number in old.absent.numbers.items()}
            given += [
                (picture, names[number])
                for picture, number in zip(old.pictures, old.numbers.tolist(), strict=True)
                if picture.key not in newer
            ]
        labelled, contradictions = by_content(given, absent)
        return self.learn(name, labelled, "classes", [*problems, *skipped], contradictions, of)

    def _may_learn(self, name: str, *, add: bool = False, anew: bool = False) -> None:
        """Raise CbirError where nobody said what becomes of the notion of that name, or there is none to add to."""
        check_name(name)
        names = {entry.name for entry in load_meta(self.index.directory).notions}
        if name in names and not add and not anew:
            raise CbirError(
                f"The index {self.index.directory.name} has a notion {printable(name)} already: --add adds to its "
                "labels, --anew forgets them, and `cbir learn --forget` takes it away."
            )
        if add and name not in names:
            read_notion(self.index, name)

    def _kept(self, name: str, kind: str, of: str = PICTURES) -> Labelled:
        """Return the labels of a notion. CbirError where it is of another kind, or of other rows."""
        notion = read_notion(self.index, name)
        if (notion.kind, notion.of) != (kind, of):
            what = f"{notion.kind} of {ROWS[notion.of].what}"
            raise CbirError(f"The notion {printable(name)} was learnt from {what}: add such to it.")
        return self._labelled(notion)

    def _labelled(self, notion: Notion) -> Labelled:
        is_current = notion.model == model_of(self.index.meta, notion.of)
        # of these parts the notion has the rows
        known = set(keys_of(notion.labels)[: len(notion.labels.features)]) if is_current else set()

        def found(key: str) -> Picture | None:
            if notion.of == PICTURES or key in known:
                return self.pictures.by_content(of_key(key)[0])
            return self.parts.of_key(key)

        return kept_labels(notion.labels, notion.classes, found, comparable=is_current)


def _why(quality: float, classes: int) -> str:
    """Say what a kappa means."""
    number = f"kappa {quality:.2f}"
    if quality < APPLIED:
        chance = "than by chance" if classes > 1 else "than any other picture"
        how = "hardly better" if classes > 1 else "hardly more like each other"
        return (
            f"{number}, below {APPLIED}: by its picture and the other labels, each label can be told {how} {chance}. "
            "Are they right, and is what they mean to be seen? More of them may help."
        )
    if verdict(quality) == "weak":
        return f"{number}: the labels are told by each other, but not surely; more of them would help."
    return f"{number}: the labels are told by each other."


def _why_of_pairs(learnt: float, plain: float) -> str:
    """Say what held-out pairs show."""
    numbers = f"pairs held out are told apart with {learnt:.3f} (area under the curve), without it with {plain:.3f}"
    if learnt >= APPLIED_PAIRS and learnt > plain:
        return f"{numbers}."
    return f"{numbers}: that does not help. More pairs may, or such that are hard to tell apart."

"""The networks of an index beside its own: one that it is being moved to, and those that were kept.

Each has a state of its own in `meta.json`, with rows, columns and candidates. A run brings the index up to date by its
own network first, and the others after it: from the pictures alone, since columns that follow from these are copied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import compress
from pathlib import Path

from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.names import ONNX, prefix_of
from cbir.errors import EngineError, IndexConflictError, ModelError, WeightsError
from cbir.extract.of_index import backbone_of
from cbir.index.columns.faces import FOUND
from cbir.index.columns.objects import OBJECTS
from cbir.index.columns.parts import PARTS
from cbir.index.columns.treatment import TREATED
from cbir.index.entries import PartsEntry, TreatmentEntry
from cbir.index.format import FORMAT, FORMAT_OF_SEVERAL, Meta, load_meta
from cbir.index.lock import now
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.indexing.donor import Donor
from cbir.indexing.report import ByAnother, Report
from cbir.indexing.rows_elsewhere import leave
from cbir.utils.printable import printable

logger = logging.getLogger("cbir")

#: Makes the rows that a state lacks by a network; what is known of the pictures comes from the donor.
Make = Callable[[Backbone, Index, Writer, Donor], Report]

#: A network cannot be had, or does not work, here and now.
UNAVAILABLE = (ModelError, WeightsError, EngineError)

#: The reason for which a picture was not seen, where a run told none.
AWAY = "it is not there, or cannot be looked at, and is kept"


def asked_for(index: Index, model: str | None, weights: str | None, views: int | None, *, keep_old: bool) -> Backbone:
    """Return the network that a run is asked for: the index's own, or another, which it perhaps has already.

    Without a `model` it is the index's own. IndexConflictError where `weights` or `views` then are others, where the
    index is being moved to a third one, or where two would have one name beside each other.
    """
    meta = index.meta
    own = backbone_of(index)
    if model is None or (model == own.name and weights is None and views in (None, own.views)):
        return _own(index, weights, views)
    chosen = describe(model, weights, views or 1)
    for state in (meta, *meta.others):
        there = _network(index.directory, state)
        if chosen.matches(there):
            return there if weights is None else replace(there, weights=chosen.weights)
        is_file = any(prefix_of(network.name) == ONNX for network in chosen.networks)  # whose content says what it is
        if there.name == chosen.name and weights is None and views in (None, there.views) and not is_file:
            return there
    name = index.directory.name
    if meta.moving_to is not None:
        other = _name(meta.moving_to)
        raise IndexConflictError(
            f"The index {name} is being moved to {other} already: go on with --model {other}, or give that up with "
            f"--drop {other}."
        )
    beside = [*meta.kept, meta] if keep_old else meta.kept
    if chosen.name in map(_name, beside):
        raise IndexConflictError(
            f"The index {name} cannot have two networks called {chosen.name} beside each other: "
            f"leave --keep-old out, or take the other one away with --drop {chosen.name}."
        )
    return chosen


def _own(index: Index, weights: str | None, views: int | None) -> Backbone:
    own = backbone_of(index, weights=weights)
    if views not in (None, own.views):
        raise IndexConflictError(
            f"The index {index.directory} was made with --views {own.views}, not {views}: leave --views out, make "
            f"another index with --index NAME, or move this one with --model {own.name} --views {views}."
        )
    return own


def drop(directory: Path, name: str) -> None:
    """Take away what an index has by another network than its own. IndexConflictError where it has nothing."""
    whole = load_meta(directory)
    kept = tuple(state for state in whole.kept if _name(state) != name)
    if whole.moving_to is not None and _name(whole.moving_to) == name:
        without = whole.but(moving_to=None, keeps_old=False)
    elif len(kept) < len(whole.kept):
        without = whole.but(kept=kept)
    else:
        others = " and ".join(map(_name, whole.others))
        raise IndexConflictError(
            f"The index {directory.name} is by {_name(whole)} and has nothing by {printable(name)} to be dropped"
            f"{f', but by {others}' if others else ''}."
        )
    Writer(directory, whole).replace(without)
    for state in whole.others:
        if state.store is not None and without.by(state.model) is None:
            leave(state.store)


def foretell(directory: Path, asked: Backbone, files: Iterable[str], *, keep_old: bool) -> dict[str, int]:
    """Tell how many of the `files`, paths below the root, each network beside the index's own has not seen yet."""
    states = _as_wished(directory, asked, keep_old=keep_old).others
    found = set(files)
    return {_network(directory, state).label: len(found - _paths(directory, state)) for state in states}


def bring_along(
    directory: Path, asked: Backbone, make: Make, *, is_chosen: bool, keep_old: bool, prune: bool
) -> list[ByAnother]:
    """Bring the rows by other networks up to date with those by the index's own, and let one take over.

    `asked` is what `asked_for` returned: if the index has it not, the index is moved to it; if it is the index's own,
    and the user has chosen it, a move that is under way waits. `keep_old` keeps what there is by the own network when
    another takes over. That waits for pictures that it could not see, unless these are to be forgotten (`prune`).
    Raises what `make` does, but for a network that nobody has chosen now and that cannot be had.
    """
    kept = [state for state in load_meta(directory).kept if not asked.matches(_network(directory, state))]
    done = [_followed(directory, load_meta(directory), state, asked, make, may_fail=True) for state in kept]
    whole = _as_wished(directory, asked, keep_old=keep_old)
    if whole.moving_to is not None:
        is_own = asked.matches(_network(directory, whole))
        if is_own and is_chosen:
            going_on = _name(whole.moving_to)
            logger.info("The move to %s waits; it goes on with a run without --model, or with this one.", going_on)
        else:
            done.append(_moved(directory, asked, make, may_fail=is_own, keep_old=keep_old, prune=prune))
    return [one for one in done if one is not None]


def _moved(
    directory: Path, asked: Backbone, make: Make, *, may_fail: bool, keep_old: bool, prune: bool
) -> ByAnother | None:
    """Begin a move, or go on with it, and let the network take over if it has seen all pictures."""
    whole = _as_wished(directory, asked, keep_old=keep_old)
    assert whole.moving_to is not None
    done = _followed(directory, whole, whole.moving_to, asked, make, may_fail=may_fail)
    if done is None:
        return None
    whole = _as_wished(directory, asked, keep_old=keep_old)  # once more, as nothing is written where nothing was done
    new = whole.moving_to
    assert new is not None
    reasons = dict(done.report.skipped)
    not_seen = [(path, reasons.get(path, AWAY)) for path in _paths(directory, whole) - _paths(directory, new)]
    done = replace(done, is_move=True, previous=_name(whole), keeps_previous=whole.keeps_old, not_seen=sorted(not_seen))
    if not_seen and not prune:
        return done
    old = (whole.but(moving_to=None, keeps_old=False, kept=()),) if whole.keeps_old else ()
    Writer(directory, whole).replace(new.but(kept=(*whole.kept, *old), created=whole.created))
    if whole.store is not None and new.store is None:
        logger.warning("Annoy finds candidates now; for Milvus say --candidates %s again.", printable(str(whole.store)))
    if whole.store is not None and not old:
        leave(whole.store)
    return replace(done, has_taken_over=True)


def _followed(
    directory: Path, whole: Meta, state: Meta, asked: Backbone, make: Make, *, may_fail: bool
) -> ByAnother | None:
    """Bring the rows by another network up to date; None where it cannot be had, and that is no error."""
    network = _network(directory, state)
    if asked.matches(network):
        network = asked  # whose weights may lie elsewhere now
    donor = Donor(Index.open(directory), _network(directory, whole), network)
    writer = Writer(directory, state, whole=whole)
    wanted = _in_step(state, whole)
    if wanted.treatment is not None and donor.gives(TREATED):
        wanted = wanted.but(treatment=whole.treatment)
    if wanted != state:
        writer.replace(wanted)
    donor.fill_in(writer)
    index = Index(directory, writer.meta)
    if 0 < len(index) < len(donor.index):
        seen, total = f"{len(index):,}", f"{len(donor.index):,}"
        logger.info("%s of %s pictures are seen by %s already.", seen, total, network.label)
    try:
        return ByAnother(network.label, make(donor.rest, index, writer, donor))
    except UNAVAILABLE as error:
        if not may_fail:
            raise
        logger.warning("%s is not brought up to date by %s: %s", directory.name, network.label, error)
        return None


def _as_wished(directory: Path, asked: Backbone, *, keep_old: bool) -> Meta:
    """Return the state of an index that is moved to the network that was asked for. Nothing is written."""
    whole = load_meta(directory)
    if asked.matches(_network(directory, whole)):
        return whole
    if whole.moving_to is not None:
        return whole.but(keeps_old=whole.keeps_old or keep_old)
    for state in whole.kept:
        if asked.matches(_network(directory, state)):
            others = tuple(one for one in whole.kept if one is not state)
            return whole.but(moving_to=state, keeps_old=True, kept=others)
    return whole.but(moving_to=_in_step(_first_state(whole, asked), whole), keeps_old=keep_old)


def _first_state(whole: Meta, network: Backbone) -> Meta:
    """Return the state by a network that has seen nothing yet."""
    return whole.but(
        model=network.to_json(),
        dimension=network.dimension,
        format=FORMAT if network.is_plain else FORMAT_OF_SEVERAL,
        created=now(),
        complete=False,
        blocks=(),
        candidates=None,
        cosines=None,
        parts=None,
        part_lists=None,
        treatment=None,
        refused=None,
        precisions=(),
        imported=False,
        store=None,
        moving_to=None,
        keeps_old=False,
        kept=(),
    )


def _in_step(state: Meta, whole: Meta) -> Meta:
    """Return a state that is to have parts, objects, faces and treatments if, and as, the index's own has them."""
    if whole.parts is None or (state.parts is not None and state.parts.proposer != whole.parts.proposer):
        state = state.without(PARTS.group)
    if whole.parts is not None and state.parts is None:
        state = state.but(parts=PartsEntry(proposer=whole.parts.proposer))
    if (whole.treatment is None) is not (state.treatment is None):  # each network makes its own
        state = state.without(TREATED.group).but(treatment=None if whole.treatment is None else TreatmentEntry())
    for group in (OBJECTS.group, FOUND.group):
        if getattr(state, group) != getattr(whole, group):
            state = state.without(group).but(**{group: getattr(whole, group)})
    return state


def _paths(directory: Path, state: Meta) -> set[str]:
    """Return the paths of the pictures that a state has, below the root."""
    index = Index(directory, state.but(candidates=None))
    return set(compress(index.files().paths, index.valid.tolist()))


def _network(directory: Path, state: Meta) -> Backbone:
    return backbone_of(Index(directory, state.but(blocks=(), candidates=None)))


def _name(state: Meta) -> str:
    return printable(str(state.model.get("name")))

"""Is an index sound? Structure at once, contents against their checksums when asked; and what to do if not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cbir.errors import CbirError, reason_of
from cbir.index import refused
from cbir.index.block import column_readers
from cbir.index.blockentry import BlockEntry
from cbir.index.columns.parts import PARTS
from cbir.index.columns.registry import all_columns, kept_together
from cbir.index.datafile import DataFile, how_to_repair, how_to_replace, how_to_replace_people, of_doubles
from cbir.index.entries import MILVUS, FileEntry, PartsEntry
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.utils.hashing import file_sha256


def find_problems(index: Index, *, verify: bool = False) -> list[str]:
    """Find the problems of an open index, one sentence each. With `verify` all files are read and hashed.

    What it has by other networks is looked at, too.
    """
    problems = _find_problems(index, verify=verify)
    for state in index.meta.others:
        try:
            problems += _find_problems(Index(index.directory, state), verify=verify)
        except CbirError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def _find_problems(index: Index, *, verify: bool) -> list[str]:
    problems = []
    try:
        if doubles := doubles_in(index):
            problems.append(of_doubles(index.directory, len(doubles)))
        if index.rows:
            index.record(0)
        index.candidates()
        index.part_lists()
    except CbirError as error:
        problems.append(str(error))
    opened = [(notion.file, how_to_replace(index.directory, notion.name)) for notion in index.meta.notions]
    if index.meta.people is not None:
        opened.append((index.meta.people, how_to_replace_people(index.directory)))
    if index.meta.parts is not None and index.meta.parts.file is not None:
        opened.append((index.meta.parts.file, how_to_repair(index.directory)))
    for entry, remedy in opened:
        try:
            DataFile(index.directory, entry, remedy)
        except CbirError as error:
            problems.append(str(error))
    if index.meta.refused is not None:
        try:
            refused.load(index.directory, index.meta.refused)
        except CbirError as error:
            problems.append(str(error))
    for column in all_columns():
        try:
            index.check_column(column)
        except CbirError as error:
            problems.append(str(error))
    if verify:
        elsewhere = {
            entry.features.name
            for entry, block in zip(index.meta.blocks, index.blocks, strict=True)
            if block.is_elsewhere
        }
        entries = [entry for entry in index.meta.files() if entry.name not in elsewhere]
        mismatches = {entry.name: _mismatch(index.directory, entry) for entry in entries}
        problems += [problem for problem in mismatches.values() if problem]
        try:
            damaged = _damaged_rows(index)
        except CbirError as error:
            damaged = [str(error)]
        problems += _problems_elsewhere(index)
        # one that is not what was written has been told already
        told = [str(index.directory / name) for name, problem in mismatches.items() if problem]
        problems += [problem for problem in damaged if not problem.startswith(tuple(told))]
    return problems


def _problems_elsewhere(index: Index) -> list[str]:
    """Find out whether Milvus has the rows that it is to have."""
    store, entry = index.meta.store, index.meta.candidates
    if store is None or entry is None or entry.backend != MILVUS:
        return []
    from cbir.index.ann.milvus.backend import Milvus

    try:
        problem = Milvus(store).find_problem(index.directory, entry, index)
    except CbirError as error:
        return [str(error)]
    return [] if problem is None else [problem]


def without_damage(directory: Path, meta: Meta) -> tuple[Meta, list[str]]:
    """`meta` without the blocks that are not what was written, and what is wrong with those.

    Rows after a dropped block get other numbers, so the candidates go with it. The pictures of dropped blocks
    count as new in the next run. Of blocks of which only a column's file is damaged, only this goes. Damaged
    notions go too. Nothing is written.
    """
    problems: list[str] = []
    kept: list[BlockEntry] = []
    for block in meta.blocks:
        found = _damage(directory, block, meta)
        problems += found
        if not found and (doubles := doubles_in(Index(directory, meta.but(blocks=(*kept, block), candidates=None)))):
            found = [of_doubles(directory, len(doubles))]
            problems += found
        if not found:
            kept.append(block)
    if problems:
        meta = meta.but(blocks=tuple(kept), candidates=None, part_lists=None, complete=False)
    # only here, and not in every run: what a user taught it cannot be read again from pictures
    for notion in meta.notions:
        if problem := _mismatch(directory, notion.file):
            problems.append(problem)
            meta = meta.but(notions=tuple(one for one in meta.notions if one is not notion))
    if meta.people is not None and (problem := _mismatch(directory, meta.people)):
        problems.append(problem)
        meta = meta.but(people=None)
    sound, damaged_files = without_damaged_columns(directory, meta, verify=True)
    return sound, problems + damaged_files


def without_damaged_columns(directory: Path, meta: Meta, *, verify: bool = False) -> tuple[Meta, list[str]]:
    """`meta` without files of columns that cannot be read, and what is wrong with those. With `verify` they are hashed.

    The next run reads the pictures of such blocks again for what was in them only. Where it is the whitening of parts,
    all of these go with it, since nothing can be compared with them. Nothing is written.
    """
    problems: list[str] = []
    if meta.parts is not None and meta.parts.file is not None:
        problem = _mismatch(directory, meta.parts.file)
        if problem:
            problems.append(problem)
            meta = meta.without(PARTS.group).but(parts=PartsEntry(proposer=meta.parts.proposer))
    if meta.refused is not None:
        try:
            refused.load(directory, meta.refused)
        except CbirError as error:
            problems.append(str(error))
            meta = meta.but(refused=None)
    blocks: list[BlockEntry] = []
    for block in meta.blocks:
        readers = column_readers(directory, block)
        for column in all_columns():
            entry = block.columns.get(column.name)
            if entry is None:
                continue
            problem = _mismatch(directory, entry) if verify else None
            if problem is None:
                try:
                    readers[column.name].check(meta.check_of(column))
                except CbirError as error:
                    problem = str(error)
            if problem:
                problems.append(problem)
                block = block.with_columns(dict.fromkeys(one.name for one in kept_together(column)))
                if column.group == PARTS.group:
                    meta = meta.but(part_lists=None)
        blocks.append(block)
    return (meta.but(blocks=tuple(blocks)) if problems else meta), problems


def _damage(directory: Path, block: BlockEntry, meta: Meta) -> list[str]:
    """Find the problems of a block: its files' checksums, or their structure."""
    mismatches = [_mismatch(directory, entry) for entry in (block.features, block.files)]
    problems = [problem for problem in mismatches if problem]
    if not problems:
        try:
            index = Index(directory, meta.but(blocks=(block,), candidates=None))
            index.files()
            problems += _damaged_rows(index)
        except CbirError as error:
            problems.append(str(error))
    return problems


def doubles_in(index: Index) -> list[int]:
    """Find the valid rows of a path that an earlier one has already. A writer makes none."""
    paths = index.files().paths
    seen: set[str] = set()
    found = []
    for row in np.flatnonzero(index.valid).tolist():
        if paths[row] in seen:
            found.append(row)
        seen.add(paths[row])
    return found


def _damaged_rows(index: Index) -> list[str]:
    """Read all features and find their problems."""
    for _ in index.chunks():
        pass
    return index.damage


def _mismatch(directory: Path, entry: FileEntry) -> str | None:
    path = directory / entry.name
    try:
        if file_sha256(path) == entry.sha256:
            return None
    except OSError as error:
        return f"{path} cannot be read ({reason_of(error)})."
    return f"{path} is not what was written (its checksum differs)."

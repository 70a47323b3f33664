"""Is an index sound? Structure at once, contents against their checksums when asked; and what to do if not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cbir.errors import CbirError, reason_of
from cbir.hashing import file_sha256
from cbir.index.format import BlockEntry, FileEntry, Meta
from cbir.index.store import Index, open_classes


def find_problems(index: Index, *, verify: bool = False) -> list[str]:
    """What is wrong with an open index, one sentence each. With `verify` all files are read and hashed."""
    problems = []
    try:
        for _ in index.records():
            pass
        if index.rows:
            index.record(0)
        index.shortlist()
    except CbirError as error:
        problems.append(str(error))
    try:
        index.classes()
    except CbirError as error:
        problems.append(str(error))
    if verify:
        for entry in index.meta.files():
            problem = _mismatch(index.directory, entry)
            if problem:
                problems.append(problem)
    return problems


def without_damage(directory: Path, meta: Meta) -> tuple[Meta, list[str]]:
    """`meta` without the blocks that are not what was written, and what is wrong with those.

    Rows after a dropped block get other numbers, so the shortlist goes with it. The pictures of dropped blocks
    count as new in the next run. Of blocks of which only the classes are damaged, only these go. Nothing is written.
    """
    problems: list[str] = []
    kept: list[BlockEntry] = []
    for block in meta.blocks:
        found = _damage(directory, block, meta)
        problems += found
        if not found:
            kept.append(block)
    if problems:
        meta = meta.but(blocks=tuple(kept), shortlist=None, complete=False)
    sound, damaged_classes = without_damaged_classes(directory, meta, verify=True)
    return sound, problems + damaged_classes


def without_damaged_classes(directory: Path, meta: Meta, *, verify: bool = False) -> tuple[Meta, list[str]]:
    """`meta` without classes that cannot be read, and what is wrong with those. With `verify` they are hashed.

    The next run reads the pictures of such blocks again for their classes only. Nothing is written.
    """
    problems: list[str] = []
    blocks: list[BlockEntry] = []
    for block in meta.blocks:
        problem = _mismatch(directory, block.classes) if verify and block.classes else None
        if block.classes and problem is None:
            try:
                open_classes(directory, block).checked()
            except CbirError as error:
                problem = str(error)
        if problem:
            problems.append(problem)
        blocks.append(replace(block, classes=None) if problem else block)
    return (meta.but(blocks=tuple(blocks)) if problems else meta), problems


def _damage(directory: Path, block: BlockEntry, meta: Meta) -> list[str]:
    """What is wrong with a block: its files' checksums, or their structure."""
    mismatches = [_mismatch(directory, entry) for entry in (block.features, block.files)]
    problems = [problem for problem in mismatches if problem]
    if not problems:
        try:
            for _ in Index(directory, meta.but(blocks=(block,), shortlist=None)).records():
                pass
        except CbirError as error:
            problems.append(str(error))
    return problems


def _mismatch(directory: Path, entry: FileEntry) -> str | None:
    path = directory / entry.name
    try:
        if file_sha256(path) == entry.sha256:
            return None
    except OSError as error:
        return f"{path} cannot be read ({reason_of(error)})."
    return f"{path} is not what was written (its checksum differs)."

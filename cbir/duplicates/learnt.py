"""The order of duplicates by a notion: groups of its classes first, and members by their learnt likeness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cbir.duplicates.find import Duplicates, Group
from cbir.index.store import Index
from cbir.notions.notion import Notion
from cbir.utils.vectors import Floats


def order_by_notion(found: Duplicates, index: Index, notion: Notion) -> Duplicates:
    """Order groups by the class of the picture to keep, those that no class claims last, and tell the class.

    Those of one class keep their order. In each group the others come by their likeness with the kept one.
    """
    paths = index.files().paths
    row_of = {index.root / paths[row]: row for row in np.flatnonzero(index.valid).tolist()}
    ordered = []
    for group in found.groups:
        features = index.features([row_of[member.path] for member in group.members])
        scores = notion.scores(features[:1])
        number = int(scores.argmax()) if notion.claims(scores)[0] else None
        ordered.append((number, _by_likeness(group, notion.vectors(features))))
    last = len(notion.classes)
    ordered.sort(key=lambda one: last if one[0] is None else one[0])
    groups = [replace(group, label=None if number is None else notion.classes[number]) for number, group in ordered]
    return replace(found, groups=groups)


def _by_likeness(group: Group, vectors: Floats) -> Group:
    """Return a group, whose members have these vectors, with those first that are most like the kept one."""
    kept, *others = group.members
    order = np.argsort(-(vectors[1:] @ vectors[0]), kind="stable")
    return replace(group, members=(kept, *(others[place] for place in order.tolist())))

"""A hint at names that are near to one that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, count: int = 3, cutoff: float = 0.6) -> str:
    """Return a sentence with up to `count` names near to `name`, a space before it; nothing where none is near.

    `cutoff` is as of `difflib.get_close_matches`.
    """
    import difflib  # which few runs need

    near = difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)
    return f" Did you mean {', '.join(near)}?" if near else ""

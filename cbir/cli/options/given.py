"""Options as they were given: the base of each command's own."""

from __future__ import annotations

from typing import Any


class Given:
    """The options of one call as attributes, by the parameters of its command; a subclass says which these are.

    It is no dataclass, since making one takes a millisecond of each start.
    """

    def __init__(self, **options: Any) -> None:
        vars(self).update(options)

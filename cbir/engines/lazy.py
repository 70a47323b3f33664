"""An engine that is opened at its first use."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from cbir.backbones.backbone import Backbone, describe
from cbir.engines import select
from cbir.engines.engine import Engine
from cbir.engines.joined import JoinedEngine


class LazyEngine:
    """One engine for all that a command does with a backbone, opened at its first use, once for all threads.

    `engine` is one of `select.NAMES`, as in `open_engine`; `expected` is about how many images there will be.
    """

    def __init__(self, backbone: Backbone | str, engine: str | None = None, *, expected: int = 1) -> None:
        self.backbone = describe(backbone) if isinstance(backbone, str) else backbone
        self._name = engine
        self._expected = expected
        plain = [] if self.backbone.is_plain else self.backbone.networks
        self._members = tuple(LazyEngine(one, engine, expected=expected) for one in plain)
        self._opening = threading.Lock()
        self._engine: Engine | None = None

    def __reduce__(self) -> tuple[Callable[..., LazyEngine], tuple[Backbone, str | None]]:
        """Pickle what it is opened with: it is opened anew where it arrives."""
        return functools.partial(LazyEngine, expected=self._expected), (self.backbone, self._name)

    @property
    def members(self) -> tuple[LazyEngine, ...]:
        """The engines of the backbone's networks, each of one view."""
        return self._members or (self,)

    @property
    def first(self) -> LazyEngine:
        """The engine of the backbone's first network, which knows maps and classes."""
        return self.members[0]

    def opened(self) -> Engine:
        """Return the engine, opened now if it was not yet. Raises what `open_engine` raises, each time."""
        if self._engine is None:
            with self._opening:
                if self._engine is None:
                    self._engine = self._open()
        return self._engine

    def _open(self) -> Engine:
        if self._members:
            return JoinedEngine(self.backbone, [member.opened() for member in self._members])
        return select.open_engine(self.backbone, engine=self._name, expected=self._expected)


def lazy_engine(backbone: Backbone | str, engine: LazyEngine | str | None, *, expected: int = 1) -> LazyEngine:
    """Return `engine` itself if it is one that others share, else a new one of that name."""
    return engine if isinstance(engine, LazyEngine) else LazyEngine(backbone, engine, expected=expected)

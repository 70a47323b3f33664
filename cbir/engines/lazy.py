"""An engine that is opened at its first use."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from cbir.backbones.backbone import Backbone, describe
from cbir.engines import select
from cbir.engines.engine import Engine


class LazyEngine:
    """One engine for all that a command does with a backbone, opened at its first use, once for all threads.

    `engine` is one of `select.NAMES`, as in `open_engine`; `expected` is about how many images there will be.
    """

    def __init__(self, backbone: Backbone | str, engine: str | None = None, *, expected: int = 1) -> None:
        self.backbone = describe(backbone) if isinstance(backbone, str) else backbone
        self._name = engine
        self._expected = expected
        self._opening = threading.Lock()
        self._engine: Engine | None = None

    def __reduce__(self) -> tuple[Callable[..., LazyEngine], tuple[Backbone, str | None]]:
        """Pickle what it is opened with: it is opened anew where it arrives."""
        return functools.partial(LazyEngine, expected=self._expected), (self.backbone, self._name)

    def opened(self) -> Engine:
        """Return the engine, opened now if it was not yet. Raises what `open_engine` raises, each time."""
        if self._engine is None:
            with self._opening:
                if self._engine is None:
                    self._engine = select.open_engine(self.backbone, engine=self._name, expected=self._expected)
        return self._engine


def lazy_engine(backbone: Backbone | str, engine: LazyEngine | str | None, *, expected: int = 1) -> LazyEngine:
    """Return `engine` itself if it is one that others share, else a new one of that name."""
    return engine if isinstance(engine, LazyEngine) else LazyEngine(backbone, engine, expected=expected)

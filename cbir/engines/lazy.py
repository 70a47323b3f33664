"""An engine that is opened at its first use."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

import numpy as np

from cbir.backbones.backbone import Backbone, describe
from cbir.engines import select
from cbir.engines.engine import Engine, Features, TextEncoder
from cbir.engines.joined import JoinedEngine
from cbir.utils.vectors import l2_normalize

# Texts that go through an encoder at a time.
_AT_ONCE = 64


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
        self._encoder: TextEncoder | None = None

    def __reduce__(self) -> tuple[Callable[..., LazyEngine], tuple[Backbone, str | None]]:
        """Pickle what it is opened with: it is opened anew where it arrives."""
        return functools.partial(LazyEngine, expected=self._expected), (self.backbone, self._name)

    @property
    def asked(self) -> str | None:
        """The engine that was asked for."""
        return self._name

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

    def text(self, texts: Sequence[str]) -> Features:
        """Compute features of texts, shape (n, dimension), each of length 1; the networks of images are not opened.

        Those of several networks are one after the other, zeros where one knows images only. ModelError where all do;
        else what `open_engine` raises.
        """
        if self._members and self.backbone.reads_text:
            parts = [
                one.text(texts) if one.backbone.reads_text else np.zeros((len(texts), one.backbone.dimension))
                for one in self._members
            ]
            return l2_normalize(np.concatenate(parts, axis=1, dtype=np.float32))
        if self._encoder is None:
            with self._opening:
                if self._encoder is None:
                    self._encoder = select.open_text_encoder(self.backbone, engine=self._name)
        some = (texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE))
        return l2_normalize(np.concatenate([self._encoder(its) for its in some]))

    def _open(self) -> Engine:
        if self._members:
            return JoinedEngine(self.backbone, [member.opened() for member in self._members])
        self.backbone.check_here()
        return select.open_engine(self.backbone, engine=self._name, expected=self._expected)


def lazy_engine(backbone: Backbone | str, engine: LazyEngine | str | None, *, expected: int = 1) -> LazyEngine:
    """Return `engine` itself if it is one that others share, else a new one of that name."""
    return engine if isinstance(engine, LazyEngine) else LazyEngine(backbone, engine, expected=expected)

"""Turns: so many requests are worked on at a time, the others wait in order, and too many are sent away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from cbir.serve.problems import ProblemError
from cbir.serve.settings import Settings

# Seconds after which a request that was sent away may come again.
_LATER = "2"


class Turns:
    """Lets at most so many requests work at a time, and at most so many wait for that, for so long."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._free = asyncio.Semaphore(self._settings.at_work)
        self.waiting = self.working = self.refused = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a turn and have it. ProblemError, with 503, where too many wait, or it takes too long."""
        if self.waiting + self.working >= self._settings.at_work + self._settings.waiting:
            raise self._busy()
        self.waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), self._settings.patience)
        except (asyncio.TimeoutError, TimeoutError):
            raise self._busy() from None
        finally:
            self.waiting -= 1
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1
            self._free.release()

    def _busy(self) -> ProblemError:
        self.refused += 1
        return ProblemError(
            503, "busy", "Too many requests are being worked on: try again.", headers={"Retry-After": _LATER}
        )


def heavy_turns(settings: Settings) -> Turns:
    """Return the turns of requests that compute for seconds, or take much memory: one at a time.

    Few wait, since those that do have a turn among all requests, and searches are to be answered meanwhile.
    """
    return Turns(replace(settings, at_work=1, waiting=max(0, settings.at_work // 2 - 1)))

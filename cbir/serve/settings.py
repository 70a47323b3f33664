"""Settings of a server, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cbir.utils.workers import usable_cores

#: Bytes of a request with pictures, of any other one, and of all requests that are held at a time.
UPLOAD_BYTES, BODY_BYTES, HELD_BYTES = 64_000_000, 2_000_000, 192_000_000

#: Results of one query at most, those that were passed over among them.
MOST_RESULTS = 10_000

#: Pictures in one request.
MOST_UPLOADS = 16


@dataclass(frozen=True)
class Settings:
    """Choices of whoever starts the server.

    `token` lets in who knows it; None lets in everybody who reaches the server. `url` is the address under which
    browsers reach it where that is another one, behind a proxy. `links` is the folder for folders of links. At most
    `at_work` requests are worked on at a time, and `waiting` wait for that, for `patience` seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8580
    token: str | None = None
    url: str | None = None
    links: Path | None = None
    at_work: int = 2 * usable_cores()
    waiting: int = 128
    patience: float = 10.0

"""Running the server until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from cbir.errors import CbirError, reason_of
from cbir.serve.app import make_app
from cbir.serve.connections import PatientProtocol
from cbir.serve.service import Service
from cbir.serve.settings import Settings
from cbir.utils import stopping

# Seconds that requests at work have once a signal came, and after which the process ends in any case.
_GRACE, _AT_MOST = 1, 1.6


def run(
    service: Service, settings: Settings, ready: Callable[[str], None], ending: Callable[[], None] = lambda: None
) -> None:
    """Serve until a signal comes; `ready` is called with the address. CbirError where the port cannot be had.

    With the signal, `ending` is called by a thread: what else has to end begins to do so while requests are answered.
    """
    listener = _listen(settings)
    app = make_app(service, settings)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=10,
    )
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    server = _Server(config, service, lambda: ready(_address(settings, listener)))
    with _signals(server, ending):
        asyncio.run(server.serve([listener]))
    service.end()


class _Server(uvicorn.Server):
    """A server that leaves signals to `run`, and tells when it is ready."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals as they are."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, tell of it, and begin to warm the networks up."""
        await super().startup(sockets)
        self._ready()
        self._service.start()


def _listen(settings: Settings) -> socket.socket:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise CbirError(
                f"Port {settings.port} of {settings.host} is in use, perhaps by another `cbir serve`: "
                "name another with --port (0: any that is free)."
            ) from error
        raise CbirError(f"Cannot listen on {settings.host}, port {settings.port}: {reason_of(error)}.") from error
    listener.setblocking(False)
    return listener


def _address(settings: Settings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return settings.url or f"http://{f'[{host}]' if ':' in host else host}:{port}/"


@contextlib.contextmanager
def _signals(server: uvicorn.Server, ending: Callable[[], None]) -> Iterator[None]:
    """Let signals end the server, whatever is at work: that is how a server ends, and no interruption."""

    def stop(number: int, frame: Any) -> None:
        if not server.should_exit:
            server.should_exit = True
            threading.Thread(target=_end_in_any_case, daemon=True).start()

    def _end_in_any_case() -> None:
        ending()
        threading.Event().wait(_AT_MOST)
        stopping.end_by_force(0)

    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    wakeup = signal.set_wakeup_fd(-1) if sys.platform != "win32" else -1
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if wakeup != -1:
            signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

"""Pictures on the web: fetched because their user named an address, and nothing that its server says is believed.

A server is asked over no proxy: what is connected to is what was looked at. `curl … | cbir search -` does it otherwise.
"""

from __future__ import annotations

import base64
import errno
import functools
import http.client
import io
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from cbir._version import __version__
from cbir.images.formats.first_bytes import HEAD_BYTES
from cbir.images.patterns import Patterns
from cbir.images.scan import Scan
from cbir.images.sources.objects import looked
from cbir.images.sources.patience import IncompleteError, SourceError, side_by_side

#: Bytes of a picture at most, and seconds that it may take from the first question to the last byte.
MOST_BYTES, SECONDS = 100_000_000, 60.0

#: How often a server may send on to another place.
REDIRECTS = 5

_PORTS = {"http": 80, "https": 443}
_REDIRECT, _GONE, _CLOSED = (301, 302, 303, 307, 308), (404, 410), (401, 403)

# Seconds until the next of a host's addresses is tried.
_PATIENCE = 10.0

# Of pictures with more bytes only some come at a time.
_LARGE = 16_000_000
_LARGE_ONES = threading.BoundedSemaphore(2)

_PART = 1 << 16

# Bytes of an answer beside the picture's own: headers, and the lengths of chunks.
_BESIDES = 16 << 20

# Characters that stay as they are in a request's path and query: what means something there, and what was quoted.
_SAFE = "/%:@!$&'()*+,;=~?[]"

# Where IPv6 has hosts of the internet, and where translators put those of IPv4 (RFC 6052).
_UNICAST, _TRANSLATED = ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("64:ff9b::/96")


class Web:
    """The pictures of a web server, each fetched by its address: `allow_private` as of `fetch`."""

    def __init__(self, root: str, *, allow_private: bool) -> None:
        self._root = root
        self._allow_private = allow_private

    def scan(self, exclude: Patterns | None = None) -> Scan:
        """Raise SourceError: nobody can tell which pictures there are."""
        raise SourceError("a web server cannot be listed: name a list (.txt) of addresses, or tar shards")

    def look(self, paths: Sequence[str]) -> Iterator[bool | OSError]:
        """Read files, and tell whether they are pictures'."""
        return side_by_side(lambda path: looked(self.head, path), paths)

    def length(self, path: str) -> int | None:
        """Return None: whatever a server says, only what comes counts."""
        return None

    def head(self, path: str) -> bytes:
        """Read a file's first bytes. Raises OSError."""
        return self.read(path, None, MOST_BYTES)[:HEAD_BYTES]

    def read(self, path: str, size: int | None, most: int) -> bytes:
        """Fetch a file, unless this process keeps it (`keep`). Raises OSError."""
        address = f"{self._root}/{path}"
        content = _KEPT.get(address)
        if content is None:
            content = fetch(address, allow_private=self._allow_private, most=min(most, MOST_BYTES))
            _KEPT.add(address, content)
        return content


class _Kept:
    """The files that were fetched last, up to `most` bytes of them: none unless somebody asked for that."""

    def __init__(self) -> None:
        self.most = 0
        self._lock = threading.Lock()
        self._contents: dict[str, bytes] = {}  # the one that was fetched first, first

    def get(self, address: str) -> bytes | None:
        """Return a file; None where it is not kept."""
        return self._contents.get(address)

    def add(self, address: str, content: bytes) -> None:
        """Keep one more."""
        with self._lock:
            self._contents[address] = content
            while sum(map(len, self._contents.values())) > self.most:
                del self._contents[next(iter(self._contents))]


_KEPT = _Kept()


def keep(most: int) -> None:
    """Keep up to `most` bytes of what is fetched from now on, the latest of it, until this process ends.

    It is for commands, which show on a page what they searched by: nobody is asked twice, and both are the same.
    """
    _KEPT.most = most


class _Place(NamedTuple):
    """A place on the web: the host asked, what of it, and the name and password that it was given with."""

    scheme: str
    host: str
    port: int
    path: str
    authorization: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """The parts that have to be the same for a password to go there too."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The host as a request names it, with its port where that is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def fetch(address: str, *, allow_private: bool = False, most: int = MOST_BYTES, seconds: float = SECONDS) -> bytes:
    """Return the content at an address of http or https.

    Redirects are followed, to hosts of the public internet only unless `allow_private`. OSError where there is none,
    its server sends more than `most` bytes, takes more than `seconds`, or says what is not so.
    """
    until = time.monotonic() + seconds
    place = _place_of(address)
    for _ in range(REDIRECTS + 1):
        try:
            answer = _ask(place, until, most, allow_private=allow_private)
        except TimeoutError as error:
            raise SourceError(f"it did not come within {seconds:g} seconds", errno.ETIMEDOUT) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _told(error) from error
        if isinstance(answer, bytes):
            return answer
        address = _joined(address, answer)
        following = _place_of(address)
        is_same = following.origin == place.origin
        place = following._replace(authorization=place.authorization if is_same else None)
    raise SourceError(f"its server sends on to other places more than {REDIRECTS} times")


def is_public(host: str) -> bool:
    """Tell whether an IP address is one of the public internet: none of a private network, this machine, or a group."""
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        within = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _TRANSLATED:
            within = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if within is not None:
            return is_public(str(within))
        if ip not in _UNICAST:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _place_of(address: str) -> _Place:
    try:
        parts = urlsplit(address)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise SourceError("it is no address of the web") from error
    if scheme not in _PORTS:
        raise SourceError(f"it leads to {scheme[:20]}://, and only http and https are followed")
    if not host:
        raise SourceError("it names no host")
    path = parts.path or "/"
    path = quote(f"{path}?{parts.query}" if parts.query else path, _SAFE, "utf-8", "surrogateescape")
    given = None
    if parts.username is not None:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        given = f"Basic {base64.b64encode(known.encode('utf-8', 'surrogateescape')).decode('ascii')}"
    return _Place(scheme, host, port or _PORTS[scheme], path, given)


def _joined(address: str, to: str) -> str:
    try:
        return urljoin(address, to)
    except ValueError as error:
        raise SourceError("its server sends on to what is no address") from error


def _ask(place: _Place, until: float, most: int, *, allow_private: bool) -> bytes | str:
    """Return what is at a place, or the address that its server sends on to."""
    with _connected(place, until, allow_private=allow_private) as connected:
        connection = http.client.HTTPConnection(place.host, place.port)
        connection.sock = _Limited(connected, until, most + _BESIDES)  # as much of one as it needs
        headers = {
            "Host": place.authority,
            "User-Agent": f"cbir/{__version__}",
            "Accept": "image/*, */*;q=0.1",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        if place.authorization is not None:
            headers["Authorization"] = place.authorization
        connection.request("GET", place.path, headers=headers)
        answer = connection.getresponse()
        if answer.status in _REDIRECT and (to := answer.getheader("Location")):
            return to.encode("latin-1").decode("utf-8", "surrogateescape")
        return _content(answer, most, until)


def _content(answer: http.client.HTTPResponse, most: int, until: float) -> bytes:
    if answer.status in _GONE:
        raise FileNotFoundError(errno.ENOENT, "there is no such file")
    if answer.status in _CLOSED:
        raise PermissionError(errno.EACCES, "its server does not allow it")
    if answer.status != http.client.OK:
        raise SourceError(f"its server answered with {answer.status}")
    encoding = (answer.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":  # which nobody asked for; a few bytes may be many
        raise SourceError("its server sends it compressed once more")
    announced = answer.length
    if announced is not None and announced > most:
        raise SourceError(f"it has {announced:,} bytes, which is more than {most:,}")
    parts, got, is_large = [], 0, False
    try:
        while part := answer.read(_PART):
            parts.append(part)
            got += len(part)
            if got > most:
                raise SourceError(f"it has more than {most:,} bytes")
            if got > _LARGE and not is_large:
                is_large = _LARGE_ONES.acquire(timeout=max(0, until - time.monotonic()))
                if not is_large:
                    raise TimeoutError
    finally:
        if is_large:
            _LARGE_ONES.release()
    if announced is not None and got != announced:
        raise IncompleteError(got, announced)
    return b"".join(parts)


def _connected(place: _Place, until: float, *, allow_private: bool) -> socket.socket:
    """Connect to a place's host, at one of its addresses that are allowed."""
    found = _resolved(place.host, place.port, until)
    allowed = [one for one in found if allow_private or is_public(one[4][0])]
    if not allowed:
        raise SourceError(
            f"its host is at {found[0][4][0]}, which is no place of the public internet: `--allow-private` asks it "
            "all the same",
            errno.EACCES,
        )
    problem: OSError | None = None
    for family, kind, protocol, _, where in allowed:
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(min(_left(until), _PATIENCE))
            connected.connect(where)
            if place.scheme == "http":
                return connected
            connected.settimeout(_left(until))
            return _trusted().wrap_socket(connected, server_hostname=place.host)
        except OSError as error:
            connected.close()
            problem = error
            if isinstance(error, ssl.SSLError):
                break
        except BaseException:
            connected.close()
            raise
    _left(until)
    assert problem is not None
    raise SourceError("its server does not answer") if isinstance(problem, TimeoutError) else problem


def _resolved(host: str, port: int, until: float) -> Sequence[tuple[Any, Any, int, str, Any]]:
    """Ask for the addresses of a host, by a thread that is left behind where the answer takes too long."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError, ValueError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=_left(until))
    except queue.Empty as error:
        raise TimeoutError from error
    if isinstance(answer, Exception):
        raise SourceError("there is no host of that name") from answer
    found: Sequence[tuple[Any, Any, int, str, Any]] = answer
    return found


class _Limited:
    """A connection that ends at a moment, and after `most` bytes: as much of a socket as `http.client` needs."""

    def __init__(self, connected: socket.socket, until: float, most: int) -> None:
        self._socket = connected
        self._until = until
        self._most = most

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.settimeout(_left(self._until))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Open what comes as a file."""
        return io.BufferedReader(_Coming(self._socket, self._until, self._most))

    def close(self) -> None:
        """Leave it open: whoever made the connection ends it."""


class _Coming(io.RawIOBase):
    """The bytes that come over a connection until a moment, at most so many."""

    def __init__(self, connected: socket.socket, until: float, most: int) -> None:
        self._socket = connected
        self._until = until
        self._most = most

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for some bytes; TimeoutError where none come in time."""
        self._socket.settimeout(_left(self._until))
        count = self._socket.recv_into(buffer)
        self._most -= count
        if self._most < 0:  # whatever `http.client` is told about lengths
            raise SourceError("its server sends too much")
        return count


def _left(until: float) -> float:
    """Return the seconds until a moment. TimeoutError where it is over."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Return what knows the system's authorities."""
    return ssl.create_default_context()


def _told(error: OSError | http.client.HTTPException | ValueError) -> OSError:
    """Return an error whose `strerror` is a phrase: nothing that a server sent is in it."""
    if isinstance(error, (SourceError, IncompleteError, FileNotFoundError, PermissionError)):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return SourceError(f"its server's certificate is not to be trusted ({error.verify_message})")
    if isinstance(error, ssl.SSLError):
        return SourceError("its server does not speak TLS as it should")
    if isinstance(error, (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead)):
        return SourceError("its server ended the connection")
    if isinstance(error, ConnectionRefusedError):
        return SourceError("its server takes no connection there")
    if isinstance(error, OSError):
        return SourceError((error.strerror or type(error).__name__).lower())
    return SourceError("its server does not speak HTTP as it should")

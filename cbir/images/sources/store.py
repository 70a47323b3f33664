"""Files behind addresses, by fsspec: their lists, lengths, change tokens and bytes.

Credentials, endpoints and proxies are the client library's own: nothing of them passes through here, or is kept.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import posixpath
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import IO, Any, NamedTuple

from cbir.images.scan import FoundFile
from cbir.images.sources.patience import IncompleteError, SourceError, patiently

#: The extras of cbir that install what opens addresses of some kinds.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http", "az": "az", "abfs": "az"}

# Names under which servers tell a change token, and a time of the last change, in fsspec's records of them.
_TOKENS = ("ETag", "etag", "md5Hash", "Content-MD5", "content_md5", "generation", "VersionId", "checksum")
_TIMES = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "created")

# Options of clients: S3's would ask for each file's length before it reads it, to read several parts at a time.
_OPTIONS: dict[str, dict[str, Any]] = {scheme: {"max_concurrency": 1} for scheme in ("s3", "s3a")}

# Keys on one page of a list; bytes that are read at a time where nobody says how many there are.
_PAGE, _PART = 1000, 1 << 20


class Told(NamedTuple):
    """The facts that a server tells of a file: bytes, None where it does not say; nanoseconds since 1970; a number of
    its change token, 0 where there is none."""

    size: int | None
    mtime_ns: int
    token: int


class Store:
    """The files of one kind of addresses, as `s3`. Any number of threads may use it."""

    def __init__(self, system: Any) -> None:
        self._system = system
        if hasattr(system, "call_s3"):
            system.retries = 1  # tries of ours times its own would be minutes

    def info(self, address: str) -> Told:
        """Ask for the facts of a file. Raises OSError."""
        return _told(patiently(lambda: self._system.info(address)))

    def part(self, address: str, start: int, end: int) -> bytes:
        """Read the bytes [start, end) of a file, fewer where it ends before. Raises OSError."""
        content: bytes = patiently(lambda: self._system.cat_file(address, start=start, end=end))
        return content[: end - start]  # some servers send the whole

    def read(self, address: str, size: int | None, most: int) -> bytes:
        """Read a whole file of at most `most` bytes. Raises OSError, also where not all of it comes.

        `size` is what a listing said of its length: where the server sends another, it is asked once more, since the
        file may have changed.
        """

        def whole() -> bytes:
            content = self._whole(address, most)
            wanted = size
            if len(content) != wanted:
                wanted = _told(self._system.info(address)).size
            if wanted is not None and len(content) != wanted:
                raise IncompleteError(len(content), wanted)
            return content

        return patiently(whole)

    def _whole(self, address: str, most: int) -> bytes:
        if not address.startswith("http"):
            content: bytes = self._system.cat_file(address)
            return content
        # anybody's server, which may never come to an end
        parts, got = [], 0
        with self._system.open(address, "rb", block_size=0) as file:
            while part := file.read(_PART):
                parts.append(part)
                got += len(part)
                if got > most:
                    raise SourceError(f"it has more than {most:,} bytes")
        return b"".join(parts)

    def open(self, address: str) -> IO[bytes]:
        """Open a file in which one can seek. Raises OSError."""
        opened: IO[bytes] = patiently(lambda: self._system.open(address, "rb", block_size=1 << 18))
        if not opened.seekable():
            raise SourceError("its server sends no parts of files (ranges)")
        return opened

    def list(self, address: str, unreadable: Callable[[str], None]) -> Iterator[FoundFile]:
        """Yield the files below an address, page by page, their paths relative to it.

        `unreadable` is given the folders that cannot be listed. Raises OSError where the address itself cannot be.
        """
        if hasattr(self._system, "call_s3"):
            return self._keys(address)
        return self._walk(address, unreadable)

    def _keys(self, address: str) -> Iterator[FoundFile]:
        bucket, key, _ = self._system.split_path(address)
        prefix = f"{key.rstrip('/')}/" if key else ""
        asked = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": _PAGE}
        while True:
            page = patiently(functools.partial(self._system.call_s3, "list_objects_v2", **asked))
            for record in page.get("Contents", ()):
                key = record.get("Key", "")
                if key.startswith(prefix) and not key.endswith("/"):  # what some programs write for a folder
                    told = _told(record)
                    yield FoundFile(key[len(prefix) :], told.size or 0, told.mtime_ns, told.token)
            if not page.get("IsTruncated"):
                return
            further = page.get("NextContinuationToken")
            if not further or further == asked.get("ContinuationToken"):
                raise SourceError("its list breaks off")
            asked["ContinuationToken"] = further

    def _walk(self, address: str, unreadable: Callable[[str], None]) -> Iterator[FoundFile]:
        root = self._system._strip_protocol(address).rstrip("/")
        pending = [root]
        while pending:
            folder = pending.pop()
            try:
                records = patiently(functools.partial(self._system.ls, folder or "/", detail=True))
            except OSError:
                if folder == root:
                    raise
                unreadable(folder[len(root) + 1 :])
                continue
            for record in records:
                name = record["name"].rstrip("/")
                if posixpath.dirname(name) != folder:  # the folder itself, or what leads out of it
                    continue
                if record["type"] == "directory":
                    pending.append(name)
                elif record["type"] == "file":
                    told = _told(record)
                    yield FoundFile(name[len(root) + 1 :], told.size or 0, told.mtime_ns, told.token)


@functools.cache
def store_of(scheme: str) -> Store:
    """Open what has the files of addresses of one kind. Raises SourceError where that is not installed."""
    try:
        import fsspec

        kind = fsspec.get_filesystem_class(scheme)
        _, *parameters = inspect.signature(kind.__init__).parameters.values()
        needed = [one.name for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
        if needed:
            raise SourceError(f"what opens {scheme}:// needs more than an address ({', '.join(needed)})")
        return Store(kind(use_listings_cache=False, **_OPTIONS.get(scheme, {})))
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        what = f"install cbir[{extra}]" if extra else "install fsspec, and its package for them"
        raise SourceError(f"addresses of {scheme}:// need an extra: {what}") from error
    except ValueError as error:
        raise SourceError(f"there is no kind of address called {scheme}://") from error


def store_for(address: str) -> Store:
    """Open what has the file of an address. Raises SourceError."""
    return store_of(address.partition("://")[0].lower())


def number_of(token: str) -> int:
    """Return a change token as a number of 63 bits, never 0."""
    return int.from_bytes(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1 or 1


def _told(record: Mapping[str, Any]) -> Told:
    size = record.get("size", record.get("Size"))
    token = next((str(record[name]) for name in _TOKENS if record.get(name)), None)
    time = next((record[name] for name in _TIMES if record.get(name)), None)
    return Told(
        size if isinstance(size, int) and size >= 0 else None, _nanoseconds(time), number_of(token) if token else 0
    )


def _nanoseconds(time: object) -> int:
    """Return a time as servers and libraries write it in nanoseconds since 1970; 0 where it is none."""
    try:
        if isinstance(time, str):
            is_iso = time[10:11] == "T"
            time = datetime.fromisoformat(time.replace("Z", "+00:00")) if is_iso else parsedate_to_datetime(time)
        if isinstance(time, datetime):
            if time.tzinfo is None:
                time = time.replace(tzinfo=timezone.utc)
            time = time.timestamp()
        return int(time * 10**9) if isinstance(time, (int, float)) and abs(time) < 2**60 else 0
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0

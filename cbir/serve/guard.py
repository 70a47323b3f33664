"""A guard before all answers: it passes this server's own page and programs, with the token where one is needed."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cbir.serve.problems import ProblemError
from cbir.serve.settings import Settings

COOKIE = "cbir"

#: Those of safety, which every answer has.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

#: Those of pages with forms and without a script: browsers say that what these send comes from here.
FORM_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
}

# What is answered without the token: the page, which asks for it.
_OPEN = ("/api/v1/login",)


def cookie_of(token: str) -> str:
    """Return what the cookie of a browser that knows the token has: not the token itself."""
    return hmac.new(token.encode("utf-8", "surrogateescape"), b"cbir serve", hashlib.sha256).hexdigest()


def is_token(given: str, settings: Settings) -> bool:
    """Tell, in a time that does not depend on it, whether that is the token."""
    wanted = (settings.token or "").encode("utf-8", "surrogateescape")
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted)


class Guard:
    """Passes on only requests that may be answered, and adds the headers of safety to every answer."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._url = urlsplit(settings.url).netloc.lower() if settings.url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
        except ProblemError as error:
            await error.response()(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _check(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if not self._may_be_called(host):
            raise ProblemError(
                403, "other-host", "This server is not called so: name it with --url, or use its number."
            )
        is_page = path == "/" and scope["method"] in ("GET", "HEAD")
        origin = headers.get("origin")
        if origin is not None and urlsplit_netloc(origin) not in {host, self._url} - {None, ""}:
            raise ProblemError(403, "other-origin", "Another page's requests are not answered.")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_page:
            raise ProblemError(403, "other-origin", "Another page's requests are not answered.")
        if self._settings.token is None or is_page or path.startswith("/page/") or path in _OPEN:
            return
        if not self._is_let_in(headers):
            raise ProblemError(
                401, "token-needed", "This server wants its token.", headers={"WWW-Authenticate": "Bearer"}
            )

    def _may_be_called(self, host: str) -> bool:
        """Tell whether a Host is one of ours; a number is no name that somebody could lead here."""
        name = (urlsplit_netloc(f"http://{host}") and urlsplit_hostname(host)) or ""
        if name in ("localhost", self._settings.host.lower()) or (self._url is not None and host == self._url):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_let_in(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return is_token(given.strip(), self._settings)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        wanted = cookie_of(self._settings.token or "")
        return cookie is not None and hmac.compare_digest(cookie.value.encode("utf-8", "replace"), wanted.encode())


def urlsplit_netloc(url: str) -> str:
    """Return host and port of a URL, empty where it has none."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def urlsplit_hostname(host: str) -> str:
    """Return the name or number in a Host header, empty where it is none."""
    try:
        return urlsplit(f"http://{host}").hostname or ""
    except ValueError:
        return ""

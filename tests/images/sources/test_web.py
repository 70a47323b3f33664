"""Pictures that are fetched from the web, whatever their server does."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbir.images.sources import web
from cbir.images.sources.web import fetch, is_public
from tests.helpers.waiting import GUARD_SECONDS, SOON_SECONDS, wait_for
from tests.helpers.web import Web, chunked, dripping, endless, picture, serving, status

BODY = bytes(range(256)) * 400

#: Answers that are no picture, and what is said of each.
WRONG = {
    "/gone": (status(404), "there is no such file"),
    "/gone-for-good": (status(410), "there is no such file"),
    "/closed": (status(403), "its server does not allow it"),
    "/password": (status(401), "its server does not allow it"),
    "/broken": (status(500), "its server answered with 500"),
    "/part": (status(206, body=BODY), "its server answered with 206"),
    "/nowhere": (status(302), "its server answered with 302"),
    "/around": (status(302, "Location: /around"), "sends on to other places more than 5 times"),
    "/file": (status(302, "Location: file:///etc/passwd"), "it leads to file://, and only http and https"),
    "/other": (status(302, "Location: gopher://x/1"), "it leads to gopher://"),
    "/no-address": (status(302, "Location: http://[1:2/x"), "what is no address"),
    "/no-port": (status(302, "Location: http://127.0.0.1:99999/x"), "it is no address of the web"),
    "/zipped": (picture(gzip.compress(bytes(10_000_000)), "Content-Encoding: gzip"), "compressed once more"),
    "/brotli": (picture(b"x", "Content-Encoding: br"), "compressed once more"),
    "/announced": (status(200, body=b"x", length=10**12), "1,000,000,000,000 bytes, which is more than 200,000"),
    "/cut": (status(200, body=BODY, length=len(BODY) + 1), "102,400 bytes came where 102,401 were announced"),
    "/reset": (status(200, length=5), "0 bytes came where 5 were announced"),
    "/endless": (endless(b"HTTP/1.1 200 OK\r\n\r\n", bytes(1 << 16)), "it has more than 200,000 bytes"),
    "/chunks": (endless(chunked(end=b""), b"1000\r\n" + bytes(0x1000) + b"\r\n"), "it has more than 200,000 bytes"),
    "/cut-chunk": (chunked(b"some", end=b"ff\r\nxy"), "its server ended the connection"),
    "/odd-chunk": (chunked(b"some", end=b"zz\r\nxy"), "its server (ended the connection|does not speak HTTP)"),
    "/negative-chunk": (endless(chunked(end=b"-1\r\n"), bytes(1 << 16)), "its server sends too much"),
    "/headers": (endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "does not speak HTTP as it should"),
    "/long-header": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000), "does not speak HTTP as it should"),
    "/early": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "its server sends too much"),
    "/no-http": (b"SSH-2.0-OpenSSH_9\r\n", "does not speak HTTP as it should"),
    "/nothing": (b"", "its server ended the connection"),
}


@pytest.fixture(scope="module")
def served() -> Iterator[Web]:
    answers = {
        **{path: answer for path, (answer, _) in WRONG.items()},
        "/a.jpg": picture(BODY),
        "/until-the-end": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
        "/in-chunks": chunked(BODY[:1000], BODY[1000:]),
        "/identity": picture(BODY, "Content-Encoding: identity"),
        "/no-length": status(200, body=BODY, length="many"),
        "/there": status(302, "Location: a.jpg?x=%20y#part"),
        "/once-more": status(307, "Location: /there"),
        "/sp%C3%A4t%20a.jpg": picture(b"late"),
        "/to-late": status(308, "Location: /spÃ¤t a.jpg"),
    }
    with serving(answers) as web:
        yield web


def get(address: str, **options: object) -> bytes:
    return fetch(address, **{"allow_private": True, "most": 200_000, "seconds": GUARD_SECONDS, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", ["/a.jpg", "/until-the-end", "/in-chunks", "/identity", "/no-length", "/there", "/once-more"]
)
def test_a_picture_comes_whole(served: Web, path: str) -> None:
    assert get(served.address + path) == BODY


def test_names_are_quoted_as_they_have_to_be(served: Web) -> None:
    for path in ("/spät a.jpg", "/sp%C3%A4t%20a.jpg", "/to-late"):
        assert get(served.address + path) == b"late", path
    get(f"{served.address}/a.jpg?q=a b&r=ü%2F#part")
    assert served.paths[-1] == "/a.jpg?q=a%20b&r=%C3%BC%2F"


@pytest.mark.parametrize("path", WRONG)
def test_what_is_wrong_is_told_in_a_phrase(served: Web, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_BESIDES", 1 << 20)
    with pytest.raises(OSError, match=WRONG[path][1]) as caught:
        get(served.address + path)
    assert caught.value.strerror
    assert served.paths.count(path) <= 1 + web.REDIRECTS
    assert "\n" not in caught.value.strerror


@pytest.mark.parametrize("at_once", [0, 40, 1000])
def test_a_server_that_goes_on_slowly_is_left(at_once: int) -> None:
    with serving({"/slow": dripping(picture(BODY), at_once)}) as slow:
        started = time.monotonic()
        with pytest.raises(OSError, match=r"it did not come within 0\.6 seconds"):
            get(f"{slow.address}/slow", seconds=0.6)
        assert time.monotonic() - started < SOON_SECONDS


def test_slow_redirects_count_together() -> None:
    answers = {f"/{n}": dripping(status(302, f"Location: /{n + 1}")) for n in range(5)}
    with serving(answers) as slow:
        started = time.monotonic()
        with pytest.raises(OSError, match="it did not come within 1 seconds"):
            get(f"{slow.address}/0", seconds=1)
        assert time.monotonic() - started < SOON_SECONDS


def test_a_server_that_says_nothing_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme in ("http", "https"):
            with pytest.raises(OSError, match=r"it did not come within 0\.3 seconds"):
                get(f"{scheme}://127.0.0.1:{port}/", seconds=0.3)


def test_a_name_that_nobody_resolves_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(GUARD_SECONDS))
    with pytest.raises(OSError, match=r"it did not come within 0\.3 seconds"):
        get("http://host.example/", seconds=0.3)
    over.set()


def test_hosts_that_are_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(OSError, match="its server takes no connection there"):
        get(f"http://127.0.0.1:{port}/")
    with pytest.raises(OSError, match="there is no host of that name"):
        get("http://nowhere.invalid/")
    for address, said in (("http://", "names no host"), ("http://[::1/", "no address"), ("ftp://h/a", "leads to ftp")):
        with pytest.raises(OSError, match=said):
            get(address)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "64:ff9b:1::1"),
    ],
)
def test_no_private_place_is_public(host: str) -> None:
    assert not is_public(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_places_are(host: str) -> None:
    assert is_public(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"])
def test_no_private_place_is_asked(served: Web, host: str) -> None:
    before = len(served.requests)
    with pytest.raises(OSError, match="no place of the public internet: `--allow-private`"):
        fetch(f"http://{host}:{served.port}/a.jpg")
    assert len(served.requests) == before


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Web, Web]]:
    """A server that counts as one of the internet, and one at a private address, with the same port."""
    monkeypatch.setattr(web, "is_public", lambda host: host == "127.0.0.1")
    with serving({"/secret": picture(b"secret")}, "127.0.0.2") as private:
        to = f"Location: http://127.0.0.2:{private.port}/secret"
        with serving({"/on": status(302, to), "/a.jpg": picture(BODY)}) as public:
            yield public, private


def test_no_redirect_leads_to_a_private_place(two: tuple[Web, Web]) -> None:
    public, private = two
    assert fetch(f"{public.address}/a.jpg") == BODY
    with pytest.raises(OSError, match=r"its host is at 127\.0\.0\.2"):
        fetch(f"{public.address}/on")
    assert private.requests == []
    assert fetch(f"{public.address}/on", allow_private=True) == b"secret"


def test_a_name_is_resolved_once_and_what_was_checked_is_asked(
    two: tuple[Web, Web], monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = two
    asked = 0

    def rebinding(host: str, port: int, **_: object) -> list[object]:
        nonlocal asked
        asked += 1
        where = ("127.0.0.1", public.port) if asked == 1 else ("127.0.0.2", private.port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where)]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert fetch("http://rebinding.example/a.jpg") == BODY
    assert public.requests[-1].split("\r\n")[1] == "Host: rebinding.example"
    with pytest.raises(OSError, match=r"its host is at 127\.0\.0\.2"):
        fetch("http://rebinding.example/a.jpg")
    assert private.requests == []


def test_of_a_host_with_both_only_the_public_address_is_asked(
    two: tuple[Web, Web], monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = two
    both = [("127.0.0.2", private.port), ("127.0.0.1", public.port)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in both]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert fetch("http://both.example/a.jpg") == BODY
    assert private.requests == []


def test_a_password_goes_to_its_own_host_alone() -> None:
    with serving({"/a.jpg": picture(BODY)}, "127.0.0.2") as other:
        answers = {
            "/a.jpg": picture(BODY),
            "/here": status(302, "Location: /a.jpg"),
            "/there": status(302, f"Location: http://x:y@127.0.0.2:{other.port}/a.jpg"),
        }
        with serving(answers) as own:
            with_password = own.address.replace("//", "//me:pass%20word@")
            basic = "Authorization: Basic bWU6cGFzcyB3b3Jk"
            get(f"{with_password}/here")
            assert [basic in one for one in own.requests] == [True, True]
            get(f"{with_password}/there")
            assert "Authorization" not in other.requests[0]


def test_no_proxy_is_asked(served: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)
        assert get(f"{served.address}/a.jpg") == BODY
        assert proxy.requests == []


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    files = [tmp_path / "key.pem", tmp_path / "cert.pem"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(files[0]), "-out", str(files[1])]
    subprocess.run(["openssl", *made, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connected, _ = listening.accept()
                with context.wrap_socket(connected, server_side=True) as secured:
                    secured.recv(1 << 16)
                    secured.sendall(picture(BODY))
            except ssl.SSLError:
                continue
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        address = f"https://localhost:{listening.getsockname()[1]}/a.jpg"
        with pytest.raises(OSError, match=r"certificate is not to be trusted \(self-signed certificate\)"):
            get(address)
        trusted = ssl.create_default_context(cafile=str(files[1]))
        monkeypatch.setattr(web, "_trusted", lambda: trusted)
        assert get(address) == BODY
        with pytest.raises(OSError, match="certificate is not to be trusted"):
            get(address.replace("localhost", "127.0.0.1"))
        listening.shutdown(socket.SHUT_RDWR)


def test_few_large_pictures_come_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_LARGE", 10_000)
    monkeypatch.setattr(web, "_LARGE_ONES", threading.BoundedSemaphore(1))
    with serving({"/slow": dripping(picture(BODY), 80_000), "/a.jpg": picture(BODY)}) as served:
        over = threading.Event()

        def first() -> None:
            with pytest.raises(OSError, match="within 5 seconds"):
                get(f"{served.address}/slow", seconds=5)
            over.set()

        thread = threading.Thread(target=first)
        thread.start()
        wait_for(lambda: not web._LARGE_ONES._value)  # type: ignore[attr-defined]
        with pytest.raises(OSError, match=r"within 0\.4 seconds"):
            get(f"{served.address}/a.jpg", seconds=0.4)
        assert not over.is_set()
        thread.join()
        assert get(f"{served.address}/a.jpg") == BODY

"""Metrics: what is counted, and under which names."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import cbir
from cbir.serve.service import Service

API = "/api/v1/indexes/photos"
LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? ([0-9.e+-]+)')


def told(client: TestClient) -> dict[str, float]:
    """All samples by name and labels; each line is one, or a comment."""
    response = client.get("/api/v1/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert response.text.endswith("\n")
    lines = [line for line in response.text.splitlines() if not line.startswith("# ")]
    found = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if LINE.fullmatch(line)}
    assert len(found) == len(lines)
    return found


def requests(found: dict[str, float], method: str, route: str, status: int) -> float:
    return found.get(f'cbir_requests_total{{method="{method}",route="{route}",status="{status}"}}', 0)


def test_requests_are_counted_by_route_and_never_by_what_was_asked(client: TestClient) -> None:
    names = ["secret-name.jpg", 'a"b%0A', "x" * 50]
    for name in names:
        client.get(f"{API}/pictures/{name}")
        client.get(f"/{name}")
        client.get(f"/api/v1/indexes/{name}")
    client.request("BREW", "/")
    client.get("/", headers={"Host": "evil.example"})
    found = told(client)
    assert requests(found, "GET", "/indexes/{index}/pictures/{picture}", 410) == 3
    assert requests(found, "GET", "/indexes/{index}", 404) == 3
    assert requests(found, "GET", "", 404) == 3
    assert requests(found, "GET", "", 403) == 1
    assert sum(count for name, count in found.items() if 'method="other"' in name) == 1
    assert not [line for line in found for name in ("secret", "xxx", "a\\", "BREW") if name in line]
    assert found["cbir_request_seconds_count"] == 11 == found['cbir_request_seconds_bucket{le="+Inf"}']
    assert 0 < found["cbir_request_seconds_sum"] < 60


def test_the_log_has_a_line_a_request_without_secrets(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    client.get("/api/v1/health")
    assert not caplog.messages
    caplog.set_level(logging.DEBUG, logger="cbir")
    client.get(f"{API}/search?like=secret.jpg&token=secret", headers={"Authorization": "Bearer secret"})
    client.get("/%1b%5b31mred%0anext%E2%80%AEline/" + "x" * 1000)
    client.post("/api/v1/login", json={"token": "secret"})
    first, second, third = caplog.messages
    assert re.fullmatch(re.escape(f"GET {API}/search: 404, ") + r"\d+\.\d ms", first)
    assert second.startswith(r"GET /\x1b[31mred\nnext\u202eline/xxx")
    assert len(second) < 400
    assert second.isprintable()
    assert third.startswith("POST /api/v1/login: ")
    assert "secret" not in "".join(caplog.messages)


def test_small_pictures_changes_and_the_index_are_told(client: TestClient, service: Service, root: Path) -> None:
    picture = client.post(f"{API}/search", json={}).json()["matches"][0]["picture"]["id"]
    for _ in range(3):
        assert client.get(f"{API}/pictures/{picture}/thumbnail").status_code == 200
    found = told(client)
    assert (found["cbir_thumbnails_made_total"], found["cbir_thumbnails_kept_total"]) == (1, 2)
    assert found['cbir_index_changes_total{index="photos"}'] == 0
    (root / "img_000.jpg").unlink()
    cbir.index_folder(root, "photos", model="fake")
    service.index("photos").look()
    service.index("photos").directory.rename(root.parent / "away")
    service.index("photos").look()
    found = told(client)
    assert found['cbir_index_changes_total{index="photos"}'] == 1
    assert found['cbir_index_up{index="photos"}'] == 0
    assert found["process_resident_memory_bytes"] > 1e7

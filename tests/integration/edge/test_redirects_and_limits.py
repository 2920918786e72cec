"""What a rule's redirect makes of a method, what a limit counts, and when it lets requests in again."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from edge_rig import EchoUpstream, Edge
from waiting import until

HOST = "open.home.example"


def declare(edge: Edge, echo: EchoUpstream, *hosts: dict[str, Any]) -> None:
    """Hosts without TLS."""
    common = {"name": HOST, "tls": {"mode": "off"}, "upstreams": [{"url": echo.url}]}
    edge.apply([{**common, **host} for host in hosts])


@pytest.mark.parametrize(("status", "arrives"), [(301, "GET"), (302, "GET"), (307, "POST"), (308, "POST")])
def test_a_redirect_has_its_status_and_307_and_308_keep_the_method(
    edge: Edge, echo: EchoUpstream, status: int, arrives: str
) -> None:
    """Which method arrives is the client's doing, by what the status means to it (RFC 9110 §15.4)."""
    moved = {"type": "redirect", "location": "/new", "status": status}
    declare(edge, echo, {"rules": [{"priority": 1, "match": {"path": ["/old"]}, "action": moved}]})
    with httpx.Client(base_url=f"http://127.0.0.1:{edge.http_port}", headers={"Host": HOST}) as client:
        first = client.post("/old", content=b"12345")
        assert (first.status_code, first.headers["Location"]) == (status, "/new")
        assert first.next_request is not None
        received = client.send(first.next_request).json()
    assert (received["method"], received["path"]) == (arrives, "/new")
    assert received["length"] == (5 if arrives == "POST" else 0)


@pytest.mark.parametrize("field", ["rate_limit", "path_limits"])
def test_requests_pass_again_when_the_window_is_over(edge: Edge, echo: EchoUpstream, field: str) -> None:
    def limit(window: int) -> dict[str, Any]:
        given = {"requests": 1, "window": window}
        return {field: given if field == "rate_limit" else [{"path": ["/*"], **given}]}

    long = "long.home.example"
    declare(edge, echo, limit(2), {"name": long, **limit(3600)})
    for name in (long, HOST):
        until(lambda name=name: edge.ask(name, plain=True).status == 429)  # type: ignore[misc]
    until(lambda: edge.ask(HOST, plain=True).status == 200)
    assert edge.ask(long, plain=True).status == 429


def test_a_limit_on_paths_may_count_the_values_of_a_header(edge: Edge, echo: EchoUpstream) -> None:
    limit = {"path": ["/api/*"], "requests": 1, "window": 3600, "key": "header", "header": "X-Api-Key"}
    declare(edge, echo, {"path_limits": [limit]})

    def status(path: str, key: str) -> int:
        return edge.ask(HOST, path, f"X-Api-Key: {key}\r\n", plain=True).status

    assert [status("/api/x", key) for key in ("a", "b", "a", "b")] == [200, 200, 429, 429]
    assert status("/other", "a") == 200

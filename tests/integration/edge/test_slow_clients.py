"""A client that sends slowly takes neither the panel nor a host from anybody."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from argos.serving.listeners import unix_listener
from edge_rig import PANEL, EchoUpstream, Edge
from waiting import until

OPEN = "open.home.example"
TAKEN = 80  # connections that this panel takes: more than one client may have under way
SLOW = 100


@pytest.fixture
def panel(edge: Edge) -> Iterable[list[str]]:
    """The runtime's own listener, with less room than it has; the paths that reached its application."""
    asked: list[str] = []

    def application(environ: dict[str, Any], begin: Callable[..., Any]) -> list[bytes]:
        asked.append(environ["PATH_INFO"])
        begin("200 OK", [("Content-Length", "2")])
        return [b"hi"]

    listener = unix_listener(
        "panel", application, Path(edge.context.panel_socket), threads=2, body_limit=1 << 20, connections=TAKEN
    )
    listener.start()
    yield asked
    listener.stop(0.1)


def connection(edge: Edge, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", edge.http_port), timeout=30, source_address=(source, 0))


def post(length: int, sent: bytes, host: str = PANEL) -> bytes:
    head = f"POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + sent


def status(edge: Edge, source: str, host: str = PANEL) -> int:
    with connection(edge, source) as stream:
        stream.sendall(f"GET /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return int(stream.recv(64).split()[1])


@pytest.mark.threat("ING-8")
@pytest.mark.parametrize("sent", [1, 70_000], ids=["a short form", "a body too long to be held back"])
def test_a_client_that_sends_slowly_takes_the_panel_from_nobody(
    edge: Edge, echo: EchoUpstream, panel: list[str], sent: int
) -> None:
    host = {"name": OPEN, "tls": {"mode": "off"}, "upstreams": [{"url": echo.url}]}
    edge.apply([host], edge={"tls": {"mode": "off"}, "trusted_proxies": ["192.0.2.99"]})
    answered = [status(edge, "127.0.0.2")]
    with contextlib.ExitStack() as open_connections:

        def send_slowly() -> None:
            stream = open_connections.enter_context(connection(edge, "127.0.0.3"))
            with contextlib.suppress(ConnectionError):  # those over its share are refused at once
                stream.sendall(post(sent + 1, b"a" * sent))

        def refused() -> bool:
            """Whether it has had its share; the question itself may have had the last place of it before."""
            send_slowly()
            answered.append(status(edge, "127.0.0.3"))
            return answered[-1] == 503

        for _number in range(SLOW):
            send_slowly()
        until(refused)
        answered.append(status(edge, "127.0.0.2"))
    assert (answered[0], answered[-1]) == (200, 200)
    assert panel == ["/login"] * answered.count(200), "nothing else reached it"


@pytest.mark.threat("ING-8")
@pytest.mark.parametrize("waf", ["off", "block"])
def test_a_client_that_sends_slowly_takes_a_host_from_nobody(edge: Edge, echo: EchoUpstream, waf: str) -> None:
    host = {"name": OPEN, "tls": {"mode": "off"}, "upstreams": [{"url": echo.url}], "waf": {"mode": waf}}
    host |= {"max_concurrent": TAKEN, "max_concurrent_per_client": TAKEN // 2}
    edge.apply([host], edge={"tls": {"mode": "off"}, "trusted_proxies": ["192.0.2.99"]})
    with contextlib.ExitStack() as open_connections:

        def refused() -> bool:
            stream = open_connections.enter_context(connection(edge, "127.0.0.3"))
            with contextlib.suppress(ConnectionError):
                stream.sendall(post(1 << 20, b"a", OPEN))
            return status(edge, "127.0.0.3", OPEN) == 503

        for _number in range(SLOW):
            refused()
        until(refused)  # one of those that asked may have had the last place meanwhile
        assert status(edge, "127.0.0.2", OPEN) == 200
    until(lambda: status(edge, "127.0.0.3", OPEN) == 200)

"""What began under an old configuration, and lasts: downloads and WebSockets go on through reloads."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_rig import HALF, EchoUpstream, Edge
from waiting import until

HOST = "open.home.example"
LINGER = 3  # seconds


@pytest.fixture
def hasty(tmp_path: Path, caddy_binary: Path) -> Iterator[Edge]:
    """An edge that lingers for seconds where others do for hours."""
    place = tmp_path / "hasty"
    place.mkdir()
    with Edge(place, caddy_binary, linger=f"{LINGER}s") as running:
        yield running


def declare(edge: Edge, echo: EchoUpstream, number: int = 0) -> None:
    """The host, and a neighbour that changes."""
    answer: dict[str, Any] = {"set": {"X-Number": str(number)}}
    other = {"name": "other.home.example", "upstreams": [{"url": echo.url}], "response_headers": answer}
    edge.apply([{"name": HOST, "upstreams": [{"url": echo.url}]}, other])


def downloading(edge: Edge, protocol: str, to: Path) -> subprocess.Popen[bytes]:
    if protocol == "http3":
        script = str(Path(__file__).parent / "http3_download.py")
        return subprocess.Popen(
            [sys.executable, script, str(edge.https_port), HOST, "/halves", str(to)], stderr=subprocess.PIPE
        )
    resolve = f"{HOST}:{edge.https_port}:127.0.0.1"
    url = f"https://{HOST}:{edge.https_port}/halves"
    curl = ["curl", "-sSkN", f"--{protocol}", "--resolve", resolve, "-o", str(to), url]
    return subprocess.Popen(curl, stderr=subprocess.PIPE)


def half_way(edge: Edge, echo: EchoUpstream, protocol: str, to: Path) -> subprocess.Popen[bytes]:
    """A download that the upstream holds up in its middle while the edge reloads twice."""
    declare(edge, echo)
    edge.connect(HOST).close()  # waits for the certificate
    echo.held.clear()
    client = downloading(edge, protocol, to)
    until(lambda: to.exists() and to.stat().st_size > HALF // 2)  # buffers hold some of it back
    for number in (1, 2):
        declare(edge, echo, number)
        time.sleep(LINGER + 1)
    return client


@pytest.mark.parametrize("protocol", ["http1.1", "http2"])
def test_a_download_outlives_the_configuration_it_began_under(
    hasty: Edge, echo: EchoUpstream, tmp_path: Path, protocol: str
) -> None:
    to = tmp_path / "download"
    client = half_way(hasty, echo, protocol, to)
    assert client.poll() is None, client.communicate()
    echo.held.set()
    _unused, told = client.communicate(timeout=60)
    assert (client.returncode, told.decode(), to.stat().st_size) == (0, "", 2 * HALF)


def test_a_download_over_http3_goes_on_while_the_edge_lingers(
    edge: Edge, hasty: Edge, echo: EchoUpstream, tmp_path: Path
) -> None:
    to = tmp_path / "download"
    client = half_way(edge, echo, "http3", to)
    assert client.poll() is None, client.communicate()
    echo.held.set()
    _unused, told = client.communicate(timeout=60)
    assert (client.returncode, told.decode(), to.stat().st_size) == (0, "", 2 * HALF)
    client = half_way(hasty, echo, "http3", tmp_path / "cut")
    _unused, told = client.communicate(timeout=60)
    assert told.decode().startswith("closed"), "what is lingered for ends with it: hence hours"


def test_a_websocket_goes_on_while_the_edge_lingers(edge: Edge, hasty: Edge, echo: EchoUpstream) -> None:
    upgrade = f"GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    upgrade += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    for lingers in (edge, hasty):
        declare(lingers, echo)
        with lingers.connect(HOST) as websocket:
            websocket.sendall(upgrade.encode())
            assert websocket.recv(65536).startswith(b"HTTP/1.1 101")
            reloaded = time.monotonic()
            declare(lingers, echo, 1)
            if lingers is edge:
                time.sleep(LINGER + 1)
                websocket.sendall(b"still there\n")
                assert websocket.recv(65536) == b"echo still there\n"
                continue
            while websocket.recv(65536):
                pass
            assert time.monotonic() - reloaded >= LINGER, "closed by nothing but the delay"

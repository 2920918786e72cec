"""Long-lived and large things pass the whole chain unharmed."""

from __future__ import annotations

import hashlib
import os
import time

import pytest
from lab.admin_api import Declaration
from lab.echo import Received
from lab.visitor import Visitor
from websockets.exceptions import InvalidStatus

UPLOAD = 20 * 1024 * 1024  # bytes


@pytest.mark.threat("ING-1")
def test_a_websocket_passes_the_waf_both_ways(visitor: Visitor, declaration: Declaration) -> None:
    with visitor.websocket(declaration.name("e2e-block"), "/ws") as socket:
        for message in ("hello", "x" * 100_000, b"\x00\x01\x02"):
            socket.send(message)
            assert socket.recv(timeout=30) == message


@pytest.mark.threat("FWD-3")
def test_a_websocket_to_a_protected_host_needs_a_session(signed_in: Visitor, new_visitor, declaration) -> None:
    host = declaration.name("e2e-guarded-waf")
    with pytest.raises(InvalidStatus) as refused:
        new_visitor().websocket(host, "/ws")
    assert refused.value.response.status_code == 401
    cookie = signed_in.http.cookies.get("__Secure-argos_session")
    headers = {"Cookie": f"__Secure-argos_session={cookie}"}
    with signed_in.websocket(host, "/ws", additional_headers=headers) as socket:
        socket.send("signed in")
        assert socket.recv(timeout=30) == "signed in"


@pytest.mark.threat("ING-1")
def test_a_websocket_survives_a_new_declaration(visitor: Visitor, more_hosts, declaration: Declaration) -> None:
    with visitor.websocket(declaration.name("e2e-block"), "/ws") as socket:
        socket.send("before")
        assert socket.recv(timeout=30) == "before"
        more_hosts(declaration.host("e2e-another"))
        socket.send("after")
        assert socket.recv(timeout=30) == "after"


@pytest.mark.threat("ING-1")
def test_server_sent_events_arrive_one_by_one(visitor: Visitor, declaration: Declaration) -> None:
    arrived: list[float] = []
    with visitor.http.stream("GET", f"https://{declaration.name('e2e-block')}/sse?count=3&interval=2") as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data:"):
                arrived.append(time.monotonic())
            if len(arrived) == 3:
                break
    assert len(arrived) == 3
    # 4 s, but for what this machine takes to look at the first one.
    assert arrived[2] - arrived[0] > 0.4, "the events came in one piece: something on the way holds them back"


@pytest.mark.threat("ING-1")
@pytest.mark.parametrize("how", ["with a length", "chunked"])
def test_a_20_mb_binary_upload_passes_the_waf(visitor: Visitor, declaration: Declaration, how: str) -> None:
    content = os.urandom(UPLOAD)
    pieces = (content[start : start + 65536] for start in range(0, UPLOAD, 65536))
    answer = visitor.post(
        f"https://{declaration.name('e2e-block')}/upload",
        content=content if how == "with a length" else pieces,
        headers={"Content-Type": "application/octet-stream"},
        timeout=180,
    )
    assert answer.status_code == 200
    assert Received.of(answer.content).body_sha256 == hashlib.sha256(content).hexdigest()

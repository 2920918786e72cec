"""How a group of upstreams is chosen from and how long each is waited for: declared, and a real Caddy behaves so.

No time is measured: of two hosts that differ in one field, one has to do what the other does not.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from argos import unix_http
from edge_rig import HALF, Answer, EchoUpstream, Edge
from waiting import until

SHORT, LONG = "short.home.example", "long.home.example"
FORM = 20 * 1024 * 1024  # more than all buffers on the way hold


def host(name: str, *upstreams: EchoUpstream, **proxy: Any) -> dict[str, Any]:
    """A host without TLS."""
    return {
        "name": name,
        "tls": {"mode": "off"},
        "upstreams": [{"url": upstream.url} for upstream in upstreams],
        "proxy": proxy,
    }


def two_hosts(edge: Edge, echo: EchoUpstream, field: str, short: int = 1) -> None:
    """One that waits a second for the upstream, and one that waits on."""
    edge.apply([host(SHORT, echo, timeouts={field: short}), host(LONG, echo, timeouts={field: 60})])


@pytest.fixture
def second() -> Iterator[EchoUpstream]:
    """Another upstream."""
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests that wait."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


# Timeouts ------------------------------------------------------------------------------------------------------------


@contextmanager
def full_queue(upstream: EchoUpstream) -> Iterator[None]:
    """Nobody accepts, and no more connections fit in meanwhile: the kernel drops what asks for one."""
    listener = upstream.server.socket
    listener.listen(0)
    with contextlib.ExitStack() as waiting:
        while True:
            stream = waiting.enter_context(socket.socket())
            stream.setblocking(False)
            stream.connect_ex(listener.getsockname())
            if not select.select([], [stream], [], 1.0)[1]:
                break
        yield
    listener.listen(512)


def test_a_connection_is_waited_for_as_long_as_dial_says(edge: Edge, beside: ThreadPoolExecutor) -> None:
    upstream = EchoUpstream()  # that does not serve yet
    two_hosts(edge, upstream, "dial")
    with full_queue(upstream):
        patient = beside.submit(edge.ask, LONG, plain=True)
        assert edge.ask(SHORT, plain=True).status in (502, 504)
        assert not patient.done()
    with upstream:
        assert patient.result(60).status == 200


def test_the_next_piece_of_an_answer_is_waited_for_as_long_as_read_says(
    edge: Edge, echo: EchoUpstream, beside: ThreadPoolExecutor
) -> None:
    two_hosts(edge, echo, "read", short=4)  # in less a busy upstream might not even send the first half
    echo.held.clear()
    try:
        patient = beside.submit(edge.ask, LONG, "/halves", plain=True)
        cut = edge.ask(SHORT, "/halves", plain=True)
        assert (cut.status, len(cut.body)) == (200, HALF)
        assert not patient.done()
    finally:
        echo.held.set()
    assert len(patient.result(60).body) == 2 * HALF


def test_with_read_no_request_gets_what_an_idle_connection_left_of_the_time(edge: Edge, echo: EchoUpstream) -> None:
    """The deadline of a kept connection runs while nobody asks: a POST would end early, a GET would be sent twice."""
    two_hosts(edge, echo, "read")
    assert edge.ask(LONG, plain=True).received().all("Connection") == ["close"]
    edge.apply([{"name": LONG, "tls": {"mode": "off"}, "upstreams": [{"url": echo.url}]}])
    assert edge.ask(LONG, plain=True).received().all("Connection") == []


def test_the_next_piece_of_a_request_is_offered_as_long_as_write_says(
    edge: Edge, echo: EchoUpstream, beside: ThreadPoolExecutor
) -> None:
    two_hosts(edge, echo, "write")
    echo.held.clear()  # it reads the head and no body
    try:
        patient = beside.submit(upload, edge, LONG)
        assert upload(edge, SHORT) in (502, 504)
        assert not patient.done()
    finally:
        echo.held.set()
    assert patient.result(60) == 200


def upload(edge: Edge, name: str) -> int:
    """The status of a long request, which may come before all of it is sent."""
    head = f"PUT /held HTTP/1.1\r\nHost: {name}\r\nContent-Length: {FORM}\r\nConnection: close\r\n\r\n"

    def send() -> None:
        with contextlib.suppress(OSError):
            stream.sendall(head.encode() + bytes(FORM))

    with edge.connect(name, plain=True) as stream:
        sender = threading.Thread(target=send)
        sender.start()
        status = int(stream.recv(64).split()[1])
        with contextlib.suppress(OSError):  # it is closed already where the edge gave up
            stream.shutdown(socket.SHUT_RDWR)
        sender.join(60)
    return status


# Which one -----------------------------------------------------------------------------------------------------------


def held_at(edge: Edge, beside: ThreadPoolExecutor, *upstreams: EchoUpstream) -> tuple[Future[Answer], EchoUpstream]:
    """A request that waits, and the upstream that has it."""
    for upstream in upstreams:
        upstream.held.clear()
    waits = beside.submit(edge.ask, LONG, "/held", plain=True)
    until(lambda: any("/held" in upstream.paths for upstream in upstreams))
    return waits, next(upstream for upstream in upstreams if "/held" in upstream.paths)


def under_way(edge: Edge) -> int:
    """How many requests Caddy counts: one that was answered is counted for a moment still."""
    answer = unix_http.exchange(edge.settings.caddy_socket, "GET", "/reverse_proxy/upstreams", None, {}, timeout=30)
    return sum(upstream["num_requests"] for upstream in json.loads(answer[1]))


def asked_in_turn(edge: Edge, busy: EchoUpstream, requests: int) -> list[bool]:
    """For each of some requests, whether the busy upstream got it; none begins before Caddy is done with the last."""
    got = []
    for _unused in range(requests):
        until(lambda: under_way(edge) == 1)
        before = busy.requests
        assert edge.ask(LONG, plain=True).status == 200
        got.append(busy.requests > before)
    return got


def test_least_conn_leaves_the_one_alone_that_is_busy(
    edge: Edge, echo: EchoUpstream, second: EchoUpstream, beside: ThreadPoolExecutor
) -> None:
    edge.apply([host(LONG, echo, second, algorithm="least_conn")])
    waits, busy = held_at(edge, beside, echo, second)
    got = asked_in_turn(edge, busy, 20)
    busy.held.set()
    assert waits.result(60).status == 200
    assert not any(got)


def test_random_minds_neither_whose_turn_it_is_nor_who_is_busy(
    edge: Edge, echo: EchoUpstream, second: EchoUpstream, beside: ThreadPoolExecutor
) -> None:
    edge.apply([host(LONG, echo, second, algorithm="random")])
    waits, busy = held_at(edge, beside, echo, second)
    got = asked_in_turn(edge, busy, 60)
    busy.held.set()
    assert waits.result(60).status == 200
    assert set(got) == {True, False}
    # By turns, no two in a row are alike. Each of the two comes once in 2^59 by chance.
    assert any(one == following for one, following in itertools.pairwise(got))


# Those that fail -----------------------------------------------------------------------------------------------------


def statuses(edge: Edge, name: str, requests: int) -> list[int]:
    """What some requests in a row are answered."""
    return [edge.ask(name, plain=True).status for _unused in range(requests)]


class Ending:
    """Counts the connections that it ends without a word."""

    def __init__(self) -> None:
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _unused = self.listener.accept()
                self.connections += 1
                stream.close()


def test_so_many_failures_leave_an_upstream_out(edge: Edge, echo: EchoUpstream) -> None:
    ends = {fails: Ending() for fails in (0, 1, 3)}
    hosts = [
        {
            **host(f"{fails}.home.example", passive_check={"fails": fails, "window": 3600}),
            "upstreams": [{"url": ending.url}, {"url": echo.url}],
        }
        for fails, ending in ends.items()
    ]
    edge.apply(hosts)
    for fails in ends:
        assert statuses(edge, f"{fails}.home.example", 12) == [200] * 12
    assert (ends[1].connections, ends[3].connections) == (1, 3)
    assert ends[0].connections > 3, "none is too many"
    for ending in ends.values():
        ending.listener.close()


def shut(upstream: EchoUpstream) -> None:
    """Nobody listens at its port any more, which nobody else is given meanwhile."""
    port = upstream.server.server_address[1]
    upstream.server.server_close()
    upstream.server.socket = socket.socket()
    upstream.server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    upstream.server.socket.bind(("127.0.0.1", int(port)))


def test_a_failed_upstream_is_asked_again_when_the_window_is_over(
    edge: Edge, echo: EchoUpstream, second: EchoUpstream
) -> None:
    soon, late = EchoUpstream(), EchoUpstream()
    for upstream in (soon, late):
        shut(upstream)
    edge.apply(
        [
            host(SHORT, soon, echo, passive_check={"fails": 1, "window": 2}),
            host(LONG, late, second, passive_check={"fails": 1, "window": 3600}),
        ]
    )
    for name in (LONG, SHORT):  # were the windows alike, the one that failed first would be asked again first
        assert statuses(edge, name, 2) == [200, 200]
    with contextlib.ExitStack() as back:
        for upstream in (soon, late):
            upstream.server.socket.listen(512)
            back.enter_context(upstream)

        def asked() -> bool:
            assert statuses(edge, LONG, 2) == statuses(edge, SHORT, 2) == [200, 200]
            return soon.requests > 0

        until(asked)
        assert late.requests == 0

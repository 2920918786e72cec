"""Reload upon reload while people are there: no request fails, and what is long-lived goes on."""

from __future__ import annotations

import http.client
import ssl
import threading
import time

from edge_rig import DOWNLOAD, EchoUpstream, Edge, Gate
from waiting import until

GUARDED = "guarded.home.example"
RELOADS = 50
VISITORS = 4


class Visitor(threading.Thread):
    """A browser that asks again and again on one kept connection; ``answers`` are what it got, by status."""

    def __init__(self, edge: Edge, done: threading.Event) -> None:
        super().__init__()
        self.edge, self.done = edge, done
        self.answers: dict[int, int] = {}
        self.answered = 0
        self.failures: list[str] = []
        self.sent_again = 0

    def run(self) -> None:
        """Until the test is done.

        A server that shuts down closes connections on which a request may just be under way, and net/http does so
        even with one that has read its first. Nothing was answered then, so a GET is sent again (RFC 9110 §9.2.2),
        once: a second time in a row is a failure, and so is an answer that breaks off.
        """
        again = False
        while not self.done.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", timeout=60)
            connection.auto_open = 0  # what is closed stays closed: it is counted
            try:
                connection.sock = self.edge.connect(GUARDED)
                while not self.done.is_set():
                    status = self.ask(connection)
                    again = False
                    self.answers[status] = self.answers.get(status, 0) + 1
                    self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                unanswered = isinstance(error, ConnectionError | ssl.SSLEOFError)  # RemoteDisconnected is of the first
                if again or not unanswered:
                    self.failures.append(repr(error))
                again = True
                self.sent_again += 1
            finally:
                connection.close()

    def ask(self, connection: http.client.HTTPConnection) -> int:
        """One request; one that was told the connection ends goes on with another."""
        connection.request("GET", "/?x=1", headers={"Host": GUARDED})
        answer = connection.getresponse()
        assert len(answer.read()) == int(answer.headers["Content-Length"])
        if answer.will_close:
            connection.sock = self.edge.connect(GUARDED)
        return answer.status


def declared(echo: EchoUpstream, number: int) -> list[dict[str, object]]:
    """A guarded host, changed each time, with everything on; and a host that comes and goes."""
    guarded = {
        "name": GUARDED,
        "upstreams": [{"url": echo.url}],
        "auth": {"required": True},
        "waf": {"mode": "block"},
        "response_headers": {"set": {"X-Number": str(number)}},
    }
    other = {"name": "other.home.example", "upstreams": [{"url": echo.url}]}
    return [guarded, other] if number % 2 else [guarded]


def came_back(visitors: list[Visitor]) -> None:
    """Wait until each has had two answers more: the first may be the last one on a connection that a reload ends."""
    wanted = [visitor.answered + 2 for visitor in visitors]
    until(lambda: all(visitor.answered >= least for visitor, least in zip(visitors, wanted, strict=True)))


def test_fifty_reloads_in_a_row_fail_no_request_and_end_no_websocket_and_no_download(
    edge: Edge, echo: EchoUpstream, gate: Gate
) -> None:
    edge.apply(declared(echo, 0))
    assert edge.ask(GUARDED).one("X-Number") == "0"
    upgrade = f"GET /ws HTTP/1.1\r\nHost: {GUARDED}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    upgrade += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    done = threading.Event()
    visitors = [Visitor(edge, done) for _unused in range(VISITORS)]
    with edge.connect(GUARDED) as websocket, edge.connect(GUARDED) as download:
        websocket.sendall(upgrade.encode())
        assert websocket.recv(65536).startswith(b"HTTP/1.1 101")
        download.sendall(f"GET /download HTTP/1.1\r\nHost: {GUARDED}\r\n\r\n".encode())
        begun = time.monotonic()
        head, _unused, body = download.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        received = len(body)
        for visitor in visitors:
            visitor.start()
        try:
            for number in range(1, RELOADS + 1):
                edge.apply(declared(echo, number))
                came_back(visitors)
                websocket.sendall(b"%d\n" % number)
                assert websocket.recv(65536) == b"echo %d\n" % number
                if time.monotonic() - begun < 40:  # Caddy waits a minute for what an old configuration still serves
                    received += len(download.recv(65536))
        finally:
            done.set()
        while received < DOWNLOAD and (chunk := download.recv(1 << 20)):
            received += len(chunk)
    for visitor in visitors:
        visitor.join(60)
    assert received == DOWNLOAD, "the download ended early"
    assert [visitor.failures for visitor in visitors] == [[]] * VISITORS
    assert all(set(visitor.answers) == {200} for visitor in visitors), [visitor.answers for visitor in visitors]
    assert all(visitor.answers[200] > RELOADS for visitor in visitors), "there was load all the time"
    assert all(visitor.sent_again <= RELOADS for visitor in visitors), "at most once for each reload"
    assert edge.ask(GUARDED).one("X-Number") == str(RELOADS)

"""HTTP/1.1 as the gate speaks it to Caddy: GET without a body, keep-alive, pipelining, hard limits.

llhttp (through httptools) parses strictly: bare CR or LF, NUL and folded lines are errors.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, cast

import httptools

if TYPE_CHECKING:
    from argos.gate.connections import Connections

LONGEST_HEAD = 64 * 1024
"""Octets of a request line with its headers."""

MOST_HEADERS = 200

# What the gate reads. A second line of the first kind contradicts the first line, so it is refused (400);
# the second kind is a list, or (Cookie) legitimately split by a client, and is joined.
_SINGLE = frozenset(
    {
        b"argos-host-id",
        b"argos-client-ip",
        b"x-forwarded-method",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-uri",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"content-length",
        b"transfer-encoding",
        b"host",
    }
)
_JOINED = {b"cookie": b"; ", b"accept": b", ", b"upgrade": b", ", b"x-requested-with": b", "}
_READ = _SINGLE | _JOINED.keys()

_VERIFY = frozenset({b"/verify", b"/verify?"})  # Caddy keeps the "?" of a client's URL whose query is empty

_BODIES = {
    400: b"This is not a request the gate understands.\n",
    403: b"The gate answers GET /verify.\n",
    431: b"The request's head is too large.\n",
    503: b"Too many connections.\n",
}
_LINES = {400: "Bad Request", 403: "Forbidden", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}


def refusal(status: int) -> bytes:
    """Return a complete response that ends the connection."""
    body = _BODIES[status]
    return (
        f"HTTP/1.1 {status} {_LINES[status]}\r\nCache-Control: no-store\r\nConnection: close\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode("ascii") + body


class _Refused(Exception):
    """Raised inside a parser callback: the request breaks a limit or a rule."""

    def __init__(self, status: int) -> None:
        self.status = status


class GateProtocol(asyncio.Protocol):
    """One connection. The parser calls the ``on_…`` methods; answers leave in the order of the requests."""

    __slots__ = (
        "_feed",
        "_head",
        "_headers",
        "_lines",
        "_parser",
        "_unfinished",
        "_url",
        "_write",
        "closing",
        "connections",
        "in_request",
        "since",
        "transport",
    )

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.transport: asyncio.Transport | None = None
        self.in_request = False
        self.closing = False
        self.since = connections.tick
        self._unfinished = 0
        self._begin_parsing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the connections, or be refused at once when there are too many (Caddy then denies)."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._write = self.transport.write
        if not self.connections.admit(self):
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the connections."""
        del exc
        self.closing = True
        self.connections.forget(self)

    def pause_writing(self) -> None:
        """Read no more from one who does not read our answers."""
        if self.transport is not None and not self.closing:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        if self.transport is not None and not self.closing:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Parse what came; whatever cannot be parsed ends the connection with a refusal."""
        if self.closing:
            return
        self._unfinished += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Refused) else 403)
        except httptools.HttpParserError:
            self._refuse(400)
        else:
            if self._unfinished > LONGEST_HEAD:
                self._refuse(431)

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self._feed(data)
            except httptools.HttpParserUpgrade as upgrade:
                # A WebSocket handshake's headers reach the gate; it answers as always and never switches.
                data = data[upgrade.args[0] :]
                self._begin_parsing()
                if not data or self.closing:
                    return
            else:
                return

    def _begin_parsing(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._feed = self._parser.feed_data

    def on_message_begin(self) -> None:
        """Forget the request before; the clock of a slow head starts."""
        self.in_request = True
        self.since = self.connections.tick
        self._headers: dict[bytes, bytes] = {}
        self._url = b""
        self._head = 0
        self._lines = 0

    def on_url(self, url: bytes) -> None:
        """Take the request target; it may come in parts."""
        self._url += url
        self._head += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header the gate reads, refuse a contradiction."""
        self._lines += 1
        self._head += len(name) + len(value) + 4
        name = name.lower()
        if name not in _READ:
            return
        headers = self._headers
        if name not in headers:
            headers[name] = value
        elif name in _SINGLE:
            raise _Refused(400)
        else:
            headers[name] += _JOINED[name] + value

    def on_headers_complete(self) -> None:
        """Refuse what is too large, and any body: the gate's requests have none."""
        if self._lines > MOST_HEADERS or self._head > LONGEST_HEAD:
            raise _Refused(431)
        headers = self._headers
        if b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
            raise _Refused(400)

    def on_message_complete(self) -> None:
        """Answer one request."""
        if self.closing:
            return
        self.in_request = False
        self._unfinished = 0
        connections = self.connections
        self.since = connections.tick
        if self._parser.get_http_version() != "1.1":
            raise _Refused(400)
        if self._url in _VERIFY and self._parser.get_method() == b"GET":
            answer = connections.verifier.answer(self._headers)
        elif self._url == b"/healthz" and self._parser.get_method() == b"GET":
            answer = self._health()
        else:
            raise _Refused(403)
        if connections.stopping or not self._keep_alive():
            answer = answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            self._write(answer)
            self._close()
        else:
            self._write(answer)

    def _keep_alive(self) -> bool:
        return bool(self._parser.should_keep_alive() or self._parser.should_upgrade())

    def _health(self) -> bytes:
        # 200: it can decide, if without a cache; 503: it denies everyone, and the body says why.
        health = self.connections.health()
        body = json.dumps(health).encode()
        line = "200 OK" if health["database"] == "ok" else "503 Service Unavailable"
        return (
            f"HTTP/1.1 {line}\r\nCache-Control: no-store\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode("ascii") + body

    def _refuse(self, status: int) -> None:
        if not self.closing:
            self.connections.refused += 1
            self._write(refusal(status))
            self._close()

    def _close(self) -> None:
        self.closing = True
        self.since = self.connections.tick
        if self.transport is not None:
            self.transport.close()

    def end(self) -> None:
        """Close once what was written is sent; a second call does not wait for that."""
        if self.closing:
            self.abort()
        else:
            self._close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self.closing = True
        if self.transport is not None:
            self.transport.abort()

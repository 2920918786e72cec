"""Requests as bytes over one kept connection to the edge: what no HTTP client would send, and many in a short time.

From the controller's own, private address: CrowdSec bans whoever sends what the corpora hold.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Self

from lab.echo import Received
from lab.guest import Guest


@dataclass(frozen=True)
class WireAnswer:
    """An answer; status 0: the edge closed the connection without one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def one(self, name: str) -> str:
        """Return a header's only value."""
        (value,) = [value for key, value in self.headers if key.lower() == name.lower()]
        return value

    def received(self) -> Received:
        """Return what the upstream says it received."""
        assert self.status == 200, (self.status, self.body[:200])
        return Received.of(self.body)


class Wire:
    """A connection to one host of the edge, opened again where an answer ended it."""

    def __init__(self, guest: Guest, host: str) -> None:
        self._guest = guest
        self.host = host
        self._trust = ssl.create_default_context(cafile=str(guest.ca))
        self._trust.set_alpn_protocols(["http/1.1"])
        self._stream: ssl.SSLSocket | None = None

    def ask(self, request: bytes) -> WireAnswer:
        """Send whole bytes of one request, and return the answer."""
        stream = self._opened()
        with contextlib.suppress(OSError):  # refused before all of it was sent
            stream.sendall(request)
        answer = HTTPResponse(stream, method=request.split(b" ", 1)[0].decode("latin-1"))
        try:
            answer.begin()
            body = answer.read()
        except (HTTPException, OSError):
            self.close()
            return WireAnswer(0)
        if answer.will_close or answer.status == 101:
            self.close()
        return WireAnswer(answer.status, tuple(answer.getheaders()), body)

    def get(self, target: str, *lines: str) -> WireAnswer:
        """Send a GET with a raw request target and whole header lines."""
        head = "".join(f"{line}\r\n" for line in (f"GET {target} HTTP/1.1", f"Host: {self.host}", *lines, ""))
        return self.ask(head.encode("latin-1"))

    def _opened(self) -> ssl.SSLSocket:
        if self._stream is None:
            plain = socket.create_connection((self._guest.address, 443), timeout=60)
            self._stream = self._trust.wrap_socket(plain, server_hostname=self.host)
        return self._stream

    def close(self) -> None:
        """Close it."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

"""HTTP over Unix sockets, bounded in time and size: Caddy's admin, the gate, the runtime's own.

APPSEC: argos-caddy parses what the world sends, and may have been taken over. A timeout on
each read would let it drip for ever, while a lock is held; so the end is one for all of it.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer that are read at most."""


class _Deadline(socket.socket):
    """A Unix socket on which everything together takes at most so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._end = time.monotonic() + seconds
        self._hurry()

    def _hurry(self) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)

    def sendall(self, *arguments: Any) -> None:
        """As ever, within what time is left."""
        self._hurry()
        super().sendall(*arguments)  # the timeout is one for the whole call

    def recv_into(self, *arguments: Any) -> int:
        """As ever, within what time is left. Every read of an answer comes by here."""
        self._hurry()
        return super().recv_into(*arguments)


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over the Unix socket at ``path``; ``timeout`` is the seconds of its whole life."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost")
        self._path, self._seconds = str(path), timeout

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = _Deadline(self._seconds)
        self.sock.connect(self._path)


def exchange(
    socket_path: Path,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float,
) -> tuple[int, bytes]:
    """Status and body of one answer.

    Args:
        socket_path: whom to ask.
        method, target, body, headers: of the request.
        timeout: seconds for all of it, however slowly the peer drips.

    Raises:
        OSError: nobody answers at the socket in time, or it may not be opened.
        http.client.HTTPException: what answered is not HTTP.
    """
    connection = UnixConnection(socket_path, timeout)
    try:
        connection.request(method, target, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_LIMIT)
    finally:
        connection.close()


def get(socket_path: Path, target: str, timeout: float = 3.0) -> tuple[int, bytes]:
    """:func:`exchange` of ``GET target``."""
    return exchange(socket_path, "GET", target, timeout=timeout)

"""HTTP over Unix sockets, bounded in time and size: Caddy's admin, the gate, the runtime's own."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer that are read at most."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over the Unix socket at ``path``."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(socket_path: Path, target: str, timeout: float = 3.0) -> tuple[int, bytes]:
    """Status and body of ``GET target``.

    Raises:
        OSError: nobody answers at the socket, or it may not be opened.
        http.client.HTTPException: what answered is not HTTP.
    """
    connection = UnixConnection(socket_path, timeout)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_LIMIT)
    finally:
        connection.close()

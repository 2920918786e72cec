"""One HTTP exchange with a server that may be hostile: a hard end in time, a limit in size, no redirect followed.

APPSEC: a timeout on each read lets a peer drip for ever, so the whole exchange has an
alarm; TLS is verified; no proxy of the environment sees a credential.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT = 5.0  # seconds

FAILURES = (OSError, http.client.HTTPException, ValueError)
"""What :func:`exchange` raises when there is no answer; :func:`reason` says it in words."""

Connect = Callable[[str, int], socket.socket]


def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    deadline: float,
    limit: int,
    connect: Connect,
) -> tuple[int, bytes]:
    """Send one request and return status and body of the answer, whatever the status.

    Args:
        method: of HTTP.
        url: absolute, http or https, judged by the caller.
        headers: beside ``Accept: application/json``.
        body: or None.
        deadline: seconds for all of it once connected, however slowly the peer drips.
        limit: bytes that the body may have.
        connect: opens the connection to a host and port.

    Raises:
        OSError, http.client.HTTPException, ValueError: no such answer.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    channel = connect(host, port)
    if secure:
        channel = _context().wrap_socket(channel, server_hostname=host, do_handshake_on_connect=False)
    # The shutdown ends any read, the handshake's too.
    alarm = threading.Timer(deadline, shut, [channel])
    alarm.daemon = True
    alarm.start()
    try:
        with contextlib.closing(http.client.HTTPConnection(host, port)) as connection:
            if secure:
                channel.do_handshake()  # type: ignore[attr-defined]  # an SSLSocket then
            connection.sock = channel
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, path, body, {"Accept": "application/json", **headers})
            answer = connection.getresponse()
            content = answer.read(limit + 1)
            if len(content) > limit:
                raise ValueError(f"its answer is over {limit} bytes")
            if answer.length:
                raise ValueError("its answer was cut short")
            return answer.status, content
    finally:
        alarm.cancel()
        channel.close()


def dial(addresses: Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]) -> socket.socket:
    """Connect to the first of ``getaddrinfo``'s addresses that answers; at most four are tried.

    Raises:
        OSError: none does.
    """
    error: OSError | None = None
    for family, kind, protocol, _name, address in addresses[:4]:
        made = socket.socket(family, kind, protocol)
        made.settimeout(CONNECT_TIMEOUT)
        try:
            made.connect(address)
        except OSError as failed:
            made.close()
            error = failed
            continue
        return made
    raise error or OSError("it has no address")


def reason(error: Exception) -> str:
    """Why there is no answer, printable and short."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, http.client.HTTPException):
        return f"what it sends is not HTTP ({type(error).__name__})"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return "".join(letter for letter in text if letter.isprintable())[:200]


def _context() -> ssl.SSLContext:
    # Made anew each time: a CA that the operator adds, or renews under its old name, counts without a restart.
    import ssl

    return ssl.create_default_context()


def shut(channel: socket.socket) -> None:
    """End whatever another thread reads or writes there."""
    # The plain shutdown: an SSLSocket's own would take its state from under the reading thread.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(channel, socket.SHUT_RDWR)

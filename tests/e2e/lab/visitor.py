"""An HTTP client from the internet: a source address of its own, real TLS, cookies like a browser's."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpcore
import httpx
from httpcore._backends.sync import SyncStream
from websockets.sync.client import ClientConnection, connect

from lab.guest import Guest
from lab.namespace import PublicNetwork

PATIENCE = 60  # seconds for each answer
NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}


class _ThroughNamespace(httpcore.NetworkBackend):
    """Opens httpx's connections in the namespace; whatever the name, the address is the guest's."""

    def __init__(self, network: PublicNetwork, source: str) -> None:
        self._network = network
        self._source = source

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            return SyncStream(self._network.connect(port, self._source, timeout or PATIENCE))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error


class Visitor:
    """One client of the edge. Redirects are not followed; cookies are kept.

    ``authority`` is the file of another root than Caddy's own, when the client trusts that one and no other.
    """

    def __init__(
        self,
        guest: Guest,
        network: PublicNetwork,
        source: str | None = None,
        *,
        http2: bool = False,
        authority: Path | None = None,
    ) -> None:
        self.address = source or network.fresh_address()
        self._authority = str(authority or guest.ca)
        self.trust = ssl.create_default_context(cafile=self._authority)  # httpx sets its ALPN
        self._network = network
        transport = httpx.HTTPTransport(verify=self.trust, http2=http2)
        transport._pool = httpcore.ConnectionPool(
            ssl_context=self.trust,
            http1=not http2,
            http2=http2,
            max_connections=64,
            network_backend=_ThroughNamespace(network, self.address),
        )
        self.http = httpx.Client(transport=transport, timeout=PATIENCE, trust_env=False)

    def get(self, url: str, **options: Any) -> httpx.Response:
        """Send a GET."""
        return self.http.get(url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        """Send a POST."""
        return self.http.post(url, **options)

    def navigate(self, url: str, **options: Any) -> httpx.Response:
        """Send a GET as a browser does for a page that its person opens."""
        return self.http.get(url, headers={**NAVIGATION, **options.pop("headers", {})}, **options)

    def raw(self, host: str, request: bytes, *, alpn: str = "http/1.1") -> bytes:
        """Send bytes over TLS as they are, and return all that comes back until the server closes."""
        context = ssl.create_default_context(cafile=self._authority)
        context.set_alpn_protocols([alpn])
        with self._network.connect(443, self.address) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
            tls.sendall(request)
            return read_all(tls)

    def websocket(self, host: str, path: str, **options: Any) -> ClientConnection:
        """Open a WebSocket over TLS."""
        options.setdefault("open_timeout", PATIENCE)
        return connect(
            f"wss://{host}{path}",
            sock=self._network.connect(443, self.address),
            ssl=self.trust,
            server_hostname=host,
            compression=None,
            proxy=None,
            **options,
        )

    def close(self) -> None:
        """Close the connections."""
        self.http.close()


def read_all(stream: ssl.SSLSocket) -> bytes:
    """Read until the peer closes, at most 4 MiB."""
    received = b""
    while len(received) < 4 << 20:
        try:
            piece = stream.recv(65536)
        except (ssl.SSLError, ConnectionError):
            break
        if not piece:
            break
        received += piece
    return received


def status_of(answer: bytes) -> int:
    """Return the status of a raw HTTP/1.1 answer; 0 when the connection was closed without one."""
    line = answer.split(b"\r\n", 1)[0].split()
    return int(line[1]) if len(line) > 1 and line[0].startswith(b"HTTP/") else 0

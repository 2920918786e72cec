"""Asking the provider, and nobody else.

APPSEC: what the discovery document names is only partly the operator's word. So no
redirect is followed, plain HTTP is for loopback alone, and a host other than the
issuer's own is asked only on public addresses: a provider can point us at no machine of
the home network (SSRF). Every answer has a size limit, every exchange a hard end.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import socket
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from argos.edge.names import is_loopback, parse_address
from argos.oidc.errors import ProviderUnavailable

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT = 5.0  # seconds
DEADLINE = 10.0  # seconds for one exchange, however slowly it drips
BODY_LIMIT = 512 * 1024  # bytes
AT_ONCE = 4  # a slow provider must not hold every thread of the panel


class Fetcher:
    """Speaks HTTP to the provider of one issuer."""

    def __init__(self, issuer: str, *, deadline: float = DEADLINE, at_once: threading.Semaphore | None = None) -> None:
        self._issuer_host = (urlsplit(issuer).hostname or "").lower()
        self._deadline = deadline
        self._at_once = at_once or threading.Semaphore(AT_ONCE)

    def get(self, url: str, *, bearer: str | None = None) -> dict[str, Any]:
        """Return the JSON object at ``url``.

        Raises:
            ProviderUnavailable: there is none, for a reason that is told.
        """
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        status, body = self._exchange("GET", url, headers, None)
        if status != 200:
            raise ProviderUnavailable(f"{_shown(url)} answered {status} where 200 was expected")
        return _json_object(url, body)

    def post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Send a form, and return status and JSON object of the answer.

        Raises:
            ProviderUnavailable: there is no such answer.
        """
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        status, body = self._exchange("POST", url, {**headers, **kind}, urlencode(form).encode())
        if 300 <= status < 400 or status >= 500:
            raise ProviderUnavailable(f"{_shown(url)} answered {status}")
        return status, _json_object(url, body)

    def problem_with(self, url: object) -> str | None:
        """What forbids asking ``url`` at all, or None."""
        if not isinstance(url, str) or len(url) > 2048:
            return "is no URL"
        try:
            parts = urlsplit(url)
            host, _port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return "is no URL"
        if not host or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
            return "is no plain URL"
        loopback = is_loopback(host, parse_address(host))
        if parts.scheme != "https" and not (parts.scheme == "http" and loopback and host == self._issuer_host):
            return "is not https://"
        return None

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        problem = self.problem_with(url)
        if problem:
            raise ProviderUnavailable(f"{_shown(url)} {problem}")
        if not self._at_once.acquire(timeout=self._deadline):
            raise ProviderUnavailable("Too many sign-ins wait for the provider. Try again in a moment.")
        try:
            return self._talk(method, url, headers, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ProviderUnavailable(f"{_shown(url)} does not answer: {_reason(error)}") from None
        finally:
            self._at_once.release()

    def _talk(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        channel = self._connect(host, port)
        if secure:
            channel = _context().wrap_socket(channel, server_hostname=host, do_handshake_on_connect=False)
        # A timeout on each read lets a peer drip for ever; the shutdown ends any read, the handshake's too.
        alarm = threading.Timer(self._deadline, _shut, [channel])
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
                content = answer.read(BODY_LIMIT + 1)
                if len(content) > BODY_LIMIT:
                    raise ValueError(f"its answer is over {BODY_LIMIT} bytes")
                if answer.length:
                    raise ValueError("its answer was cut short")
                return answer.status, content
        finally:
            alarm.cancel()
            channel.close()

    def _connect(self, host: str, port: int) -> socket.socket:
        own = host.lower() == self._issuer_host
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not own and any(not ipaddress.ip_address(entry[4][0]).is_global for entry in found):
            raise ValueError("it is another host than the issuer's and has a private address")
        error: OSError | None = None
        for family, kind, protocol, _name, address in found[:4]:
            made = socket.socket(family, kind, protocol)
            made.settimeout(CONNECT_TIMEOUT)
            try:
                made.connect(address)  # the very address that was judged
            except OSError as failed:
                made.close()
                error = failed
                continue
            return made
        raise error or OSError("it has no address")


def _context() -> ssl.SSLContext:
    # Made anew each time: a CA that the operator adds, or renews under its old name, counts without a restart.
    import ssl

    return ssl.create_default_context()


def _shut(channel: socket.socket) -> None:
    # The plain shutdown: an SSLSocket's own would take its state from under the reading thread.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(channel, socket.SHUT_RDWR)


def _json_object(url: str, body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ProviderUnavailable(f"{_shown(url)} answered something that is not JSON") from None
    if not isinstance(value, dict):
        raise ProviderUnavailable(f"{_shown(url)} answered JSON that is no object")
    return value


def _shown(url: object) -> str:
    """A URL as an error names it: without query, which may hold a code."""
    text = str(url).partition("?")[0]
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, http.client.HTTPException):
        return f"what it sends is not HTTP ({type(error).__name__})"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return "".join(letter for letter in text if letter.isprintable())[:200]

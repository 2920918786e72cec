"""Asking the provider, and nobody else.

APPSEC: what the discovery document names is only partly the operator's word. So no
redirect is followed, plain HTTP is for loopback alone, and a host other than the
issuer's own is asked only on public addresses: a provider can point us at no machine of
the home network (SSRF). Every answer has a size limit, every exchange a hard end.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from argos import bounded_http
from argos.edge.names import is_loopback, parse_address
from argos.oidc.errors import ProviderUnavailable

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
            return bounded_http.exchange(
                method, url, headers, body, deadline=self._deadline, limit=BODY_LIMIT, connect=self._connect
            )
        except bounded_http.FAILURES as error:
            raise ProviderUnavailable(f"{_shown(url)} does not answer: {bounded_http.reason(error)}") from None
        finally:
            self._at_once.release()

    def _connect(self, host: str, port: int) -> socket.socket:
        own = host.lower() == self._issuer_host
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not own and any(not ipaddress.ip_address(entry[4][0]).is_global for entry in found):
            raise ValueError("it is another host than the issuer's and has a private address")
        return bounded_http.dial(found)  # the very addresses that were judged


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

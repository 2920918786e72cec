"""A client of Caddy's admin API over its unix socket."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from argos import unix_http
from argos.errors import ArgosError

LOAD_TIMEOUT_S = 10
_CERTIFICATES = "/argos/certificates"


class CaddyRefused(ArgosError):
    """Caddy did not take a configuration; the old one goes on serving.

    ``reason`` is Caddy's own text: it may quote a secret, so it goes through the
    scrubber before anybody sees it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("Caddy refused the configuration")
        self.reason = reason


class CaddyUnreachable(ArgosError):
    """Caddy's admin socket is not there, or does not answer in time."""


class CaddyAdmin:
    """Loads configurations and asks what runs.

    Args:
        path: Caddy's admin socket.
        timeout: seconds that one request may take, its answer included.
    """

    def __init__(self, path: Path, timeout: float = LOAD_TIMEOUT_S) -> None:
        self._path = path
        self._timeout = timeout

    def load(self, config: str, *, force: bool = False) -> None:
        """Make Caddy run ``config`` (JSON), or leave it with what it ran.

        Args:
            config: the whole configuration.
            force: load it even when it equals what runs, since a file it names has changed.

        Raises:
            CaddyRefused: with Caddy's reason.
            CaddyUnreachable: it cannot be told whether the configuration was taken.
        """
        headers = {"Content-Type": "application/json"}
        if force:
            headers["Cache-Control"] = "must-revalidate"
        status, body = self._ask("POST", "/load", config.encode(), headers)
        if status != 200:
            raise CaddyRefused(_reason(body) or f"status {status}")

    def config(self) -> Any:
        """What Caddy runs, decoded; None while it runs nothing.

        Raises:
            CaddyUnreachable: no answer.
        """
        return self._get("/config/")

    def fingerprint(self) -> bytes:
        """SHA-256 of what Caddy runs, without decoding it: equal for equal configurations of one Caddy.

        Raises:
            CaddyUnreachable: no answer.
        """
        status, body = self._ask("GET", "/config/", None, {})
        if status != 200:
            raise CaddyUnreachable(f"Caddy's admin API answers {status} on /config/")
        return hashlib.sha256(body).digest()

    def crowdsec(self) -> Any:
        """The counters of the CrowdSec handler.

        Raises:
            CaddyUnreachable: no answer.
        """
        return self._get("/argos/crowdsec")

    def rate_limit(self) -> Any:
        """The counters of the rate limits: ``keys``, ``most_keys``, ``forgotten``, ``refused``.

        Raises:
            CaddyUnreachable: no answer.
        """
        return self._get("/argos/rate_limit")

    def own_certificates(self) -> set[str]:
        """Identifiers of the operator's certificates that Caddy keeps.

        Raises:
            CaddyUnreachable: no answer.
        """
        return set(self._get(_CERTIFICATES)["stored"])

    def keep_certificate(self, identifier: str, certificate: str, key: str) -> None:
        """Have Caddy keep a chain and its key, both PEM; they are served once a configuration names them.

        Raises:
            CaddyRefused: they do not go together; the reason tells nothing of the key.
            CaddyUnreachable: no answer.
        """
        body = json.dumps({"certificate": certificate, "key": key}).encode()
        self._certificate("PUT", identifier, body)

    def forget_certificate(self, identifier: str) -> None:
        """Have Caddy delete a certificate with its key; none of that name is fine.

        Raises:
            CaddyUnreachable: no answer.
        """
        self._certificate("DELETE", identifier, None)

    def _certificate(self, method: str, identifier: str, body: bytes | None) -> None:
        status, answer = self._ask(method, f"{_CERTIFICATES}/{identifier}", body, {"Content-Type": "application/json"})
        if status != 200:
            raise CaddyRefused(_reason(answer) or f"status {status}")

    def certificates(self, names: Mapping[str, str]) -> dict[str, Any]:
        """What Caddy shows for each name: see ``Shown`` in argos-caddy's certificates/admin.go.

        Args:
            names: each with the operator's certificate that its host is bound to, or an empty text.

        Raises:
            CaddyUnreachable: no answer.
        """
        found: dict[str, Any] = self._get(_CERTIFICATES, json.dumps({"names": dict(names)}).encode())["certificates"]
        return found

    def _get(self, path: str, question: bytes | None = None) -> Any:
        status, body = self._ask("GET" if question is None else "POST", path, question, {})
        if status != 200:
            raise CaddyUnreachable(f"Caddy's admin API answers {status} on {path}")
        try:
            return json.loads(body)
        except ValueError:
            raise CaddyUnreachable(f"Caddy's admin API does not answer JSON on {path}") from None

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            return unix_http.exchange(self._path, method, path, body, headers, timeout=self._timeout)
        except (OSError, http.client.HTTPException) as reason:
            text = str(reason) or type(reason).__name__
            raise CaddyUnreachable(f"Caddy does not answer at {self._path}: {text}") from reason


def _reason(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return body.decode(errors="replace").strip()
    return str(answer.get("error", answer)) if isinstance(answer, dict) else str(answer)

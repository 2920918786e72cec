"""A provider's own description of itself and its keys, kept for a while (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from argos.oidc.errors import ProviderUnavailable
from argos.oidc.fetch import Fetcher

METADATA_KEPT = 3600.0  # seconds
KEYS_KEPT = 3600.0
KEYS_REFETCH = 30.0  # a forged kid makes us ask at most this often
FAILURE_KEPT = 3.0  # a dead provider is not asked by every visitor anew


@dataclass(frozen=True)
class Metadata:
    """What of the discovery document is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    answers_with_iss: bool = False


class Provider:
    """One issuer, its metadata and its keys."""

    def __init__(self, issuer: str, fetcher: Fetcher | None = None) -> None:
        self.issuer = issuer
        self.fetcher = fetcher or Fetcher(issuer)
        self._lock = threading.Lock()
        self._metadata: tuple[float, Metadata] | None = None
        self._failure: tuple[float, str] | None = None
        self._keys: tuple[float, list[dict[str, Any]]] | None = None

    def metadata(self, *, fresh: bool = False) -> Metadata:
        """Return the provider's metadata.

        Raises:
            ProviderUnavailable: it cannot be had, or is not this issuer's.
        """
        with self._lock:
            now = time.monotonic()
            if self._metadata and not fresh and now - self._metadata[0] < METADATA_KEPT:
                return self._metadata[1]
            if self._failure and not fresh and now - self._failure[0] < FAILURE_KEPT:
                raise ProviderUnavailable(self._failure[1])
            try:
                found = self._discover()
            except ProviderUnavailable as error:
                self._failure = (time.monotonic(), error.message)
                raise
            self._metadata, self._failure = (time.monotonic(), found), None
            return found

    def published_keys(self, *, wanted: str | None = None, fresh: bool = False) -> list[dict[str, Any]]:
        """Return the public keys as JWKs.

        Args:
            wanted: a key id; when it is not among the kept ones, the keys are asked for again (a rotation),
                at most every 30 s.
            fresh: ask again in any case.

        Raises:
            ProviderUnavailable: they cannot be had.
        """
        url = self.metadata().jwks_uri
        with self._lock:
            now = time.monotonic()
            if self._keys and not fresh and now - self._keys[0] < KEYS_KEPT:
                known = wanted is None or any(key.get("kid") == wanted for key in self._keys[1])
                if known or now - self._keys[0] < KEYS_REFETCH:
                    return self._keys[1]
            listed = self.fetcher.get(url).get("keys")
            if not isinstance(listed, list):
                raise ProviderUnavailable("The provider's key set holds no list of keys")
            self._keys = (time.monotonic(), [key for key in listed[:100] if isinstance(key, dict)])
            return self._keys[1]

    def _discover(self) -> Metadata:
        document = self.fetcher.get(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != self.issuer:
            # Discovery §4.3: exactly, or one provider could speak for another.
            raise ProviderUnavailable(
                f"The provider calls itself {str(document.get('issuer'))[:200]!r}, and settings/oidc issuer "
                f"is {self.issuer!r}: they must be equal to the letter"
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if problem := self.fetcher.problem_with(document.get(name)):
                raise ProviderUnavailable(f"The provider's {name} {problem}")
        return Metadata(
            issuer=self.issuer,
            authorization_endpoint=document["authorization_endpoint"],
            token_endpoint=document["token_endpoint"],
            jwks_uri=document["jwks_uri"],
            userinfo_endpoint=self._optional(document, "userinfo_endpoint"),
            end_session_endpoint=self._optional(document, "end_session_endpoint"),
            answers_with_iss=document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _optional(self, document: dict[str, Any], name: str) -> str:
        value = document.get(name)
        return "" if value is None or self.fetcher.problem_with(value) else str(value)

"""Which certificates Caddy keeps, and from whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from argos.edge.model import Tls

NOBODY = "unconfigured.invalid"
"""The name on the certificate that an unknown server name is shown: it tells a scanner nothing (RFC 2606 §2)."""


def tls_app(names: Iterable[tuple[str, Tls]]) -> dict[str, Any]:
    """The ``tls`` app for host names with their settings; names without TLS are left out."""
    internal = [NOBODY]
    acme: defaultdict[str, list[str]] = defaultdict(list)
    for name, tls in sorted(names, key=lambda pair: pair[0]):
        if tls.mode == "internal":
            internal.append(name)
        elif tls.mode == "auto":
            acme[tls.email].append(name)
    policies: list[dict[str, Any]] = [{"subjects": internal, "issuers": [{"module": "internal"}]}]
    for email, subjects in sorted(acme.items()):
        issuer = {"module": "acme", "email": email} if email else {"module": "acme"}
        policies.append({"subjects": subjects, "issuers": [issuer]})
    managed = sorted([*internal, *(name for subjects in acme.values() for name in subjects)])
    return {"certificates": {"automate": managed}, "automation": {"policies": policies}}


def connection_policies() -> list[dict[str, Any]]:
    """Let a handshake for an unknown name succeed, so that its request can be answered 421."""
    return [{"default_sni": NOBODY, "fallback_sni": NOBODY}]

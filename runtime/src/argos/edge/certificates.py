"""Which certificates Caddy keeps, and from whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from argos.edge.model import Tls


def tls_app(names: Iterable[tuple[str, Tls]]) -> dict[str, Any]:
    """The ``tls`` app for host names with their settings; names without TLS are left out."""
    internal: list[str] = []
    acme: defaultdict[str, list[str]] = defaultdict(list)
    for name, tls in sorted(names, key=lambda pair: pair[0]):
        if tls.mode == "internal":
            internal.append(name)
        elif tls.mode == "auto":
            acme[tls.email].append(name)
    policies: list[dict[str, Any]] = []
    if internal:
        policies.append({"subjects": internal, "issuers": [{"module": "internal"}]})
    for email, subjects in sorted(acme.items()):
        issuer = {"module": "acme", "email": email} if email else {"module": "acme"}
        policies.append({"subjects": subjects, "issuers": [issuer]})
    managed = sorted([*internal, *(name for subjects in acme.values() for name in subjects)])
    if not managed:
        return {}
    return {"certificates": {"automate": managed}, "automation": {"policies": policies}}

"""The WAF's part of Caddy's configuration: each policy once, and each host's reference to one.

Hosts whose settings come to the same share one policy. A distinct SecLang text is an engine
of its own in Caddy, about 4 MB and 18 ms. Why each line of it stands there is told in the
annotated policy that the Caddy build is tested with,
``roles/caddy/files/argos-caddy/waf/testdata/default-policy.conf``; a test holds the two equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Any

from argos.edge.context import RenderContext
from argos.edge.model import Host, Waf

BODY_LIMIT = 64 * 1024

_ENGINE = {"block": "On", "detect": "DetectionOnly"}

# Custom rules stand before the CRS, so that they can also exclude some of it by ``ctl:``.
_POLICY = (files("argos.edge") / "waf_policy.conf").read_text(encoding="utf-8")


@lru_cache(maxsize=256)
def policy_text(waf: Waf) -> str:
    """SecLang for ``waf``, whose mode is ``detect`` or ``block``."""
    custom = "".join(f"{rule.strip()}\n" for rule in waf.custom_rules)
    return (
        _POLICY.replace("@ENGINE@", _ENGINE[waf.mode])
        .replace("@PARANOIA@", str(waf.paranoia))
        .replace("@CUSTOM@", custom)
    )


def policy_name(waf: Waf) -> str:
    """A short name for the event log, such as ``block-1``; with own rules, also their digest."""
    if not waf.custom_rules:
        return f"{waf.mode}-{waf.paranoia}"
    digest = hashlib.sha256("\n".join(waf.custom_rules).encode()).hexdigest()
    return f"{waf.mode}-{waf.paranoia}-{digest[:8]}"


def app(hosts: Iterable[Host], context: RenderContext) -> dict[str, Any]:
    """Caddy's app ``waf`` with the policies that ``hosts`` need; empty when they need none."""
    policies: dict[str, Any] = {}
    for host in hosts:
        if host.waf.mode == "off" or policy_name(host.waf) in policies:
            continue
        policy: dict[str, Any] = {"rules": policy_text(host.waf), "body_limit": BODY_LIMIT}
        if host.waf.custom_rules:
            policy["for"] = host.name  # whom a refusal is about
        policies[policy_name(host.waf)] = policy
    return {"waf": {"audit_log": context.waf_log, "policies": policies}} if policies else {}


def handlers(host: Host) -> list[dict[str, Any]]:
    """What inspects the requests to ``host``: one handler, or none."""
    if host.waf.mode == "off":
        return []
    handler: dict[str, Any] = {"handler": "waf", "policy": policy_name(host.waf), "host_id": host.name}
    if host.grpc:
        handler["grpc"] = True  # its calls' bodies are streams that the rules cannot read
    return [handler]

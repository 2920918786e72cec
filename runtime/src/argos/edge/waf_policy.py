"""The text of a WAF policy: mode, paranoia and an operator's own rules, around the OWASP Core Rule Set.

Hosts with the same three share one text, and so one engine in Caddy: a distinct text
costs about 4 MB and 18 ms. Why each line stands there is told in the annotated policy that
the Caddy build is tested with, ``roles/caddy/files/argos-caddy/waf/testdata/default-policy.conf``;
a test holds the two equal.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files

from argos.edge.model import Waf

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

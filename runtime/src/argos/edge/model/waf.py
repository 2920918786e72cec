"""How requests are inspected."""

from __future__ import annotations

from typing import Literal

import msgspec

from argos.edge.model.values import Presence

WafMode = Literal["off", "detect", "block"]
HostWafMode = Literal["off", "detect", "block", "policy"]

MAX_WAF_POLICIES = 200
BODY_LIMIT = 64 * 1024


class Exclusion(msgspec.Struct, frozen=True):
    """Rules that some requests are spared: of ``id``, ``range`` and ``tag`` exactly one says which."""

    id: int | None = None
    range: str = ""
    tag: str = ""
    parameter: str = ""
    path: str = ""
    methods: tuple[str, ...] = ()


class Waf(msgspec.Struct, frozen=True):
    """A host's inspection: its own settings, or a policy by its name. ``custom_rules`` are SecLang, one rule each."""

    mode: HostWafMode = "off"
    paranoia: int = 1
    custom_rules: tuple[str, ...] = ()
    policy: str = ""
    exclusions: tuple[Exclusion, ...] = ()


class WafPolicy(msgspec.Struct, frozen=True):
    """A named policy that hosts share; thresholds are anomaly scores, ``body_limit`` is in bytes."""

    name: str
    state: Presence = "present"
    mode: WafMode = "block"
    paranoia: int = 1
    inbound_threshold: int = 5
    outbound_threshold: int = 4
    exclusions: tuple[Exclusion, ...] = ()
    custom_rules: tuple[str, ...] = ()
    body_limit: int = BODY_LIMIT
    inspections: int = 0
    response: bool = False

    def secret_names(self) -> frozenset[str]:
        """None: a policy names no secret."""
        return frozenset()

"""How requests are inspected."""

from __future__ import annotations

from typing import Literal

import msgspec

WafMode = Literal["off", "detect", "block"]


class Waf(msgspec.Struct, frozen=True):
    """A host's inspection: ``custom_rules`` are SecLang, one rule each."""

    mode: WafMode = "off"
    paranoia: int = 1
    custom_rules: tuple[str, ...] = ()

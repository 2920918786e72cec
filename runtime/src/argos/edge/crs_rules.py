"""The Core Rule Set's rules by id: what exclusions are checked against and events explained by.

``crs_rules.json`` is the engine's own list, written and held equal by the Caddy build's tests
(``roles/caddy/files/argos-caddy/waf/catalogue_test.go``). Bookkeeping rules are not in it: without
them the policy would be another, or none.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec


class CrsRule(msgspec.Struct, frozen=True):
    """One rule that finds something; ``paranoia`` is the lowest level that runs it."""

    id: int
    msg: str
    severity: str
    paranoia: int
    file: str
    tags: tuple[str, ...]


@cache
def rules() -> dict[int, CrsRule]:
    """Every rule by its id."""
    raw = (files("argos.edge") / "crs_rules.json").read_bytes()
    return {rule.id: rule for rule in msgspec.json.decode(raw, type=list[CrsRule])}


@cache
def tags() -> frozenset[str]:
    """Every tag that some rule carries."""
    return frozenset(tag for rule in rules().values() for tag in rule.tags)

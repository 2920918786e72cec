"""What a host answers by itself, and when."""

from __future__ import annotations

import msgspec


class Match(msgspec.Struct, frozen=True):
    """When a rule applies: every named condition holds, any of its values suffices."""

    path: tuple[str, ...] = ()
    path_exact: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    header: dict[str, tuple[str, ...]] = {}
    query: dict[str, tuple[str, ...]] = {}
    remote_ip: tuple[str, ...] = ()


class FixedResponse(msgspec.Struct, frozen=True, tag="fixed_response", tag_field="type"):
    """Answer without asking an upstream."""

    status: int = 200
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


class Redirect(msgspec.Struct, frozen=True, tag="redirect", tag_field="type"):
    """Send the client elsewhere."""

    location: str
    status: int = 302


class Block(msgspec.Struct, frozen=True, tag="block", tag_field="type"):
    """Answer 403."""


Action = FixedResponse | Redirect | Block


class Rule(msgspec.Struct, frozen=True):
    """One rule of a host; lower ``priority`` is tried first, the first match wins."""

    priority: int
    action: Action
    match: Match = Match()

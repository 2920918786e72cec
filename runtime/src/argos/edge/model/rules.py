"""What a host answers by itself, and when."""

from __future__ import annotations

import msgspec

from argos.edge.model.upstreams import Proxy, Upstream


class Match(msgspec.Struct, frozen=True):
    """When a rule applies: every named condition holds, any of its values suffices."""

    path: tuple[str, ...] = ()
    path_exact: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    header: dict[str, tuple[str, ...]] = {}
    query: dict[str, tuple[str, ...]] = {}
    remote_ip: tuple[str, ...] = ()
    host_header: tuple[str, ...] = ()


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


class Forward(msgspec.Struct, frozen=True, tag="forward", tag_field="type"):
    """Hand the request to other upstreams than the host's own."""

    upstreams: tuple[Upstream, ...] = ()
    proxy: Proxy = Proxy()


class Rewrite(msgspec.Struct, frozen=True, tag="rewrite", tag_field="type"):
    """Change the path that the host's upstreams see: replaced, or less a prefix, or with one before it."""

    path: str = ""
    strip_prefix: str = ""
    add_prefix: str = ""


Action = Forward | FixedResponse | Redirect | Rewrite | Block


class Rule(msgspec.Struct, frozen=True):
    """One rule of a host; lower ``priority`` is tried first, the first match wins."""

    priority: int
    action: Action
    match: Match = Match()

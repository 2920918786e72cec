"""How much of a host one client, or everybody together, may take."""

from __future__ import annotations

from typing import Literal

import msgspec

LimitKey = Literal["ip", "header", "global"]


class RateLimit(msgspec.Struct, frozen=True):
    """At most ``requests`` in ``window`` seconds for each key: a client address, a header's value, or all together."""

    requests: int
    window: int
    key: LimitKey = "ip"
    header: str = ""


class PathLimit(msgspec.Struct, frozen=True):
    """A limit on the requests to some paths, beside the host's own."""

    path: tuple[str, ...]
    requests: int
    window: int
    key: LimitKey = "ip"
    header: str = ""


class Maintenance(msgspec.Struct, frozen=True):
    """A page in place of the host, with 503 and ``Retry-After``, for all but the addresses of ``allow``."""

    enabled: bool = False
    text: str = "This site is being worked on. Please come back in a while."
    retry_after: int = 600
    allow: tuple[str, ...] = ()

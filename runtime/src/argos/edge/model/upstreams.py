"""The servers behind a host, and how they are spoken to."""

from __future__ import annotations

from typing import Literal

import msgspec

Algorithm = Literal["round_robin", "least_conn", "ip_hash", "random"]


class Upstream(msgspec.Struct, frozen=True):
    """One server behind a host; ``url`` is scheme, host and port, nothing more. 0 ``max_requests`` is no limit."""

    url: str
    weight: int = 1
    max_requests: int = 0


class HealthCheck(msgspec.Struct, frozen=True):
    """A request made of each upstream by itself, every ``interval`` seconds; see :func:`status_ranges`."""

    path: str = "/"
    interval: int = 30
    timeout: int = 5
    fails: int = 2
    passes: int = 2
    status: str = "200-299"


def status_ranges(status: str) -> tuple[tuple[int, int], ...]:
    """What a check's ``status`` stands for: ``200,300-399`` for ``(200, 200), (300, 399)``, both ends included."""
    ends = (part.partition("-") for part in status.split(","))
    return tuple((int(low), int(high or low)) for low, _unused, high in ends)


class PassiveCheck(msgspec.Struct, frozen=True):
    """So many failed requests within ``window`` seconds leave an upstream out until they are past; 0 never does."""

    fails: int = 3
    window: int = 30


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds to wait for an upstream; 0 waits on.

    ``read`` is between two pieces of an answer, and before the first; ``write`` between two of a request's body.
    With ``read`` each request has a connection of its own.
    """

    dial: int = 5
    response_header: int = 300
    read: int = 0
    write: int = 0


class Proxy(msgspec.Struct, frozen=True):
    """How a group of upstreams is chosen from, watched and spoken to."""

    algorithm: Algorithm = "round_robin"
    sticky_cookie: str = ""
    health_check: HealthCheck | None = None
    passive_check: PassiveCheck = PassiveCheck()
    timeouts: Timeouts = Timeouts()
    verify_tls: bool = True
    trusted_ca: str = ""
    tls_server_name: str = ""
    preserve_host: bool = True
    h2c: bool = False

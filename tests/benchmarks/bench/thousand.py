"""A document of a thousand hosts: all with sign-on and a limit, a WAF in four policies, 100 with an exclusion."""

from __future__ import annotations

from typing import Any

from argos.edge.model import Waf

from bench import stack as stacks

HOSTS = 1000
UPSTREAM_PORT = 8000

CAN_EXCLUDE = "exclusions" in Waf.__struct_fields__
POLICIES = (
    {"mode": "block", "paranoia": 1},
    {"mode": "detect", "paranoia": 1},
    {"mode": "block", "paranoia": 2},
    {"mode": "detect", "paranoia": 3},
)


def host(number: int) -> dict[str, Any]:
    """One of them; the first is there to be flooded, the limit of the others is never reached.

    The last has no WAF, so that what it serves is the way to it and its decision.
    """
    declared: dict[str, Any] = {
        "name": name(number),
        "upstreams": [{"url": f"http://127.0.0.1:{UPSTREAM_PORT}"}],
        "auth": {"required": True},
        "rate_limit": {"requests": 20_000, "window": 1, "key": "global"} if number else {"requests": 10, "window": 60},
        "access_log": False,
    }
    if number < HOSTS - 1:
        declared["waf"] = dict(POLICIES[number % len(POLICIES)])
        if number % 10 == 0 and CAN_EXCLUDE:
            declared["waf"]["exclusions"] = [{"id": 942100, "parameter": "ARGS:q", "path": f"/save/{number}"}]
    return declared


def name(number: int) -> str:
    """Its name; numbers are padded, so that the last sorts last."""
    return f"host-{number:04}.bench.example"


LAST = name(HOSTS - 1)


def numbers(*, quick: bool) -> list[int]:
    """Which of them there are: all, or the first and the last few where it is only to be proved that this works.

    Caddy has 10 s for a load, which a thousand may take on a busy machine.
    """
    few = HOSTS // 20
    return [number for number in range(HOSTS) if not quick or number < few or number >= HOSTS - few]


def document(*, quick: bool) -> dict[str, Any]:
    """All of them, over plain HTTP, which wrk speaks to a name of its choice."""
    edge = {
        "panel_host": stacks.PANEL_HOST,
        "parent_domain": "bench.example",
        "tls": {"mode": "off"},
        "trusted_proxies": ["192.0.2.1/32"],  # somebody must end TLS in front, or sign-on without it is refused
    }
    return {
        "owner": "bench",
        "settings": {"edge": edge, "crowdsec": {"enabled": False}},
        "hosts": [host(number) for number in numbers(quick=quick)],
    }

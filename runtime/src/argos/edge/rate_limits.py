"""A host's limits on requests, as one handler."""

from __future__ import annotations

from typing import Any

from argos.edge import client_network
from argos.edge.model import Host, PathLimit, RateLimit
from argos.edge.placeholders import operator_text


def handlers(host: Host) -> list[dict[str, Any]]:
    """The handler that holds every limit of ``host``, or none."""
    zones: dict[str, Any] = {}
    # Zone names are global in the process: the host's name, which holds no "/", makes them distinct.
    if host.rate_limit is not None:
        zones[host.name] = _zone(host.rate_limit)
    for index, limit in enumerate(host.path_limits):
        match = [{"folded_path": [operator_text(path) for path in limit.path]}]
        zones[f"{host.name}/{index}"] = {"match": match, **_zone(limit)}
    return [{"handler": "rate_limit", "rate_limits": zones}] if zones else []


def by_address(host: Host) -> bool:
    """Whether any of the limits counts client addresses."""
    limits = (host.rate_limit, *host.path_limits)
    return any(limit is not None and limit.key == "ip" for limit in limits)


def _zone(limit: RateLimit | PathLimit) -> dict[str, Any]:
    key = {
        "ip": client_network.PLACEHOLDER,
        "header": f"{{http.request.header.{limit.header}}}",
        "global": "everybody",
    }[limit.key]
    return {"key": key, "max_events": limit.requests, "window": f"{limit.window}s"}

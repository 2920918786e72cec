"""Who gets to a host at all, before anything of it: private networks only, a maintenance page, one of two names."""

from __future__ import annotations

import html
from typing import Any

from argos.edge import error_pages
from argos.edge.model import Host, Maintenance
from argos.edge.placeholders import literal_text
from argos.private_networks import PRIVATE


def routes(host: Host) -> list[dict[str, Any]]:
    """Routes that answer whom the host is not for."""
    found = []
    if host.lan_only:
        refused = {"handler": "error", "status_code": 403, "error": "this host is for private networks only"}
        found.append({"match": [_not_from((*PRIVATE, *host.lan_networks))], "handle": [refused]})
    if host.maintenance.enabled:
        route: dict[str, Any] = {"handle": [_maintenance_page(host.maintenance)]}
        if host.maintenance.allow:
            route["match"] = [_not_from(host.maintenance.allow)]
        found.append(route)
    return found


def _not_from(networks: tuple[str, ...]) -> dict[str, Any]:
    """The client's own address, behind proxies that are trusted."""
    return {"not": [{"client_ip": {"ranges": list(networks)}}]}


def _maintenance_page(maintenance: Maintenance) -> dict[str, Any]:
    lines = "<br>".join(literal_text(html.escape(line)) for line in maintenance.text.split("\n"))
    return {
        "handler": "static_response",
        "status_code": 503,
        "headers": {
            "Cache-Control": ["no-store"],
            "Content-Security-Policy": [error_pages.POLICY],
            "Content-Type": ["text/html; charset=utf-8"],
            "Retry-After": [str(maintenance.retry_after)],
            "X-Content-Type-Options": ["nosniff"],
        },
        "body": error_pages.page("Maintenance", f"<h1>Maintenance</h1><p>{lines}</p>"),
    }


def to_other_name(name: str, scheme: str, port: int) -> dict[str, Any]:
    """The route of a host's other name (``www``): the same URL at ``name``."""
    usual = {"https": 443, "http": 80}[scheme]
    place = name if port == usual else f"{name}:{port}"
    return {
        "handle": [
            {
                "handler": "static_response",
                "status_code": 308,
                "headers": {"Location": [f"{scheme}://{place}{{http.request.uri}}"]},
            }
        ]
    }

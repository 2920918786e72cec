"""One published host, from its name to its upstream, and how a request finds it among many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argos.edge import client_network, cookies, proxying, waf_policy
from argos.edge.context import RenderContext
from argos.edge.error_pages import HSTS
from argos.edge.model import Host
from argos.edge.placeholders import operator_text
from argos.edge.rules import rule_route

GROUP = 32


def host_route(host: Host, context: RenderContext, *, hsts: bool, fallback: bool) -> dict[str, Any]:
    """Everything a request to ``host`` passes, in order: rate limit, WAF, gate, rules, upstream.

    In the fallback, a host whose declaration names a secret answers 503: its
    credential may not be there, and an empty one would be sent in its place.
    """
    if fallback and host.secret_names():
        routes = [{"handle": [{"handler": "error", "status_code": 503, "error": "this host's secrets are not ready"}]}]
    else:
        routes = [{"handle": _guards(host, hsts=hsts)}]
        if host.auth.required:  # before the rules: whatever a protected host answers, only the signed-in see it
            routes += proxying.gate_routes(host.auth)
        routes += [rule_route(rule) for rule in host.rules]
        routes += _deliver(host, context)
    return {
        "match": [{"host": [host.name]}],
        "handle": [{"handler": "subroute", "routes": routes}],
        "terminal": True,
    }


def dispatch(routes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put many host routes behind matchers of 32 hosts each: Caddy tries a flat list one by one.

    Wildcards stay last, so that a host of its own always wins over them.
    """
    exact = [route for route in routes if not _name(route).startswith("*")]
    wild = [route for route in routes if _name(route).startswith("*")]
    if len(exact) <= GROUP:
        return [*exact, *wild]
    groups = [exact[start : start + GROUP] for start in range(0, len(exact), GROUP)]
    return [_group(members) for members in groups] + wild


def _group(members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "match": [{"host": [_name(route) for route in members]}],
        "handle": [{"handler": "subroute", "routes": list(members)}],
        "terminal": True,
    }


def _name(route: dict[str, Any]) -> str:
    name: str = route["match"][0]["host"][0]
    return name


def _guards(host: Host, *, hsts: bool) -> list[dict[str, Any]]:
    handlers: list[dict[str, Any]] = [{"handler": "vars", proxying.HOST_VARIABLE: host.name}, _response(host, hsts)]
    if host.rate_limit is not None:
        zone = {
            "key": client_network.PLACEHOLDER,
            "max_events": host.rate_limit.requests,
            "window": f"{host.rate_limit.window}s",
        }
        # Zone names are global in the process: the host's name makes them distinct.
        handlers.append({"handler": "rate_limit", "rate_limits": {host.name: zone}})
    handlers += waf_policy.handlers(host)
    return handlers


def _response(host: Host, hsts: bool) -> dict[str, Any]:
    """Deferred, so that it is done to what upstreams and rules answer, whatever they set."""
    wanted = {
        name: [operator_text(value)] for name, value in host.response_headers.set.items() if isinstance(value, str)
    }
    if hsts:
        wanted["Strict-Transport-Security"] = [HSTS]
    operations: dict[str, Any] = {"deferred": True, "replace": cookies.planted_replacements()}
    if wanted:
        operations["set"] = wanted
    if host.response_headers.remove:
        operations["delete"] = list(host.response_headers.remove)
    return {"handler": "headers", "response": operations}


def _deliver(host: Host, context: RenderContext) -> list[dict[str, Any]]:
    if not host.upstreams:
        return [{"handle": [{"handler": "error", "status_code": 404, "error": "no rule of the host matched"}]}]
    return [cookies.strip_request_route(), {"handle": [proxying.upstream_proxy(host, context)]}]

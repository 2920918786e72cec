"""One published host, from its name to its upstream."""

from __future__ import annotations

from typing import Any

from argos.edge import access_log, cookies, proxying, rate_limits, visitors, waf_policy
from argos.edge.context import RenderContext
from argos.edge.error_pages import HSTS
from argos.edge.model import Host
from argos.edge.placeholders import operator_text
from argos.edge.rules import rule_route
from argos.edge.waf_policy import Policies

# Text, and never text/event-stream or application/grpc: a compressor holds back what a stream wants to say now.
_COMPRESSED = (
    "application/atom+xml*",
    "application/javascript*",
    "application/json*",
    "application/manifest+json*",
    "application/rss+xml*",
    "application/wasm*",
    "application/xhtml+xml*",
    "application/xml*",
    "font/ttf*",
    "image/svg+xml*",
    "text/css*",
    "text/csv*",
    "text/html*",
    "text/javascript*",
    "text/markdown*",
    "text/plain*",
    "text/xml*",
)


def host_routes(
    host: Host,
    policies: Policies,
    context: RenderContext,
    *,
    hsts: bool,
    fallback: bool,
    kept: frozenset[str] = frozenset(),
) -> list[dict[str, Any]]:
    """Everything a request to ``host`` passes, in order: who may come at all, limits, WAF, gate, rules, upstream.

    In the fallback, a host whose declaration names a secret answers 503: its
    credential may not be there, and an empty one would be sent in its place.

    Args:
        host: what is declared.
        policies: the named WAF policies.
        context: paths and ports of the guest.
        hsts: whether answers carry Strict-Transport-Security.
        fallback: whether this is for the configuration without credentials.
        kept: header names with ``_`` or ``.`` that any host keeps; those that this one does not, it drops.
    """
    routes: list[dict[str, Any]] = [{"handle": _answer(host, hsts=hsts)}]
    if fallback and host.secret_names():
        error = {"handler": "error", "status_code": 503, "error": "this host's secrets are not ready"}
        return [*routes, {"handle": [error]}]
    routes += visitors.routes(host)
    entrance = _guards(host, policies)
    if host.auth.required:  # before the rules: whatever a protected host answers, only the signed-in see it
        entrance.append(proxying.gate(host.auth))
    entrance.append(cookies.strip())  # what follows is the operator's: rules, handlers, upstreams
    if host.trailing_slash != "keep":
        entrance.append({"handler": "trailing_slash", "mode": host.trailing_slash})
    routes.append({"handle": entrance})
    dropped = kept - frozenset(name.lower() for name in host.keep_headers)
    routes += [rule_route(rule, host, context, dropped) for rule in host.rules]
    if host.raw_handlers:
        routes.append({"handle": list(host.raw_handlers)})
    return [*routes, {"handle": [_delivery(host, context, dropped)]}]


def _guards(host: Host, policies: Policies) -> list[dict[str, Any]]:
    slots: dict[str, Any] = {"handler": "host_slots", "host": host.name, "limit": host.max_concurrent}
    if 0 < host.max_concurrent_per_client < host.max_concurrent:
        slots["per_client"] = host.max_concurrent_per_client
    handlers = [slots]
    if host.body_limit:
        handlers.append({"handler": "request_body", "max_size": host.body_limit})
    handlers += rate_limits.handlers(host)
    return [*handlers, *waf_policy.handlers(host, policies)]


def _answer(host: Host, *, hsts: bool) -> list[dict[str, Any]]:
    """What is done to every answer, whoever gives it; ``headers`` is deferred for that."""
    handlers: list[dict[str, Any]] = [
        {"handler": "vars", proxying.HOST_VARIABLE: host.name, **access_log.switch(logged=host.access_log)},
        {"handler": "host_answer"},
    ]
    if host.compression:
        match = {"headers": {"Content-Type": list(_COMPRESSED)}}
        handlers.append(
            {"handler": "encode", "encodings": {"zstd": {}, "gzip": {}}, "prefer": ["zstd", "gzip"], "match": match}
        )
    operations: dict[str, Any] = {}
    wanted = _texts(host.response_headers.set)
    if hsts:
        wanted["Strict-Transport-Security"] = [HSTS]
    if wanted:
        operations["set"] = wanted
    if added := _texts(host.response_headers.add):
        operations["add"] = added
    if host.response_headers.remove:
        operations["delete"] = list(host.response_headers.remove)
    if operations:
        handlers.append({"handler": "headers", "response": {"deferred": True, **operations}})
    return handlers


def _texts(values: dict[str, Any]) -> dict[str, list[str]]:
    return {name: [operator_text(value)] for name, value in values.items() if isinstance(value, str)}


def _delivery(host: Host, context: RenderContext, dropped: frozenset[str]) -> dict[str, Any]:
    if not host.upstreams:
        return {"handler": "error", "status_code": 404, "error": "no rule of the host matched"}
    return proxying.upstream_proxy(host, host.upstreams, host.proxy, context, dropped)

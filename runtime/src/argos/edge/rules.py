"""An operator's rules of a host, as Caddy routes: only the first that matches is followed."""

from __future__ import annotations

import re
from typing import Any

from argos.edge.context import RenderContext
from argos.edge.model import Action, Block, Forward, Host, Match, Redirect, Rewrite, Rule
from argos.edge.placeholders import operator_text
from argos.edge.proxying import upstream_proxy


def rule_route(rule: Rule, host: Host, context: RenderContext, dropped: frozenset[str]) -> dict[str, Any]:
    """One rule. Of the routes in a group Caddy runs the first that matches, and none after it."""
    route: dict[str, Any] = {"group": "rules", "handle": _handlers(rule.action, host, context, dropped)}
    if matcher := _matcher(rule.match, guards=isinstance(rule.action, Block)):
        route["match"] = [matcher]
    return route


def _matcher(match: Match, *, guards: bool) -> dict[str, Any]:
    matcher: dict[str, Any] = {}
    if paths := [*match.path, *match.path_exact]:
        # What is kept out is so under every spelling that an upstream may take for it: /;/admin, say.
        matcher["folded_path" if guards else "path"] = [operator_text(path) for path in paths]
    if match.method:
        # RFC 9110 §9.1: methods are case-sensitive. An upstream may not know, and "delete" would pass a rule on DELETE.
        methods = "|".join(re.escape(method) for method in match.method)
        matcher["vars_regexp"] = {"{http.request.method}": {"pattern": f"(?i)^(?:{methods})$"}}
    if match.header:
        matcher["header"] = {name: _texts(values) for name, values in match.header.items()}
    if match.query:
        matcher["query"] = {operator_text(name): _texts(values) for name, values in match.query.items()}
    if match.remote_ip:
        matcher["client_ip"] = {"ranges": list(match.remote_ip)}
    if match.host_header:
        matcher["host"] = list(dict.fromkeys(match.host_header))  # Caddy refuses a name that stands there twice
    return matcher


def _texts(values: tuple[str, ...]) -> list[str]:
    return [operator_text(value) for value in values]


def _handlers(action: Action, host: Host, context: RenderContext, dropped: frozenset[str]) -> list[dict[str, Any]]:
    if isinstance(action, Block):
        return [{"handler": "error", "status_code": 403, "error": "blocked by a rule of the host"}]
    if isinstance(action, Redirect):
        headers = {"Location": [operator_text(action.location)]}
        return [{"handler": "static_response", "status_code": action.status, "headers": headers}]
    if isinstance(action, Rewrite):
        return _rewrite(action)
    if isinstance(action, Forward):
        return [upstream_proxy(host, action.upstreams, action.proxy, context, dropped)]
    return [
        {
            "handler": "static_response",
            "status_code": action.status,
            "headers": {"Content-Type": [operator_text(action.content_type)]},
            "body": operator_text(action.body),
        }
    ]


def _rewrite(rewrite: Rewrite) -> list[dict[str, Any]]:
    handlers: list[dict[str, Any]] = []
    if rewrite.path:
        # Without a "?" Caddy keeps the client's query.
        return [{"handler": "rewrite", "uri": rewrite.path}]
    if rewrite.strip_prefix:
        handlers.append({"handler": "rewrite", "strip_path_prefix": rewrite.strip_prefix})
    if rewrite.add_prefix:
        prefix = rewrite.add_prefix.rstrip("/")
        handlers.append({"handler": "rewrite", "uri": f"{prefix}{{http.request.uri}}"})
    return handlers

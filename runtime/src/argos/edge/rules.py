"""An operator's rules of a host, as Caddy routes: the first that matches answers."""

from __future__ import annotations

from typing import Any

from argos.edge.model import Action, Block, Match, Redirect, Rule
from argos.edge.placeholders import operator_text


def rule_route(rule: Rule) -> dict[str, Any]:
    """One rule. Each of its actions answers, so no later route runs."""
    route: dict[str, Any] = {"handle": [_answer(rule.action)]}
    if matcher := _matcher(rule.match):
        route["match"] = [matcher]
    return route


def _matcher(match: Match) -> dict[str, Any]:
    matcher: dict[str, Any] = {}
    if paths := [*match.path, *match.path_exact]:
        matcher["path"] = [operator_text(path) for path in paths]
    if match.method:
        matcher["method"] = list(match.method)
    if match.header:
        matcher["header"] = {name: _texts(values) for name, values in match.header.items()}
    if match.query:
        matcher["query"] = {operator_text(name): _texts(values) for name, values in match.query.items()}
    if match.remote_ip:
        matcher["client_ip"] = {"ranges": list(match.remote_ip)}
    return matcher


def _texts(values: tuple[str, ...]) -> list[str]:
    return [operator_text(value) for value in values]


def _answer(action: Action) -> dict[str, Any]:
    if isinstance(action, Block):
        return {"handler": "error", "status_code": 403, "error": "blocked by a rule of the host"}
    if isinstance(action, Redirect):
        return {
            "handler": "static_response",
            "status_code": action.status,
            "headers": {"Location": [operator_text(action.location)]},
        }
    return {
        "handler": "static_response",
        "status_code": action.status,
        "headers": {"Content-Type": [operator_text(action.content_type)]},
        "body": operator_text(action.body),
    }

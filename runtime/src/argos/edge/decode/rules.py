"""Decoding of a host's rules: what it answers by itself, and when."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from argos.edge.decode.upstreams import decode_proxy, decode_upstreams
from argos.edge.decode.values import networks
from argos.edge.fields import Fields
from argos.edge.header_rules import header_value_problem
from argos.edge.model import Action, Block, FixedResponse, Forward, Match, Redirect, Rewrite, Rule
from argos.edge.names import published_name_problem

MAX_BODY = 64 * 1024
MAX_RULES = 200

_METHOD = re.compile(r"[A-Za-z][A-Za-z-]{0,19}")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()+,;=:@%/-]*")
_OWN_PATH = re.compile(r"/(?![/{\\])")  # a browser reads "/\\" as "//" (WHATWG URL §4.4)
_WITH_HOST = re.compile(
    r"(?:https?|\{http\.request\.scheme\})://(?:\{http\.request\.host\}|[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?"
    r"(?:$|[/?#]|\{http\.request\.uri\}|\{http\.request\.uri\.path\})"
)
_URL_TEXT = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")


def decode_rules(fields: Fields) -> tuple[Rule, ...]:
    """The member ``rules``, in order of priority."""
    rules = [_rule(fields.nested(place, member)) for place, member in fields.items("rules", limit=MAX_RULES)]
    for priority, count in Counter(rule.priority for rule in rules).items():
        if count > 1:
            fields.wrong("rules", f"has the priority {priority} {count} times", "a priority of its own for each rule")
    return tuple(sorted(rules, key=lambda rule: rule.priority))


def _rule(fields: Fields) -> Rule:
    rule = Rule(
        fields.integer("priority", low=0, high=1_000_000),
        _action(fields.inner("action")),
        _match(fields.inner("match")),
    )
    fields.finish()
    return rule


def _match(fields: Fields) -> Match:
    match = Match(
        path=decode_paths(fields, "path"),
        path_exact=fields.texts(
            "path_exact", limit=64, expected="a path from '/' on, without *[]\\?#", check=exact_path_problem
        ),
        method=tuple(
            method.upper()
            for method in fields.texts("method", limit=16, expected="a method such as GET", check=_method_problem)
        ),
        header=_conditions(fields, "header", names=True),
        query=_conditions(fields, "query", names=False),
        remote_ip=networks(fields, "remote_ip"),
        host_header=fields.texts(
            "host_header", limit=64, each=255, expected="a host name, or *. and a domain", check=published_name_problem
        ),
    )
    fields.finish()
    return match


def _conditions(fields: Fields, name: str, *, names: bool) -> dict[str, tuple[str, ...]]:
    wanted: dict[str, tuple[str, ...]] = {}
    for place, key, values in fields.mapping(name, limit=32):
        if not key or len(key) > 256 or (names and not _HEADER_NAME.fullmatch(key)):
            fields.wrong(place, "is not a name", "a header name" if names else "a parameter's name")
            continue
        members = values if isinstance(values, list) else [values]
        if len(members) > 32:
            fields.wrong(place, f"has {len(members)} values", "at most 32 values")
            continue
        wanted[key] = tuple(
            fields.checked_text(
                place, member, limit=1024, expected="text or a list of texts", check=header_value_problem
            )
            for member in members
        )
    return wanted


def decode_paths(fields: Fields, name: str) -> tuple[str, ...]:
    """A list of paths in which ``*`` stands for any characters."""
    return fields.texts(name, limit=64, expected="a path from '/' or '*' on, without []\\?#", check=_path_problem)


def _action(fields: Fields) -> Action:
    kind = fields.choice("type", tuple(_ACTIONS), "block")
    if not fields.given("type"):
        fields.wrong("type", "is missing", "one of " + ", ".join(_ACTIONS))
    action = _ACTIONS[kind](fields)
    fields.finish()
    return action


def _forward(fields: Fields) -> Action:
    upstreams = decode_upstreams(fields)
    if not upstreams and not fields.raw("upstreams"):
        fields.wrong("upstreams", "is empty", "at least one upstream")
    return Forward(upstreams, decode_proxy(fields.inner("proxy"), upstreams))


def _fixed_response(fields: Fields) -> Action:
    action = FixedResponse(
        fields.integer("status", 200, low=200, high=599),
        fields.text("body", "", limit=MAX_BODY),
        fields.text("content_type", "text/plain; charset=utf-8", limit=256, check=header_value_problem),
    )
    if len(action.body.encode()) > MAX_BODY:
        fields.wrong("body", f"has {len(action.body.encode())} bytes", f"at most {MAX_BODY} bytes")
    return action


def _redirect(fields: Fields) -> Action:
    status = fields.integer("status", 302, low=301, high=308)
    if status not in (301, 302, 307, 308):
        fields.wrong("status", f"is {status}", "one of 301, 302, 307, 308")
    location = fields.text(
        "location",
        limit=2048,
        expected="a path, or http(s)://host and then a path or {http.request.uri}; the host may be {http.request.host}",
        check=_location_problem,
    )
    return Redirect(location, status)


def _rewrite(fields: Fields) -> Action:
    rewrite = Rewrite(
        *(
            fields.text(name, "", limit=1024, expected="a path such as /app, percent-encoded", check=_plain_path)
            for name in ("path", "strip_prefix", "add_prefix")
        )
    )
    if not any(fields.given(name) for name in ("path", "strip_prefix", "add_prefix")):
        fields.wrong("", "changes nothing", "path, strip_prefix or add_prefix")
    if rewrite.path and (rewrite.strip_prefix or rewrite.add_prefix):
        fields.wrong("path", "is given with a prefix", "one or the other")
    return rewrite


def _block(_fields: Fields) -> Action:
    return Block()


_ACTIONS: dict[str, Callable[[Fields], Action]] = {
    "forward": _forward,
    "fixed_response": _fixed_response,
    "redirect": _redirect,
    "rewrite": _rewrite,
    "block": _block,
}


def _plain_path(text: str) -> str | None:
    if not text or _PLAIN_PATH.fullmatch(text):
        return None
    return f"is {text[:80]!r}"


def _method_problem(text: str) -> str | None:
    return None if _METHOD.fullmatch(text) else f"is {text!r}"


def _path_problem(text: str) -> str | None:
    # Caddy reads "[", "\\" and "?" as a glob's, and a bad glob matches nothing, in silence: a block rule would be none.
    if not text.startswith(("/", "*")) or header_value_problem(text) or set(text) & set("[]\\?#"):
        return f"is {text[:80]!r}"
    return None


def exact_path_problem(text: str) -> str | None:
    """What is wrong with a path that stands for itself, or None."""
    return f"is {text[:80]!r}" if "*" in text or not text.startswith("/") else _path_problem(text)


def _location_problem(text: str) -> str | None:
    if not _URL_TEXT.fullmatch(text):
        return "holds a space, a control character or a letter outside ASCII (percent-encode it)"
    # A client writes the URI, and "//elsewhere.example" is another host's address (RFC 3986 §4.2): what it sends may
    # stand behind a host or a path of the operator's, never where it would choose the host.
    if _OWN_PATH.match(text) or _WITH_HOST.match(text):
        return None
    return f"is {text[:80]!r}"

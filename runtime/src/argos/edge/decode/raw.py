"""Decoding of raw Caddy handlers: the escape hatch, and what must not go through it.

Only an administrator can declare them, as all that is declared; each use is warned of in the
plan and has an audit row of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from argos.edge.fields import Fields

MAX_HANDLERS = 16
MAX_LENGTH = 64 * 1024
MAX_DEPTH = 24

# What is outside the request: files, the environment, the machine. Other placeholders are the request's own.
_REACHES_OUT = re.compile(r"\{[\s{\\]*(?:file|env|system)\s*\.", re.IGNORECASE)
# They answer, or change what they were given; none opens a file, a socket or the gate's variables.
_HARMLESS = frozenset({"encode", "error", "headers", "request_body", "rewrite", "static_response", "subroute"})
# They compare the request with what stands in them, where a placeholder has braces. Not ``file``, nor ``expression``:
# CEL evaluates placeholders without any, as in ph(req, 'file./etc/passwd'), and has every matcher as a function.
_COMPARING = frozenset({
    "client_ip", "header", "header_regexp", "host", "method", "not", "path", "path_regexp", "protocol", "query",
    "remote_ip", "tls", "url_pattern", "vars", "vars_regexp",
})  # fmt: skip
# Caddy's module names are read exactly, its other members without regard to case.
_MATCHER_SETS = frozenset({"match", "not"})


def decode_raw_handlers(fields: Fields, *, unrestricted: bool) -> tuple[dict[str, Any], ...]:
    """The member ``raw_handlers``; what reaches out of the request only when it is declared to."""
    return tuple(
        _handler(fields, place, member, unrestricted=unrestricted)
        for place, member in fields.items("raw_handlers", limit=MAX_HANDLERS)
    )


def _handler(fields: Fields, place: str, raw: object, *, unrestricted: bool) -> dict[str, Any]:
    if not isinstance(raw, dict) or not isinstance(raw.get("handler"), str):
        fields.wrong(place, "has no 'handler'", "a handler as Caddy's JSON configuration has it")
        return {}
    try:
        length = len(msgspec.json.encode(raw))
        values = list(_values(raw))
    except (TypeError, RecursionError):
        fields.wrong(place, "is not plain JSON, or too deep", f"JSON of at most {MAX_DEPTH} levels")
        return {}
    if length > MAX_LENGTH:
        fields.wrong(place, f"has {length} bytes", f"at most {MAX_LENGTH} bytes")
    if unrestricted:
        return raw
    for key, value in values:
        if key == "handler" and value not in _HARMLESS:
            fields.wrong(
                place,
                f"has the handler {str(value)[:80]!r}",
                f"one of {', '.join(sorted(_HARMLESS))}, or raw_unrestricted: true",
            )
        if any(_REACHES_OUT.search(text) for text in (key, value) if isinstance(text, str)):
            fields.wrong(place, "has a placeholder for a file, the environment or the system", "raw_unrestricted: true")
    for name in sorted(set(_matchers(raw)) - _COMPARING):
        fields.wrong(
            place,
            f"has the matcher {name[:80]!r}",
            f"one of {', '.join(sorted(_COMPARING))}, or raw_unrestricted: true",
        )
    return raw


def _matchers(value: object) -> Iterator[str]:
    """Names of the matchers in ``value``: wherever a list of matcher sets stands, also below others' negation."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            if str(name).casefold() in _MATCHER_SETS and isinstance(member, list):
                for matchers in member:
                    yield from (str(matcher) for matcher in (matchers if isinstance(matchers, Mapping) else ()))
            yield from _matchers(member)
    elif isinstance(value, list):
        for member in value:
            yield from _matchers(member)


def _values(value: object, key: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield from _values(member, str(name), depth + 1)
        yield key, None
    elif isinstance(value, list):
        for member in value:
            yield from _values(member, key, depth + 1)
    else:
        yield key, value

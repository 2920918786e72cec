"""Decoding of header fields to set and to remove."""

from __future__ import annotations

from argos.edge.decode.values import secret
from argos.edge.fields import Fields
from argos.edge.header_rules import header_name_problem, header_value_problem, kept_name_problem
from argos.edge.model import Headers, HeaderValue

MAX_KEPT = 16


def decode_headers(fields: Fields, *, secrets: bool) -> Headers:
    """Changes of a request's or, without ``secrets``, a response's header."""
    headers = Headers(
        _values(fields, "set", secrets=secrets),
        _values(fields, "add", secrets=secrets),
        fields.texts("remove", limit=64, each=256, expected="another header name", check=header_name_problem),
    )
    fields.finish()
    return headers


def _values(fields: Fields, member: str, *, secrets: bool) -> dict[str, HeaderValue]:
    wanted: dict[str, HeaderValue] = {}
    for place, name, value in fields.mapping(member, limit=64):
        problem = header_name_problem(name)
        if problem:
            fields.wrong(place, problem, "another header name")
        if isinstance(value, dict) and secrets:
            wanted[name] = secret(fields.nested(place, value))
        else:
            wanted[name] = fields.checked_text(
                place, value, limit=4096, expected="text without control characters", check=header_value_problem
            )
    if len({name.lower() for name in wanted}) != len(wanted):
        fields.wrong(member, "names a header twice in different case", "each header once")
    return wanted


def decode_keep_headers(fields: Fields) -> tuple[str, ...]:
    """The member ``keep_headers``: names with ``_`` or ``.`` that Caddy would drop (GHSA-f59h-q822-g45g)."""
    return fields.texts(
        "keep_headers",
        limit=MAX_KEPT,
        each=128,
        expected="a header name with '_' or '.', such as api_key",
        check=kept_name_problem,
    )

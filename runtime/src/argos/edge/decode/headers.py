"""Decoding of header fields to set and to remove."""

from __future__ import annotations

from argos.edge.decode.values import secret
from argos.edge.fields import Fields
from argos.edge.header_rules import header_name_problem, header_value_problem
from argos.edge.model import Headers, HeaderValue


def decode_headers(fields: Fields, *, secrets: bool) -> Headers:
    """Changes of a request's or, without ``secrets``, a response's header."""
    wanted: dict[str, HeaderValue] = {}
    for place, name, value in fields.mapping("set", limit=64):
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
        fields.wrong("set", "names a header twice in different case", "each header once")
    remove = fields.texts("remove", limit=64, each=256, expected="another header name", check=header_name_problem)
    fields.finish()
    return Headers(wanted, remove)

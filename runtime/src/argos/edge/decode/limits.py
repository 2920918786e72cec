"""Decoding of rate limits and of the maintenance page."""

from __future__ import annotations

from typing import Any

from argos.edge.decode.rules import decode_paths
from argos.edge.decode.values import networks
from argos.edge.fields import Fields
from argos.edge.header_rules import header_name_problem, header_value_problem
from argos.edge.model import Maintenance, PathLimit, RateLimit

MAX_PATH_LIMITS = 16
MAX_REQUESTS = 100_000


def decode_rate_limit(fields: Fields) -> RateLimit | None:
    """The member ``rate_limit``, None when it is not given."""
    if not fields.given("rate_limit"):
        return None
    inner = fields.inner("rate_limit")
    limit = RateLimit(**_limit(inner))
    inner.finish()
    return limit


def decode_path_limits(fields: Fields) -> tuple[PathLimit, ...]:
    """The member ``path_limits``."""
    return tuple(
        _path_limit(fields.nested(place, member))
        for place, member in fields.items("path_limits", limit=MAX_PATH_LIMITS)
    )


def _path_limit(fields: Fields) -> PathLimit:
    paths = decode_paths(fields, "path")
    if not paths:
        fields.wrong("path", "is empty", "at least one path")
    limit = PathLimit(path=paths, **_limit(fields))
    fields.finish()
    return limit


def _limit(fields: Fields) -> dict[str, Any]:
    requests = fields.integer("requests", low=1, high=MAX_REQUESTS)
    window = fields.integer("window", low=1, high=3600)
    key = fields.choice("key", ("ip", "header", "global"), "ip")
    header = fields.text("header", "", limit=256, expected="a header name such as X-Api-Key", check=_header_problem)
    if (key == "header") != bool(header):
        fields.wrong("header", "and key do not stand together", "a header's name with key: header, and only with it")
    return {"requests": requests, "window": window, "key": key, "header": header}


def _header_problem(name: str) -> str | None:
    return header_name_problem(name) if name else None


def decode_maintenance(fields: Fields) -> Maintenance:
    """A host's ``maintenance``."""
    defaults = Maintenance()
    maintenance = Maintenance(
        fields.boolean("enabled", False),
        fields.text("text", defaults.text, limit=2000, expected="plain text", check=_text_problem),
        fields.integer("retry_after", defaults.retry_after, low=1, high=86400),
        networks(fields, "allow"),
    )
    fields.finish()
    return maintenance


def _text_problem(text: str) -> str | None:
    return header_value_problem(text.replace("\n", " "))

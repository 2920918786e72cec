"""Rendering of the panel's pages."""

from __future__ import annotations

from functools import cache
from typing import Any

import falcon
from jinja2 import Environment, PackageLoader, StrictUndefined

from argos.panel import navigation
from argos.panel.problems import Problems


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("argos.panel", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {"navigation": navigation.GROUPS, "overview": navigation.OVERVIEW}
    return environment


def render(resp: falcon.Response, template: str, *, status: str | int = falcon.HTTP_200, **values: Any) -> None:
    """Answer with ``template``. Every value is HTML-escaped; a value that a template misses is an error."""
    values.setdefault("person", None)
    values.setdefault("here", "")
    values.setdefault("problems", Problems())
    resp.status = status
    resp.content_type = "text/html; charset=utf-8"
    resp.text = _environment().get_template(template).render(values)

"""The style sheet and the mark: a fixed list, read once."""

from __future__ import annotations

from functools import cache
from importlib import resources

import falcon

from argos.panel.access import Needs

_TYPES = {"panel.css": "text/css; charset=utf-8", "mark.svg": "image/svg+xml"}


@cache
def _content(name: str) -> bytes:
    return resources.files("argos.panel").joinpath("static", name).read_bytes()


class StaticFile:
    """``/static/{name}``: names outside the list do not exist, so no path can be built from one."""

    needs = Needs.NOBODY

    def on_get(self, _req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Answer with the file, kept by the browser for an hour."""
        if name not in _TYPES:
            raise falcon.HTTPNotFound
        resp.content_type = _TYPES[name]
        resp.data = _content(name)
        resp.cache_control = ["public", "max-age=3600"]

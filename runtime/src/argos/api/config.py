"""`…/config`, `…/config/plan`, `…/config/apply`: the whole desired state, one plan, one apply."""

from __future__ import annotations

from typing import Any

import falcon

from argos.api import bodies
from argos.api.access import Needs, visit_of
from argos.api.revisions import etag_in
from argos.application import Application
from argos.edge.decode import decode_json
from argos.edge.decode.kinds import KINDS
from argos.edge.model import spec_of
from argos.edge.plan import State


def document_of(state: State) -> dict[str, Any]:
    """The declared state as a document that could be applied; secrets stand in it by name only."""
    document: dict[str, Any] = {
        "settings": {
            name: stored.spec
            for (kind, name), stored in sorted(state.resources.items(), key=lambda item: item[0])
            if kind == "settings"
        }
    }
    for kind in KINDS.values():
        document[kind.field] = [spec_of(resource) for resource in state.of_kind(kind.name)]
    return document


class Plan:
    """``POST …/config/plan``."""

    needs = Needs.ADMIN
    no_fresh_proof = "a plan changes nothing"

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say what the document would change; nothing is written. ``?pending_secrets=``: names that count as stored."""
        pending = (req.get_param("pending_secrets") or "").split(",")
        bodies.write(resp, self._application.engine.plan(decode_json(bodies.read_raw(req)), pending))


class Apply:
    """``POST …/config/apply``, with ``If-Match: etag`` against a lost race."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make the edge what the document declares."""
        document = decode_json(bodies.read_raw(req))
        bodies.write(resp, self._application.engine.apply(visit_of(req).actor, document, etag_in(req)))


class Config:
    """``GET …/config``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The declared state as a document; secrets by name only, as it holds no others."""
        state = self._application.state()
        resp.set_header("ETag", f'"{state.etag()}"')
        bodies.write(resp, document_of(state))

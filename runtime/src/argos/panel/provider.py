"""The provider's page: what is declared, the operator's switch, and trying the connection."""

from __future__ import annotations

import falcon

from argos.api.access import Needs
from argos.application import Application
from argos.oidc.break_glass import switched
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.oidc import redirect_uri


class Provider:
    """``/oidc``: what is declared, the switch, and trying the connection."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show it."""
        self._show(req, resp)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Switch on or off, or try the connection."""
        door = Door.of(req)
        action = forms.read(req).get("action", "")
        if action == "test":
            self._show(req, resp, steps=self._application.oidc.test(redirect_uri(door)))
            return
        if action not in {"enable", "disable"}:
            raise falcon.HTTPBadRequest(title="Unknown action", description="enable, disable or test")
        document = switched(self._application.state(), enabled=action == "enable")
        self._application.engine.apply(door.visit.actor, document)
        resp.status, resp.location = falcon.HTTP_303, "/oidc"

    def _show(self, req: falcon.Request, resp: falcon.Response, steps: object = None) -> None:
        door = Door.of(req)
        pages.render(
            resp,
            "oidc.html",
            person=door.visit.person,
            here="/oidc",
            oidc=self._application.oidc.settings(),
            callback=redirect_uri(door),
            steps=steps,
        )

"""``/secrets``: values that declarations refer to by name; written here, never shown."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import falcon

from argos.api.access import Needs
from argos.application import Application
from argos.edge.secret_use import SecretView
from argos.errors import ArgosError
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.errors import status_of
from argos.panel.moments import Moment
from argos.panel.problems import Problems

_PLACES = {"name": ("name", "Name"), "value": ("value", "Value")}
_PAGES = {"settings/oidc": "/oidc", "settings/crowdsec": "/decisions", "certificate": "/certificates"}


class Secrets:
    """What there is, who uses it, and the form to write one."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show names, versions and users; ``name`` in the query is the one to write."""
        self._show(req, resp, name=req.get_param("name") or "")

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Do what the form's ``do`` says: set, delete."""
        form = forms.read(req)
        try:
            done, warnings = self._do(req, form)
        except ArgosError as error:
            problems, status = Problems.of(error, _PLACES), status_of(resp, error)
            self._show(req, resp, name=form.get("name", ""), problems=problems, status=status)
            return
        self._show(req, resp, done=done, warnings=warnings)

    def _do(self, req: falcon.Request, form: dict[str, str]) -> tuple[str, tuple[str, ...]]:
        actor, name = Door.of(req).visit.actor, form.get("name", "").strip()
        secrets = self._application.declared_secrets
        match form.get("do", ""):
            case "set":
                # A text area sends line ends as CRLF, and a pasted token brings one along.
                value = form.get("value", "").replace("\r\n", "\n").removesuffix("\n")
                change = secrets.set(actor, name, value)
                word = f"stored, version {change.version}" if change.changed else "unchanged"
                return f"{name} is {word}.", change.warnings
            case "delete":
                secrets.delete(actor, name)
                return f"{name} has been removed.", ()
            case _:
                raise falcon.HTTPBadRequest(
                    title=forms.UNREADABLE, description="The form does not say what to do. Reload the page."
                )

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        *,
        name: str = "",
        done: str = "",
        warnings: tuple[str, ...] = (),
        problems: Problems | None = None,
        status: str = falcon.HTTP_200,
    ) -> None:
        now = self._application.clock.now()
        pages.render(
            resp,
            "secrets.html",
            status=status,
            person=Door.of(req).visit.person,
            here="/secrets",
            secrets=[_shown(view, now) for view in self._application.declared_secrets.views()],
            name=name[:63],
            done=done,
            warnings=warnings,
            problems=problems or Problems(),
        )


def _shown(view: SecretView, now: int) -> dict[str, Any]:
    return {
        "name": view.name,
        "version": view.version,
        "stored": Moment.of(view.updated_at, now),
        "users": [(user, _page_of(user)) for user in view.used_by],
    }


def _page_of(user: str) -> str:
    """Where in the panel one sees who uses a secret; empty where there is no page."""
    kind, _unused, name = user.partition("/")
    if kind == "host":
        return f"/hosts/{quote(name, safe='')}"
    return _PAGES.get(user) or _PAGES.get(kind, "")

"""``/secrets``: values that declarations refer to by name; written here, never shown."""

from __future__ import annotations

from datetime import UTC, datetime

import falcon

from argos.api.access import Needs
from argos.application import Application
from argos.errors import Conflict, Invalid, NotFound, Unavailable
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.people import problem_text


class Secrets:
    """What there is, who uses it, and the form to write one."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show names, versions and users."""
        self._show(req, resp)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Do what the form's ``do`` says: set, delete."""
        form = forms.read(req)
        try:
            done, warnings = self._do(req, form)
        except (Invalid, Conflict, NotFound, Unavailable) as error:
            status = falcon.HTTP_400 if isinstance(error, Invalid) else falcon.HTTP_409
            self._show(req, resp, name=form.get("name", ""), problem=problem_text(error), status=status)
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
                word = f"stored, version {change.version}" if change.changed else "the same as before"
                return f"{name} is {word}.", change.warnings
            case "delete":
                secrets.delete(actor, name)
                return f"{name} is gone.", ()
            case _:
                raise falcon.HTTPBadRequest(title="Not a form", description="The form does not say what to do.")

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        *,
        name: str = "",
        done: str = "",
        warnings: tuple[str, ...] = (),
        problem: str = "",
        status: str = falcon.HTTP_200,
    ) -> None:
        pages.render(
            resp,
            "secrets.html",
            status=status,
            person=Door.of(req).visit.person,
            here="/secrets",
            secrets=[(view, _day(view.updated_at)) for view in self._application.declared_secrets.views()],
            name=name[:63],
            done=done,
            warnings=warnings,
            problem=problem,
        )


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")

"""``/mail``: the mail server, who reads what it takes away, and the test message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import falcon

from argos.api.access import Needs
from argos.api.mail import own_address
from argos.application import Application
from argos.edge.decode import decode_document
from argos.edge.decode.mail import EVENTS
from argos.edge.model import MailSettings
from argos.errors import ArgosError
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.errors import status_of
from argos.panel.host_form import OWNER
from argos.panel.moments import Moment
from argos.panel.problems import Problems
from argos.steps import Step

PLACES = {
    "host": ("host", "Server"),
    "port": ("port", "Port"),
    "security": ("security", "Encryption"),
    "username": ("username", "User name"),
    "password": ("password", "Secret with the password"),
    "sender": ("sender", "From"),
    "recipients": ("recipients", "To"),
    "trusted_ca": ("trusted_ca", "Certificate authority"),
    "timeout": ("timeout", "Timeout in seconds"),
    "to": ("to", "Send it to"),
}
"""Where on the page each field of the model is, and what it is called there."""

FIELDS = ("enabled", *(place for place, _label in PLACES.values()), *EVENTS)
_WORDS = {"saved": "Saved and in force. Send a test message to see whether it works.", "same": "Nothing to change."}
_SEPARATORS = re.compile(r"[\s,]+")


class MailPage:
    """How mail stands, the form, and the button that tries it."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show it."""
        self._show(req, resp, done=_WORDS.get(req.get_param("done") or "", ""))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Do what the form's ``do`` says: save, test."""
        form = forms.read(req)
        typed = {name: form.get(name, "").replace("\r\n", "\n") for name in FIELDS}
        visit = Door.of(req).visit
        do = form.get("do", "")
        try:
            if do == "test":
                steps = self._application.mail.test(visit.actor, typed["to"], own_address(self._application, visit))
                self._show(req, resp, steps=steps)
                return
            if do != "save":
                raise falcon.HTTPBadRequest(
                    title=forms.UNREADABLE, description="The form does not say what to do. Reload the page."
                )
            document = decode_document(document_of(typed, self._owner() or OWNER))
            outcome = self._application.engine.apply(visit.actor, document, form.get("etag") or None)
        except ArgosError as error:
            shown = typed if do == "save" else None
            problems = Problems.of(error, PLACES, self._application.scrubber.scrub)
            self._show(req, resp, form=shown, problems=problems, status=status_of(resp, error))
            return
        resp.status, resp.location = falcon.HTTP_303, f"/mail?done={'saved' if outcome.changed else 'same'}"

    def _owner(self) -> str:
        stored = self._application.state().resources.get(("settings", "mail"))
        return "" if stored is None else stored.owner

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        *,
        form: dict[str, str] | None = None,
        steps: list[Step] | None = None,
        done: str = "",
        problems: Problems | None = None,
        status: str = falcon.HTTP_200,
    ) -> None:
        application, visit = self._application, Door.of(req).visit
        state, standing, now = application.state(), application.mail.state(), application.clock.now()
        own, recipients = own_address(application, visit), state.mail.recipients if state.mail else ()
        owner = self._owner()
        pages.render(
            resp,
            "mail.html",
            status=status,
            person=visit.person,
            here="/mail",
            declared=state.mail is not None,
            enabled=standing.enabled,
            waiting=standing.waiting,
            sent=Moment.of(standing.sent_at, now) if standing.sent_at else None,
            failed=Moment.of(standing.failed_at, now) if standing.failed_at else None,
            failure=standing.failure,
            form=form or form_of(state.mail or MailSettings()),
            secrets=[("", "none: no sign-in")] + [(name, name) for name in application.secrets.names()],
            readers=[("", "all recipients")] + [(one, one) for one in dict.fromkeys((*recipients, own)) if one],
            owner="" if owner in {"", OWNER} else owner,
            etag=state.etag(),
            steps=steps,
            done=done,
            problems=problems or Problems(),
        )


def form_of(settings: MailSettings) -> dict[str, str]:
    """What the fields hold for what is declared."""
    return {
        **dict.fromkeys(FIELDS, ""),
        "enabled": "1" if settings.enabled else "",
        "host": settings.host,
        "port": str(settings.port) if settings.host else "",
        "security": settings.security,
        "username": settings.username,
        "password": settings.password.secret if settings.password else "",
        "sender": settings.sender,
        "recipients": "\n".join(settings.recipients),
        "trusted_ca": settings.trusted_ca,
        "timeout": str(settings.timeout),
        **{event: "1" if event in settings.events else "" for event in EVENTS},
    }


def document_of(form: Mapping[str, str], owner: str) -> dict[str, Any]:
    """The declaration that ``form`` means, not yet decoded."""
    mail: dict[str, Any] = {name: form[name].strip() for name in ("host", "security", "username", "sender")}
    mail["enabled"] = bool(form["enabled"])
    mail["recipients"] = [one for one in _SEPARATORS.split(form["recipients"]) if one]
    mail["trusted_ca"] = form["trusted_ca"].strip()
    mail["events"] = [event for event in EVENTS if form[event]]
    if form["password"]:
        mail["password"] = {"secret": form["password"]}
    for name in ("port", "timeout"):
        text = form[name].strip()
        if text:
            mail[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else text
    return {"owner": owner, "settings": {"mail": mail}}

"""``/decisions``: whom CrowdSec bans, with a search, a form for one more, and an end to each."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import falcon

from argos.api.access import Needs
from argos.application import Application
from argos.doctor.crowdsec import edge_view, shown_error
from argos.errors import ArgosError
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.errors import status_of
from argos.panel.problems import Problem, Problems
from argos.threat.service import ORIGIN, Change, Page, Query, Wanted
from argos.threat.target import Target, duration_text, network_of

_PAGE = 50
_OFFSET_DIGITS = 7
_STALE = 60  # seconds; the bouncer asks every 10
_FIELDS = ("value", "duration", "reason", "force")
_PLACES = {"value": ("value", "Value"), "duration": ("duration", "Duration"), "reason": ("reason", "Reason")}
_ORIGINS = {
    ORIGIN: "by hand, Argos",
    "cscli": "by hand, cscli",
    "crowdsec": "CrowdSec",
    "CAPI": "community list",
    "lists": "subscribed list",
}


class Decisions:
    """The page, and its two forms."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the decisions that the search asks for."""
        # A WAF event leads here with the address that it came from.
        ban = (req.get_param("ban") or "").strip()[:64]
        self._show(req, resp, {"value": ban} if ban else None)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a ban, or end one decision."""
        form = forms.read(req)
        actor = Door.of(req).visit.actor
        decisions = self._application.decisions
        try:
            match form.get("do", ""):
                case "add":
                    wanted = Wanted(
                        value=form.get("value", "").strip(),
                        duration=form.get("duration", "").strip(),
                        reason=form.get("reason", "").strip(),
                        force=form.get("force") == "1",
                    )
                    done = _added(decisions.put(actor, wanted), wanted)
                case "end" if form.get("id", "").isascii() and form.get("id", "").isdigit() and len(form["id"]) <= 18:
                    done = f"The ban on {_ended(decisions.remove_one(actor, int(form['id'])))} has been lifted."
                case _:
                    raise falcon.HTTPBadRequest(
                        title=forms.UNREADABLE, description="The form does not say what to do. Reload the page."
                    )
        except ArgosError as error:
            kept = form if form.get("do") == "add" else {}
            self._show(req, resp, kept, problems=_problems(error), status=status_of(resp, error))
            return
        self._show(req, resp, done=f"{done} This takes effect within 20 seconds.")

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        form: dict[str, str] | None = None,
        *,
        done: str = "",
        problems: Problems | None = None,
        status: str = falcon.HTTP_200,
    ) -> None:
        search, offset = (req.get_param("q") or "").strip()[:256], _offset(req.get_param("from"))
        away = ""
        page = Page([], 0, _PAGE, 0)
        try:
            page = self._application.decisions.find(_query(search, offset))
        except ArgosError as error:
            away = error.message
        crowdsec = self._application.state().crowdsec
        pages.render(
            resp,
            "decisions.html",
            status=status,
            person=Door.of(req).visit.person,
            here="/decisions",
            rows=[_row(one) for one in page.decisions],
            page=page,
            search=search,
            newer=_link(search, max(0, offset - _PAGE)) if offset else "",
            older=_link(search, offset + _PAGE) if offset + _PAGE < page.total else "",
            away=away,
            enabled=crowdsec.enabled,
            whitelist=crowdsec.whitelist,
            edge=self._edge(),
            form={name: (form or {}).get(name, "") for name in _FIELDS},
            done=done,
            problems=problems or Problems(),
        )

    def _edge(self) -> dict[str, Any] | None:
        """What the edge itself enforces: it goes on with what it knows while LAPI is away."""
        view = edge_view(self._application.settings.caddy_socket)
        if view is None:
            return None
        age = view.get("seconds_since_answer")
        return {
            "decisions": view.get("decisions") or 0,
            "refused": view.get("refused") or 0,
            "age": age if isinstance(age, int) else None,
            "stale": not isinstance(age, int) or age > _STALE,
            "error": self._application.scrubber.scrub(shown_error(view)),
        }


def _query(search: str, offset: int) -> Query:
    """A search field takes an address, a range, or a part of the reason."""
    network = network_of(search) if search else None
    if network is None:
        return Query(scenario=search, limit=_PAGE, offset=offset)
    target = Target(network)
    if target.scope == "ip":
        return Query(ip=target.value, limit=_PAGE, offset=offset)
    return Query(range=target.value, limit=_PAGE, offset=offset)


def _row(one: Any) -> dict[str, Any]:
    left = duration_text(one.seconds if one.seconds < 120 else one.seconds // 60 * 60)
    return {
        "id": one.id,
        "value": one.value,
        "type": one.type,
        "origin": _ORIGINS.get(one.origin, one.origin),
        "reason": one.scenario,
        "left": left,
    }


def _added(change: Change, wanted: Wanted) -> str:
    warnings = "".join(f" Warning: {warning}." for warning in change.warnings)
    value = change.after["value"] if change.after else wanted.value
    return (f"{value} is banned." if change.changed else f"{value} was already banned like this.") + warnings


def _ended(change: Change) -> str:
    return str((change.before or {}).get("value", ""))


def _problems(error: ArgosError) -> Problems:
    found = Problems.of(error, _PLACES).found
    return Problems(tuple(Problem(_in_words(one.text), one.field) for one in found))


def _in_words(text: str) -> str:
    return text.replace("another one, or force.", "another one, or the checkbox below.")


def _offset(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= _OFFSET_DIGITS else 0


def _link(search: str, offset: int) -> str:
    given = {**({"q": search} if search else {}), **({"from": str(offset)} if offset else {})}
    return "/decisions" + (f"?{urlencode(given)}" if given else "")

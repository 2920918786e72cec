"""``/waf``: what the WAF found; ``/waf/{event}``: why, and the exclusion that lets it pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import falcon

from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.edge.waf_events import Event, find, recent
from argos.edge.waf_exclude import NotExcludable, difference, explain, propose, shown_event
from argos.errors import ArgosError, NotFound
from argos.panel import forms, pages
from argos.panel.access import Door

_LISTED = 100


@dataclass(frozen=True)
class Line:
    """A line of the change: ``kind`` is added, removed or empty."""

    kind: str
    text: str


class WafEvents:
    """``GET /waf``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The last events, of one host when the query names it."""
        host = req.get_param("host") or ""
        state = self._application.state()
        pages.render(
            resp,
            "waf.html",
            person=visit_of(req).person,
            here="/waf",
            events=[_view(event) for event in recent(self._application.settings.waf_log, host, _LISTED)],
            hosts=[declared.name for declared in state.hosts()],
            host=host[:260],
            listed=_LISTED,
        )


class WafEvent:
    """``/waf/{event}``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response, event: str) -> None:
        """Explain it, and show the change before it is made."""
        self._show(req, resp, find(self._application.settings.waf_log, event))

    def on_post(self, req: falcon.Request, resp: falcon.Response, event: str) -> None:
        """Make the change that the page showed."""
        door = Door.of(req)
        etag = forms.read(req).get("etag", "")
        found = find(self._application.settings.waf_log, event)
        try:
            proposal = propose(self._application.state(), found)
            self._application.engine.apply(door.visit.actor, proposal.document, etag or None)
        except ArgosError as problem:
            self._show(req, resp, found, problem=problem.message, status=falcon.HTTP_409)
            return
        self._show(req, resp, found, done=True)

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        event: Event,
        *,
        done: bool = False,
        problem: str = "",
        status: str = falcon.HTTP_200,
    ) -> None:
        state = self._application.state()
        lines: list[Line] = []
        owner, why_not = "", ""
        try:
            proposal = propose(state, event)
            owner, lines = proposal.owner, _lines(difference(proposal))
        except (NotExcludable, NotFound) as reason:
            why_not = reason.message
        pages.render(
            resp,
            "waf_event.html",
            status=status,
            person=visit_of(req).person,
            here=f"/waf/{event.key}",
            event={**_view(event), **explain(event).shown()},
            lines=lines,
            owner=owner,
            etag=state.etag(),
            why_not="" if done else why_not,
            done=done,
            problem=self._application.scrubber.scrub(problem),
        )


def _view(event: Event) -> dict[str, Any]:
    kind = "bad" if event.status else "warn" if event.would_block else ""
    word = "refused" if event.status else "would be refused" if event.would_block else "noted"
    return {**shown_event(event), "kind": kind, "word": word, "when": event.ts[:19].replace("T", " ")}


def _lines(text: str) -> list[Line]:
    return [
        Line({"+": "added", "-": "removed"}.get(line[:1], "") if line[:3] not in {"+++", "---"} else "", line)
        for line in text.splitlines()
    ]

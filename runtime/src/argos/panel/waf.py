"""``/waf``: what the WAF found; ``/waf/{event}``: why, and the exclusion that lets it pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import falcon

from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.edge.model import WafPolicy
from argos.edge.plan import State
from argos.edge.waf_events import Event, find, printable, recent
from argos.edge.waf_exclude import NotExcludable, difference, explain, propose, shown_event
from argos.edge.waf_policy import effective
from argos.errors import ArgosError, NotFound
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.errors import status_of
from argos.panel.moments import Moment

_LISTED = 100
_MODES = {"off": ("", "off"), "detect": ("warn", "logs only"), "block": ("good", "blocks")}


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
        now = self._application.clock.now()
        in_force = [effective(declared.waf, state.waf_policies()) for declared in state.hosts()]
        pages.render(
            resp,
            "waf.html",
            person=visit_of(req).person,
            here="/waf",
            events=[event_view(event, now) for event in recent(self._application.settings.waf_log, host, _LISTED)],
            hosts=[declared.name for declared in state.hosts()],
            host=host[:260],
            listed=_LISTED,
            off=all(policy is None for policy in in_force),
            policies=[_policy_view(policy, state) for policy in state.waf_policies().values()],
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
            self._show(req, resp, found, problem=problem.message, status=status_of(resp, problem))
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
            event={**explain(event).shown(), **event_view(event, self._application.clock.now())},
            found=explain(event).shown()["rules"],
            host_page=f"/hosts/{quote(event.host_id, safe='')}" if ("host", event.host_id) in state.resources else "",
            lines=lines,
            owner=owner,
            etag=state.etag(),
            why_not="" if done else why_not,
            done=done,
            problem=self._application.scrubber.scrub(problem),
        )


def event_view(event: Event, now: int) -> dict[str, Any]:
    """An event as pages show it; ``now`` in Unix seconds."""
    kind = "bad" if event.status else "warn" if event.would_block else ""
    word = "refused" if event.status else "would be refused" if event.would_block else "logged"
    return {**shown_event(event), "kind": kind, "word": word, "when": _moment(event.ts, now)}


def _moment(stamp: str, now: int) -> Moment:
    """An event's time; a line that says none that can be read is shown as it is."""
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return Moment(printable(stamp, 40), "", "")
    return Moment.of(int(at.timestamp() if at.tzinfo else at.replace(tzinfo=UTC).timestamp()), now)


def _policy_view(policy: WafPolicy, state: State) -> dict[str, Any]:
    users = [host.name for host in state.hosts() if host.waf.policy == policy.name]
    return {
        "name": policy.name,
        "mode": _MODES[policy.mode],
        "paranoia": policy.paranoia,
        "exclusions": len(policy.exclusions),
        "users": users,
    }


def _lines(text: str) -> list[Line]:
    return [
        Line({"+": "added", "-": "removed"}.get(line[:1], "") if line[:3] not in {"+++", "---"} else "", line)
        for line in text.splitlines()
    ]

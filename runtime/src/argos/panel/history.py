"""``/history`` and one revision's page: who changed what, and going back."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import falcon

from argos.api.access import Needs
from argos.api.revisions import number_in, rollback_note
from argos.application import Application
from argos.edge.history import PAGE, Revision, diff_lines
from argos.edge.plan import Change
from argos.errors import ArgosError, Invalid, Unavailable
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.errors import status_of
from argos.panel.moments import Moment

_STATES = {"active": ("good", "in force"), "superseded": ("", "was in force"), "failed": ("bad", "refused")}
_LINES = 400  # of one change's diff on a page; the API and the command line tell all


class HistoryPage:
    """``GET /history?before=``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of revisions, the newest first."""
        before = req.get_param_as_int("before", min_value=1)
        found = self._application.history.newest(before=before, limit=PAGE + 1)
        now = self._application.clock.now()
        back = req.get_param_as_int("back", min_value=1)
        pages.render(
            resp,
            "history.html",
            person=Door.of(req).visit.person,
            here="/history",
            revisions=[_shown(revision, now) for revision in found[:PAGE]],
            older=found[PAGE - 1].id if len(found) > PAGE else None,
            newest=before is None,
            done=f"The configuration is now the same as in revision {back}." if back else "",
        )


class RevisionPage:
    """``/history/{number}``: what it changed, what going back to it would change now, and the button."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response, number: str) -> None:
        """Show it."""
        self._show(req, resp, number_in(number))

    def on_post(self, req: falcon.Request, resp: falcon.Response, number: str) -> None:
        """Go back to it, unless something has changed since the page was made."""
        wanted = number_in(number)
        seen = forms.read(req).get("etag", "")
        target = self._application.history.state_of(wanted)
        try:
            actor = Door.of(req).visit.actor
            self._application.engine.replace(actor, target, rollback_note(wanted), seen or None)
        except ArgosError as error:
            self._show(req, resp, wanted, problem=error, status=status_of(resp, error))
            return
        resp.status, resp.location = falcon.HTTP_303, f"/history?back={wanted}"

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        number: int,
        problem: ArgosError | None = None,
        status: str = falcon.HTTP_200,
    ) -> None:
        recorded = self._application.history.get(number)
        back, refusal, etag = self._way_back(recorded.revision)
        pages.render(
            resp,
            "revision.html",
            status=status,
            person=Door.of(req).visit.person,
            here="/history",
            revision=_shown(recorded.revision, self._application.clock.now()),
            changes=None if recorded.changes is None else [shown_change(change) for change in recorded.changes],
            back=back,
            refusal=refusal,
            etag=etag,
            problem=_words(problem) if problem else [],
        )

    def _way_back(self, revision: Revision) -> tuple[list[dict[str, Any]], list[str], str]:
        """What a rollback would change, why it cannot be, and the state that this was said of."""
        if revision.state != "superseded":
            return [], [], ""
        try:
            outcome = self._application.engine.replacement(self._application.history.state_of(revision.id))
        except (Invalid, Unavailable) as error:
            return [], _words(error), ""
        scrub = self._application.scrubber.scrub
        return [shown_change(change, scrub) for change in outcome.changes], [], outcome.etag


def _words(error: ArgosError) -> list[str]:
    return [str(one) for one in error.errors] if isinstance(error, Invalid) else [error.message]


def _shown(revision: Revision, now: int) -> dict[str, Any]:
    kind, word = _STATES.get(revision.state, ("warn", revision.state))
    return {
        "number": revision.id,
        "kind": kind,
        "word": word,
        "actor": revision.actor.partition(":")[2] or revision.actor,
        "by": {"user": "panel", "admin_api": "admin API", "cli": "command line"}.get(
            revision.actor.partition(":")[0], "argos"
        ),
        "summary": revision.summary,
        "reason": revision.reason,
        "at": Moment.of(revision.created_at, now),
    }


def shown_change(change: Change, scrub: Any = str) -> dict[str, Any]:
    """A change as ``changes.html`` shows it; ``scrub`` takes known secrets out of its lines."""
    lines = diff_lines(change)
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return {
        "title": f"{change.kind}/{change.name}",
        "page": f"/hosts/{quote(change.name, safe='')}" if change.kind == "host" and change.after else "",
        "action": {"create": "added", "update": "changed", "delete": "removed"}[change.action],
        "lines": [{"kind": kinds.get(line[:1], ""), "text": scrub(line)} for line in lines[:_LINES]],
        "left_out": max(0, len(lines) - _LINES),
    }

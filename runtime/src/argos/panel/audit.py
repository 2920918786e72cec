"""``/audit``: the record of changes, searched and exported."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import falcon

from argos.api.access import Needs
from argos.api.audit import query_of, write_export
from argos.application import Application
from argos.audit import Verdict
from argos.audit.search import KINDS, PAGE, TEXTS, Entry, Page, Query
from argos.errors import Invalid
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.moments import relative
from argos.panel.people import problem_text

_FIELDS = (*TEXTS, "kind", "since", "until")
_SHOWN = 4000  # characters of before or after on a page; the export has all


@dataclass(frozen=True)
class Row:
    """One entry as the page shows it."""

    entry: Entry
    who: str
    before: str
    after: str
    relative: str

    @property
    def day(self) -> str:
        """The time for people, UTC."""
        return self.entry.time.replace("T", " ").rstrip("Z")


class AuditPage:
    """``/audit``: filters, one page of rows, the way to the next; POST reads the chain from end to end."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show what passes the filters of the URL."""
        try:
            query = replace(query_of(req), limit=PAGE)
        except Invalid as error:
            self._show(req, resp, Query(), problem=problem_text(error), status=falcon.HTTP_400)
            return
        self._show(req, resp, query)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Verify the chain, and say how it stands."""
        if forms.read(req).get("do") != "verify":
            raise falcon.HTTPBadRequest(
                title=forms.UNREADABLE, description="The form does not say what to do. Reload the page."
            )
        self._show(req, resp, Query(), verdict=self._application.audit.examine())

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        query: Query,
        *,
        verdict: Verdict | None = None,
        problem: str = "",
        status: str = falcon.HTTP_200,
    ) -> None:
        page = Page((), None) if problem else self._application.record.page(query)
        now = self._application.clock.now()
        given = {name: str(value)[:400] for name in _FIELDS if (value := req.params.get(name, ""))}
        values: dict[str, Any] = {
            "rows": [_row(entry, now) for entry in page.entries],
            "older": None
            if page.older is None
            else "/audit?" + urlencode({**given, "before": page.older}, errors="replace"),
            "export": urlencode(given, errors="replace"),
            "filters": {name: given.get(name, "") for name in _FIELDS},
            "kinds": list(KINDS),
            "filtered": bool(given),
            "later": query.before is not None,
        }
        pages.render(
            resp,
            "audit.html",
            status=status,
            person=Door.of(req).visit.person,
            here="/audit",
            verdict=verdict,
            problem=problem,
            **values,
        )


class AuditFile:
    """``/audit/export``: what the page shows, and all pages after it, as a file."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """JSON lines or CSV."""
        write_export(self._application, req, resp)


def _row(entry: Entry, now: int) -> Row:
    at = int(datetime.fromisoformat(entry.time).timestamp())
    return Row(entry, entry.actor or entry.kind, _detail(entry.before), _detail(entry.after), relative(at - now))


def _detail(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "\n… (the export has the rest)"

"""``/certificates``: what the edge shows for each name, until when, and what went wrong."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote

import falcon

from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.edge.certificate_status import CertificateStatus
from argos.errors import Unavailable
from argos.panel import pages
from argos.panel.moments import Moment

_SOURCES = {"internal": "own CA", "auto": "ACME", "manual": "your own"}
_WORDS = {
    "valid": ("good", "valid"),
    "expiring": ("warn", "expires soon"),
    "failing": ("warn", "renewal failing"),
    "expired": ("bad", "expired"),
    "missing": ("bad", "none yet"),
    "unused": ("", "unused"),
}


@dataclass(frozen=True)
class CertificateView:
    """One row of the page."""

    name: str
    page: str
    source: str
    issuer: str
    until: Moment | None
    renewal: Moment | None
    renewed_by: str
    kind: str
    word: str
    error: str
    failed: Moment | None


def view_of(status: CertificateStatus, now: int, hosts: Collection[str] = ()) -> CertificateView:
    """A status in a person's words; ``now`` in Unix seconds. ``hosts`` have a page of their own."""
    kind, word = _WORDS[status.condition]
    source = _SOURCES[status.source] + (f", {status.certificate}" if status.certificate else "")
    return CertificateView(
        name=status.name.removeprefix("certificate/"),
        page=f"/hosts/{quote(status.name, safe='')}" if status.name in hosts else "",
        source=source,
        issuer=status.issuer,
        until=_moment(status.not_after, now),
        renewal=None if status.source == "manual" else _moment(status.renew_at, now),
        renewed_by="by you" if status.source == "manual" else "",
        kind=kind,
        word=word,
        error=status.error,
        failed=_moment(status.failed_at, now),
    )


def _moment(when: int | None, now: int) -> Moment | None:
    return None if when is None else Moment.of(when, now)


class Certificates:
    """The page."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show them; when Caddy does not answer, say so, with 503."""
        now = self._application.clock.now()
        away, views, code = "", [], falcon.HTTP_200
        try:
            hosts = {host.name for host in self._application.state().hosts()}
            views = [view_of(status, now, hosts) for status in self._application.certificates()]
        except Unavailable as problem:
            away = problem.message
            code = falcon.HTTP_503
        pages.render(
            resp,
            "certificates.html",
            status=code,
            person=visit_of(req).person,
            here="/certificates",
            certificates=views,
            away=away,
        )

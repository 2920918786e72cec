"""``/certificates``: what the edge shows for each name, until when, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import falcon

from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.edge.certificate_status import CertificateStatus
from argos.errors import Unavailable
from argos.panel import pages

_DAY = 86_400
_SOURCES = {"internal": "own CA", "auto": "ACME", "manual": "your own"}
_WORDS = {
    "valid": ("good", "valid"),
    "expiring": ("warn", "expires soon"),
    "failing": ("warn", "renewal fails"),
    "expired": ("bad", "expired"),
    "missing": ("bad", "none yet"),
    "unused": ("", "unused"),
}


@dataclass(frozen=True)
class CertificateView:
    """One row of the page."""

    name: str
    source: str
    issuer: str
    until: str
    left: str
    renewal: str
    kind: str
    word: str
    error: str
    failed: str


def view_of(status: CertificateStatus, now: int) -> CertificateView:
    """A status in a person's words; ``now`` in Unix seconds."""
    kind, word = _WORDS[status.condition]
    source = _SOURCES[status.source] + (f", {status.certificate}" if status.certificate else "")
    return CertificateView(
        name=status.name.removeprefix("certificate/"),
        source=source,
        issuer=status.issuer,
        until=_moment(status.not_after),
        left="" if status.not_after is None else _left(status.not_after - now),
        renewal="by you" if status.source == "manual" else _renewal(status.renew_at, now),
        kind=kind,
        word=word,
        error=status.error,
        failed=_moment(status.failed_at),
    )


def _moment(when: int | None) -> str:
    return "" if when is None else datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M")


def _renewal(when: int | None, now: int) -> str:
    return f"since {_moment(when)}" if when is not None and when <= now else _moment(when)


def _left(seconds: int) -> str:
    if seconds <= 0:
        return "over"
    days, hours = seconds // _DAY, seconds // 3600
    count, unit = (days, "day") if days >= 2 else (hours, "hour") if hours else (max(1, seconds // 60), "minute")
    return f"in {count} {unit}{'' if count == 1 else 's'}"


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
            views = [view_of(status, now) for status in self._application.certificates()]
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

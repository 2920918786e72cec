"""Certificates: what has run out or soon will, and what cannot be had (ING-4)."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from argos.clock import to_the_minute
from argos.doctor.database import read_only
from argos.doctor.finding import Finding, State
from argos.errors import Unavailable
from argos.settings import Settings

if TYPE_CHECKING:
    from argos.edge.certificate_status import CertificateStatus

DAY = 86_400
SOON_S = 7 * DAY
"""With so little life left the edge soon serves nobody: nothing shorter is taken from an operator either."""
_OVERDUE_S = DAY  # after the time from which Caddy renews: it tries at once, and again and again
_NAMED = 5
_NAME = "certificates"


def check_certificates(settings: Settings) -> Finding:
    """Every name has one that is valid for a while, and no renewal goes wrong."""
    from argos.edge.caddy import CaddyAdmin
    from argos.edge.certificate_status import certificate_statuses
    from argos.edge.plan import State as Declared
    from argos.scrub import Scrubber

    now = int(time.time())
    try:
        with read_only(settings.database) as connection:
            declared = Declared.from_rows(connection.execute("SELECT kind, name, spec, owner FROM resources"))
    except (sqlite3.Error, Unavailable) as error:
        return Finding(_NAME, "unknown", f"The declared state cannot be read: {error}.", "Fix the database first.")
    try:
        # No reason of a failure is shown here: without the vault nobody knows the secrets that it may quote.
        found = certificate_statuses(
            declared, CaddyAdmin(settings.caddy_socket), Scrubber(), now, with_panel=settings.mode == "behind_caddy"
        )
    except Unavailable as error:
        return Finding(_NAME, "unknown", f"{error.message}.", "Fix Caddy first.")
    return judged(found, now)


def judged(found: list[CertificateStatus], now: int) -> Finding:
    """One finding of all of them; ``now`` in Unix seconds."""
    bad = [(status, *verdict) for status in found if (verdict := _verdict(status, now)) is not None]
    served = sum(status.condition != "unused" for status in found)
    if not bad:
        return Finding(_NAME, "ok", f"{served} ok." if served else "Nothing is served over TLS.")
    bad.sort(key=lambda one: one[1] != "failed")
    said = [f"{status.name} {what}" for status, _unused, what in bad[:_NAMED]]
    if len(bad) > _NAMED:
        said.append(f"and {len(bad) - _NAMED} more")
    return Finding(_NAME, bad[0][1], f"Of {served}: {'; '.join(said)}.", _advice([status for status, *_rest in bad]))


def _verdict(status: CertificateStatus, now: int) -> tuple[State, str] | None:
    """How bad it is, and what it is; None for one that is ok."""
    if status.condition == "missing":
        return _missing(status)
    until = status.not_after
    if status.condition == "unused" or until is None:
        return None
    end = to_the_minute(until)
    overdue = status.renew_at is not None and now > status.renew_at + _OVERDUE_S
    what = {
        "expired": f"expired at {end}",
        "failing": f"could not be renewed at {to_the_minute(status.failed_at or 0)} and expires at {end}",
        "expiring": f"expires at {end}, and certificate/{status.certificate} is not renewed automatically",
        "valid": f"should have been renewed after {to_the_minute(status.renew_at or 0)} and expires at {end}",
    }[status.condition]
    if status.condition == "valid" and not overdue:
        return None
    return "failed" if until - now < SOON_S else "warning", what


def _missing(status: CertificateStatus) -> tuple[State, str]:
    if status.source == "manual":
        return "failed", f"has none: Caddy does not have certificate/{status.certificate}"
    if status.error:
        return "failed", f"has none: the attempt at {to_the_minute(status.failed_at or 0)} failed"
    return "warning", "has none yet"


def _advice(bad: list[CertificateStatus]) -> str:
    parts = []
    if any(status.source == "manual" and status.condition != "missing" for status in bad):
        parts.append("Declare a newer chain with its key: argos.edge.certificate.")
    if any(status.source == "manual" and status.condition == "missing" for status in bad):
        parts.append(
            "Make sure that the secret with its key is set (argos secret list). Caddy then has it within a minute."
        )
    if any(status.source != "manual" for status in bad):
        parts.append(
            "For the reason: sudo argos certificates. For ACME, the name must point here and ports 80 and 443 be open, "
            "or the DNS provider's token must be valid."
        )
    return " ".join(parts)

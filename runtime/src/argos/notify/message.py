"""The messages: plain text, bounded, and nothing in them that opens a door (DEP-2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from argos.clock import to_the_minute
from argos.edge.model import MailEvent, MailSettings

SHOWN = 20
"""Notices that one message spells out; the others are a number."""
_SUBJECTS: dict[MailEvent, str] = {"backup_failed": "backup failed", "login_ban": "sign-in locked"}
_PAGES: dict[MailEvent, str] = {"backup_failed": "/backups", "login_ban": "/audit"}


@dataclass(frozen=True)
class Notice:
    """One that waits; ``at`` in Unix seconds, ``more`` of its event came when there was no room."""

    id: int
    at: int
    text: str
    more: int


@dataclass(frozen=True)
class Edge:
    """This guest in a message: its name, and the panel's address, empty while none is declared."""

    name: str
    url: str


def of_notices(settings: MailSettings, edge: Edge, event: MailEvent, waiting: Sequence[Notice], now: int) -> bytes:
    """One message of all that wait of ``event``, the oldest first."""
    total = sum(1 + notice.more for notice in waiting)
    lines = [f"{to_the_minute(notice.at)}: {notice.text}" for notice in waiting[:SHOWN]]
    if total > len(lines):
        lines.append(f"and {total - len(lines)} more")
    if edge.url:
        lines += ["", f"Details: {edge.url}{_PAGES[event]}"]
    subject = _SUBJECTS[event] + (f" ({total})" if total > 1 else "")
    return _message(settings, settings.recipients, edge, subject=subject, lines=lines, now=now)


def of_test(settings: MailSettings, recipients: Sequence[str], edge: Edge, now: int) -> bytes:
    """The test message."""
    lines = ["This is the test message that somebody asked for.", "E-mail from this edge arrives."]
    return _message(settings, recipients, edge, subject="test message", lines=lines, now=now)


def _message(
    settings: MailSettings, recipients: Sequence[str], edge: Edge, *, subject: str, lines: list[str], now: int
) -> bytes:
    # email.message refuses a line end in a header; the addresses were checked when they were declared.
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Argos <{settings.sender}>"
    message["To"] = ", ".join(recipients)
    message["Subject"] = f"Argos {edge.name}: {subject}"
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = make_msgid(domain=settings.sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: nobody's holiday notice answers
    footer = f"-- \nSent by Argos on {edge.name}, according to its settings.mail.\n"
    message.set_content("\n".join(lines) + f"\n\n{footer}")
    return message.as_bytes()

"""The mail that takes notices away: when it is due, what became of it, and trying the connection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.audit import Actor, Audit
from argos.clock import to_the_minute
from argos.edge.decode.mail import EVENTS, address_problem
from argos.edge.model import MailEvent, MailSettings
from argos.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from argos.named_secrets import NamedSecrets
from argos.notify import message
from argos.notify.message import Edge, Notice
from argos.notify.outbox import Outbox, mail_settings
from argos.notify.smtp import Letter, deliver
from argos.scrub import Scrubber
from argos.steps import Step
from argos.storage.engine import Storage
from argos.storage.tables import backup_runs, data_keys, mails, meta, notices

HOUR_S = 3600
PER_HOUR = 6
"""Mails of one event in an hour; what comes on top waits and goes together. No event takes another's share."""
SPACING_S = 60  # between two mails of one event, so that a burst becomes two of them
FIRST_PAUSE_S = 60  # after a failure; doubled with each that follows, up to an hour
TESTS = 5
"""Test messages in :data:`TESTS_S` seconds."""
TESTS_S = 600
MOST_MAILS = 500
"""What became of so many mails is remembered."""
BACKUP_LATE_S = 3 * 86_400
_LATE_AGAIN_S = 86_400
_LOOK_EVERY_S = 600
_LATE_TOLD = "backup_late_told"
log = logging.getLogger("argos.notify")


@dataclass(frozen=True)
class MailState:
    """How mail stands. Times are Unix seconds, None for never; ``failure`` is empty once a mail went out again.

    ``waiting`` counts notices that are not mailed yet.
    """

    declared: bool
    enabled: bool
    waiting: int
    sent_at: int | None
    failed_at: int | None
    failure: str


class Mail:
    """Mails what waits in the outbox of one database; one process does, the one that serves."""

    def __init__(  # noqa: PLR0917 - wired once, in the composition root
        self,
        storage: Storage,
        audit: Audit,
        secrets: NamedSecrets,
        scrubber: Scrubber,
        outbox: Outbox,
        edge: Callable[[], Edge],
    ) -> None:
        self._storage, self._audit, self._secrets, self._scrubber = storage, audit, secrets, scrubber
        self._outbox, self._edge = outbox, edge
        self._failed_with: tuple[MailSettings, str] | None = None
        self._backups_looked_at = 0

    def settings(self) -> MailSettings | None:
        """``settings/mail``, or None while undeclared."""
        with self._storage.read() as connection:
            return mail_settings(connection)

    def state(self) -> MailState:
        """How it stands."""
        with self._storage.read() as connection:
            settings = mail_settings(connection)
            waiting = connection.scalar(select(func.coalesce(func.sum(1 + notices.c.more), 0)))
            sent_at = connection.scalar(select(func.max(mails.c.at)).where(mails.c.state == "sent"))
            last = connection.execute(select(mails).order_by(mails.c.id.desc()).limit(1)).first()
        failed = last is not None and last.state == "failed"
        return MailState(
            declared=settings is not None,
            enabled=settings is not None and settings.enabled,
            waiting=int(waiting or 0),
            sent_at=sent_at,
            failed_at=last.at if failed and last else None,
            failure=last.reason if failed and last else "",
        )

    def test(self, actor: Actor, to: str = "", own: str = "") -> list[Step]:
        """Send the test message and tell of each step; what is declared is tried although it is switched off.

        Args:
            actor: who asks; the try is on record.
            to: one recipient instead of all that are declared.
            own: the caller's own address, allowed beside the declared ones.

        Raises:
            Conflict: no mail server is declared.
            Invalid: ``to`` is neither declared nor the caller's own: nobody relays by this edge.
            Unavailable: there were too many tests lately.
        """
        settings = self.settings()
        if settings is None or not settings.host or not settings.sender:
            raise Conflict("settings/mail: no mail server is declared; declare it with argos.edge.mail or in the panel")
        recipients = (_recipient(settings, to, own),) if to else settings.recipients
        if not recipients:
            raise Conflict("settings/mail: it names no recipients")
        now = self._storage.clock.now()
        with self._storage.write() as connection:  # counted before it is sent, so that many at once count too
            self._refuse_many_tests(connection, now)
            number = _remember(connection, now, "test", "failed", "the test did not come to its end")
        edge = self._edge()
        steps = self._deliver(settings, edge, recipients, message.of_test(settings, recipients, edge, now))
        last = steps[-1]
        with self._storage.write() as connection:
            values = {"state": "sent" if last.done else "failed", "reason": "" if last.done else _reason(last)}
            connection.execute(update(mails).where(mails.c.id == number).values(**values))
            after = {"recipients": list(recipients), "delivered": last.done, "step": last.name}
            self._audit.record(connection, actor, "mail.test", "settings/mail", None, after)
        return steps

    def send_due(self) -> None:
        """Mail what waits and is due; call it every few seconds. A failure is on record, and tried again later."""
        now = self._storage.clock.now()
        self._watch_backups(now)
        for event in EVENTS:
            with self._storage.read() as connection:
                waiting = _waiting(connection, event)
                if not waiting:
                    continue
                settings = mail_settings(connection)
                wanted = settings is not None and settings.enabled and event in settings.events
                due = wanted and _within_bounds(connection, event, now)
                resting = due and self._rests(connection, settings, now)
            if settings is None or not wanted:
                self._forget(event)
            elif due and not resting:
                self._send(settings, event, waiting, now)

    def sweep(self, _now: int) -> None:
        """Drop what is too old to be told, and what became of old mails."""
        with self._storage.write() as connection:
            self._outbox.sweep(connection)
            kept = select(mails.c.id).order_by(mails.c.id.desc()).limit(MOST_MAILS)
            connection.execute(delete(mails).where(mails.c.id.not_in(kept)))

    def _send(self, settings: MailSettings, event: MailEvent, waiting: Sequence[Notice], now: int) -> None:
        edge = self._edge()
        content = message.of_notices(settings, edge, event, waiting, now)
        last = self._deliver(settings, edge, settings.recipients, content)[-1]
        with self._storage.write() as connection:
            if last.done:
                _remember(connection, now, event, "sent", "")
                _take_away(connection, event, waiting)
            else:
                _remember(connection, now, event, "failed", _reason(last))
        self._failed_with = None if last.done else (settings, self._digest(settings))
        if not last.done:
            log.warning("a mail was not sent: %s", _reason(last))

    def _deliver(self, settings: MailSettings, edge: Edge, recipients: tuple[str, ...], content: bytes) -> list[Step]:
        password = ""
        if settings.password is not None:
            try:
                password = self._secrets.reveal(settings.password.secret)
            except NotFound as problem:
                return [Step("settings", False, problem.message)]
        letter = Letter(content, recipients, edge.name if edge.url else "localhost")
        return deliver(settings, password, letter, self._scrubber.scrub)

    def _rests(self, connection: Connection, settings: MailSettings | None, now: int) -> bool:
        """Whether the pause after failures is on; it ends at once with other settings or another password."""
        if settings is None:
            return True
        if self._failed_with is not None and self._failed_with != (settings, self._digest(settings)):
            return False
        sent = select(func.coalesce(func.max(mails.c.id), 0)).where(mails.c.state == "sent").scalar_subquery()
        failed = select(func.count(), func.max(mails.c.at)).where(mails.c.id > sent, mails.c.event != "test")
        failures, last = connection.execute(failed).one()
        return bool(failures) and 0 <= now - last < min(FIRST_PAUSE_S << min(failures - 1, 6), HOUR_S)

    def _digest(self, settings: MailSettings) -> str:
        return self._secrets.digest([settings.password.secret] if settings.password else [])

    def _watch_backups(self, now: int) -> None:
        """Note, once a day, that no backup has succeeded for long: one that never begins cannot say so itself."""
        if 0 <= now - self._backups_looked_at < _LOOK_EVERY_S:
            return
        self._backups_looked_at = now
        with self._storage.read() as connection:
            born = connection.scalar(select(func.min(data_keys.c.created_at)))
            good = connection.scalar(select(func.max(backup_runs.c.at)).where(backup_runs.c.state == "ok"))
            told = connection.scalar(select(meta.c.value).where(meta.c.key == _LATE_TOLD))
        since = good or born
        if since is None or now - since < BACKUP_LATE_S or (told and 0 <= now - int(told) < _LATE_AGAIN_S):
            return
        days = (now - since) // 86_400
        text = f"No backup has succeeded since {to_the_minute(good)}" if good else "No backup has succeeded yet"
        with self._storage.write() as connection:
            if not self._outbox.note(connection, "backup_failed", f"{text}: {days} days"):
                return
            row = {"key": _LATE_TOLD, "value": str(now)}
            statement = upsert(meta).values(**row)
            connection.execute(statement.on_conflict_do_update(index_elements=[meta.c.key], set_=row))

    def _forget(self, event: MailEvent) -> None:
        with self._storage.write() as connection:
            connection.execute(delete(notices).where(notices.c.event == event))

    def _refuse_many_tests(self, connection: Connection, now: int) -> None:
        lately = select(mails.c.at).where(mails.c.event == "test", mails.c.at.between(now - TESTS_S + 1, now))
        times = sorted(connection.scalars(lately))
        if len(times) >= TESTS:
            wait = times[-TESTS] + TESTS_S - now
            raise Unavailable(f"There were {TESTS} test messages in {TESTS_S // 60} minutes; wait {wait} s", wait)


def _remember(connection: Connection, at: int, event: str, state: str, reason: str) -> int:
    added = insert(mails).values(at=at, event=event, state=state, reason=reason).returning(mails.c.id)
    return int(connection.execute(added).scalar_one())


def _recipient(settings: MailSettings, to: str, own: str) -> str:
    allowed = [*settings.recipients, *([own] if own and address_problem(own) is None else [])]
    found = next((one for one in allowed if one.lower() == to.lower()), None)
    if found is None:
        expected = "one of settings.mail's recipients, or your own address"
        raise Invalid([FieldError("mail", "to", f"is {to[:80]!r}", expected)])
    return found


def _waiting(connection: Connection, event: MailEvent) -> list[Notice]:
    rows = connection.execute(select(notices).where(notices.c.event == event).order_by(notices.c.id))
    return [Notice(row.id, row.at, row.text, row.more) for row in rows]


def _within_bounds(connection: Connection, event: MailEvent, now: int) -> bool:
    lately = (mails.c.event == event) & (mails.c.state == "sent") & mails.c.at.between(now - HOUR_S + 1, now)
    sent, last = connection.execute(select(func.count(), func.max(mails.c.at)).where(lately)).one()
    return sent < PER_HOUR and (last is None or now - last >= SPACING_S)


def _take_away(connection: Connection, event: MailEvent, told: Sequence[Notice]) -> None:
    """Remove what was mailed; of what came on top meanwhile a notice stays, with the number."""
    last = told[-1]
    more = connection.scalar(select(notices.c.more).where(notices.c.id == last.id)) or 0
    connection.execute(delete(notices).where(notices.c.id.in_([notice.id for notice in told])))
    if more > last.more:
        left = {"at": last.at, "event": event, "text": last.text, "more": more - last.more - 1}
        connection.execute(insert(notices).values(**left))


def _reason(step: Step) -> str:
    return f"{step.name}: {step.message}"

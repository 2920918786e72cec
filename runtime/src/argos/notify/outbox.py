"""Notices that wait to be mailed: written in the transaction of what they tell of, by whichever process that is in."""

from __future__ import annotations

import logging

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from argos.accounts.throttle import Lockout
from argos.clock import Clock, to_the_minute
from argos.edge.model import MailEvent, MailSettings
from argos.notify.plain import plain
from argos.scrub import Scrubber
from argos.storage.tables import notices, resources, users

MOST_WAITING = 50
"""Notices that wait of one event; what comes on top of them is counted, and told as a number (DAT-4)."""
TEXT_LIMIT = 1024  # characters of one
OLD_S = 7 * 86_400
"""What could not be mailed for a week is no news any more."""

log = logging.getLogger("argos.notify")


class Outbox:
    """Takes notices; who writes one never waits for a mail server."""

    def __init__(self, clock: Clock, scrubber: Scrubber) -> None:
        self._clock, self._scrubber = clock, scrubber

    def note(self, connection: Connection, event: MailEvent, text: str) -> bool:
        """Let ``text`` be mailed; return whether ``settings/mail`` asks for such an event.

        Args:
            connection: of the caller's write transaction.
            event: what kind of thing happened.
            text: one sentence; known secrets are taken out of it, and what does not print is escaped.
        """
        settings = mail_settings(connection)
        if settings is None or not settings.enabled or event not in settings.events:
            return False
        waiting = select(func.count(), func.max(notices.c.id)).where(notices.c.event == event)
        count, newest = connection.execute(waiting).one()
        if count >= MOST_WAITING:
            connection.execute(update(notices).where(notices.c.id == newest).values(more=notices.c.more + 1))
            return True
        said = plain(self._scrubber.scrub(text), TEXT_LIMIT)
        connection.execute(insert(notices).values(at=self._clock.now(), event=event, text=said))
        return True

    def backup_failed(self, connection: Connection, reason: str) -> None:
        """Note that a backup failed."""
        self.note(connection, "backup_failed", f"A backup failed: {reason}")

    def locked_out(self, connection: Connection, lockout: Lockout) -> None:
        """Note that sign-in has locked somebody out, once for each lock."""
        until = to_the_minute(lockout.until)
        account = self._account(connection, lockout)
        if lockout.second_factor:
            text = f"{account} is locked from {lockout.address} until {until}, after wrong codes of its second factor"
        else:
            locked = [f"the address {lockout.address}"] if lockout.address_locked else []
            locked += [account] if lockout.account_locked else []
            last = account if lockout.address_locked and not lockout.account_locked else f"from {lockout.address}"
            verb = "are" if len(locked) > 1 else "is"
            text = f"{' and '.join(locked)} {verb} locked out until {until}; the last try was {last}"
        self.note(connection, "login_ban", text[:1].upper() + text[1:])

    def sweep(self, connection: Connection) -> int:
        """Drop what is too old to be told; return how many."""
        return connection.execute(delete(notices).where(notices.c.at < self._clock.now() - OLD_S)).rowcount

    def _account(self, connection: Connection, lockout: Lockout) -> str:
        # APPSEC: a name only where it is an account's: people type their password into that field (DEP-2). One look-up
        # in either case (LOG-2).
        known = users.c.id == lockout.user_id if lockout.user_id else users.c.username == lockout.username
        name = connection.scalar(select(users.c.username).where(known))
        return f"the account {name}" if name else "a name that no account has"


def mail_settings(connection: Connection) -> MailSettings | None:
    """``settings/mail``; None while undeclared, and for what only a later version can read.

    A notice never stops what it tells of.
    """
    query = select(resources.c.spec).where(resources.c.kind == "settings", resources.c.name == "mail")
    spec = connection.scalar(query)
    try:
        return None if spec is None else msgspec.json.decode(spec, type=MailSettings)
    except msgspec.ValidationError:
        log.warning("settings/mail cannot be read by this version")
        return None

"""The throttle of sign-in (LOG-1): 5 failures in 5 min, then 30 min without a try.

Counted per address (IPv6 by /64), and per account, so that many addresses do not
help. Kept in the database, so a restart lifts nothing. A try is counted before its
password is hashed and taken back on success, so that guesses made at the same
moment cannot pass the limit together.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from sqlalchemy import Connection, case, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.accounts.errors import TooManyFailedLogins
from argos.client_address import network_key
from argos.clock import Clock
from argos.storage.tables import login_failures

FAILURES = 5
WINDOW = 300  # seconds
BAN = 1800  # seconds
CODE_WINDOW = 900  # seconds; wrong codes of a second factor, per (user, address)
CODE_BAN = 900  # seconds
MOST_ROWS = 20_000
USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z", re.ASCII)


@dataclass(frozen=True)
class Attempt:
    """A counted try: the keys it counts under, each with the start of its window."""

    counted: tuple[tuple[str, int], ...]


class Throttle:
    """Counts tries inside the caller's transactions.

    Args:
        clock: the time bans go by.
        most_rows: how many keys are remembered; over it the oldest go, banned ones last (DAT-4).
    """

    def __init__(self, clock: Clock, *, most_rows: int = MOST_ROWS) -> None:
        self._clock = clock
        self._most_rows = most_rows

    def reserve(self, connection: Connection, address: str, username: str, device: bytes | None = None) -> Attempt:
        """Count a try as failed, before its password is looked at.

        Args:
            connection: of a write transaction, which commits before the hashing starts.
            address: the client's.
            username: as typed; an unknown one is counted like any other.
            device: hash of a device that signed this account in before; it is counted
                for itself instead of the account. The address's ban it never lifts.

        Raises:
            TooManyFailedLogins: one of the keys is banned; nothing is counted.
        """
        account = account_key(username) if device is None else "device:" + device.hex()
        return self._count(connection, ["address:" + network_key(address), account], WINDOW, BAN)

    def reserve_code(self, connection: Connection, address: str, user_id: int) -> Attempt:
        """Count a try at a second factor as failed, per (user, address): 5 in 15 min, then 15 min without one.

        Raises:
            TooManyFailedLogins: this person is locked out from this address; nothing is counted.
        """
        return self._count(connection, [f"code:{user_id}:{network_key(address)}"], CODE_WINDOW, CODE_BAN)

    def _count(self, connection: Connection, keys: list[str], window: int, ban: int) -> Attempt:
        now = self._clock.now()
        rows = {
            row.key: row for row in connection.execute(select(login_failures).where(login_failures.c.key.in_(keys)))
        }
        banned_until = max((row.banned_until for row in rows.values()), default=0)
        if banned_until > now:
            raise TooManyFailedLogins(banned_until)
        counted = []
        for key in keys:
            row = rows.get(key)
            # A window that ended, a ban that was served, or a clock that was set back: start anew.
            fresh = row is None or row.banned_until > 0 or not 0 <= now - row.window_started_at < window
            started = now if fresh or row is None else row.window_started_at
            failures = 1 if fresh or row is None else row.failures + 1
            self._store(connection, key, failures, started, now + ban if failures >= FAILURES else 0)
            counted.append((key, started))
        self._sweep(connection, now)
        return Attempt(tuple(counted))

    def refund(self, connection: Connection, attempt: Attempt) -> None:
        """Take a counted try back: it succeeded, or was never looked at.

        Earlier failures stay counted, or whoever owns one account could guess at another's for ever.
        """
        for key, started in attempt.counted:
            connection.execute(
                update(login_failures)
                .where(login_failures.c.key == key, login_failures.c.window_started_at == started)
                .where(login_failures.c.failures > 0)
                # Below the limit again, so the ban that this very try began is over.
                .values(failures=login_failures.c.failures - 1, banned_until=0)
            )

    def forget_account(self, connection: Connection, username: str) -> None:
        """Lift an account's ban: an admin has set a new password."""
        connection.execute(delete(login_failures).where(login_failures.c.key == account_key(username)))

    def sweep(self, connection: Connection) -> int:
        """Drop what counts no more; return how many rows."""
        now = self._clock.now()
        window = case((login_failures.c.key.startswith("code:"), CODE_WINDOW), else_=WINDOW)
        over = (login_failures.c.banned_until <= now) & (login_failures.c.window_started_at <= now - window)
        return connection.execute(delete(login_failures).where(over)).rowcount

    def _store(self, connection: Connection, key: str, failures: int, started: int, banned_until: int) -> None:
        values = {"failures": failures, "window_started_at": started, "banned_until": banned_until}
        statement = upsert(login_failures).values(key=key, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=[login_failures.c.key], set_=values))

    def _sweep(self, connection: Connection, now: int) -> None:
        rows = connection.scalar(select(func.count()).select_from(login_failures)) or 0
        if rows <= self._most_rows:
            return
        self.sweep(connection)
        rows = connection.scalar(select(func.count()).select_from(login_failures)) or 0
        if rows <= self._most_rows:
            return
        # A tenth more than needed, so that a flood does not pay for this on every try.
        excess = rows - self._most_rows + self._most_rows // 10
        oldest = (
            select(login_failures.c.key)
            .order_by(login_failures.c.banned_until > now, login_failures.c.window_started_at)
            .limit(excess)
        )
        connection.execute(delete(login_failures).where(login_failures.c.key.in_(oldest.scalar_subquery())))


def account_key(username: str) -> str:
    """Return the key an account's tries count under; one that can be no username is hashed, whatever its length."""
    if USERNAME.match(username):
        return "account:" + username.lower()
    return "account#" + hashlib.sha256(username.encode("utf-8", "surrogatepass")).hexdigest()

"""The throttle of sign-in (LOG-1): 5 failures in 5 min, then 30 min without a try.

Counted per address (IPv6 by /64), and per account, so that many addresses do not
help. Kept in the database, so a restart lifts nothing. A try is counted before its
password is hashed and taken back on success, so that guesses made at the same
moment cannot pass the limit together. Tries under way are known apart from failures:
more of them than the limit leaves wait for those before them, and only failures ban.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, case, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.accounts.errors import TooManyFailedLogins
from argos.client_address import network_key
from argos.clock import Clock
from argos.storage.tables import login_failures

FAILURES = 5
WINDOW = 300  # seconds
BAN = 1800  # seconds
CODE_WINDOW = 900  # seconds; wrong codes of a second factor, per (user, address), and per user from everywhere
CODE_BAN = 900  # seconds
CODE_FAILURES = 50  # of one user from all addresses together, in a window
CODE_BAN_EVERYWHERE = 3600  # seconds
MOST_ROWS = 20_000
USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z", re.ASCII)


class Crowded(Exception):
    """As many tries are under way as could all fail: one more must wait until one of them has ended."""


@dataclass(frozen=True)
class Lockout:
    """A lock that has just begun, and the try that began it; ``until`` is in Unix seconds.

    ``username`` is as somebody typed it, and may be anything; ``user_id`` is set instead where a
    second factor's codes were wrong.
    """

    address: str
    until: int
    username: str = field(default="", repr=False)
    user_id: int | None = None
    address_locked: bool = False
    account_locked: bool = False
    second_factor: bool = False


@dataclass(frozen=True)
class Attempt:
    """A counted try: the keys it counts under, each with the start of its window, and who made it."""

    counted: tuple[tuple[str, int], ...]
    address: str
    username: str = field(default="", repr=False)
    code_lockout: Lockout | None = None


class Throttle:
    """Counts tries inside the caller's transactions.

    Args:
        clock: the time bans go by.
        most_rows: how many keys are remembered; over it the oldest go, banned ones last (DAT-4).
        tell: called once for each lock that begins, in the transaction that begins it.

    ``dropped`` counts the keys that went although they still counted.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        most_rows: int = MOST_ROWS,
        tell: Callable[[Connection, Lockout], None] | None = None,
    ) -> None:
        self._clock = clock
        self._tell = tell or (lambda _connection, _lockout: None)
        self._most_rows = most_rows
        self._ended = threading.Condition()
        self._under_way: Counter[tuple[str, int]] = Counter()
        self._endings = 0
        self.dropped = 0

    def reserve(self, connection: Connection, address: str, username: str, device: bytes | None = None) -> Attempt:
        """Count a try as failed, before its password is looked at; :meth:`fail` or :meth:`refund` ends it.

        Args:
            connection: of a write transaction, which commits before the hashing starts.
            address: the client's.
            username: as typed; an unknown one is counted like any other.
            device: hash of a device that signed this account in before; it is counted
                for itself instead of the account. The address's ban it never lifts.

        Raises:
            TooManyFailedLogins: one of the keys is banned; nothing is counted.
            Crowded: it must wait its turn, see :meth:`wait`; nothing is counted.
        """
        account = account_key(username) if device is None else "device:" + device.hex()
        now, keys = self._clock.now(), ["address:" + network_key(address), account]
        rows = self._unbanned(connection, keys, now)
        counts = [_next_count(rows.get(key), now, WINDOW) for key in keys]
        if any(failures > FAILURES for failures, _unused in counts):
            raise Crowded
        for key, (failures, started) in zip(keys, counts, strict=True):
            self._store(connection, key, failures, started, 0)
        counted = tuple((key, started) for key, (_unused, started) in zip(keys, counts, strict=True))
        attempt = Attempt(counted, address, username)
        with self._ended:
            self._under_way.update(attempt.counted)
        self._sweep(connection, now)
        return attempt

    def endings(self) -> int:
        """How many tries have ended so far: what :meth:`wait` waits to grow. Ask before :meth:`reserve`."""
        with self._ended:
            return self._endings

    def wait(self, endings: int, seconds: float) -> bool:
        """Wait until a try has ended since :meth:`endings` was asked; False when ``seconds`` passed before."""
        with self._ended:
            return self._ended.wait_for(lambda: self._endings != endings, max(0.0, seconds))

    def reserve_code(self, connection: Connection, address: str, user_id: int) -> Attempt:
        """Count a try at a second factor as failed, per (user, address): 5 in 15 min, then 15 min without one.

        APPSEC: and 50 per user, then an hour without, or who has the password and an IPv6 /48, which is 65 536
        addresses to us, would find the code in an hour. Only who gave the password can shut a person out so.

        Raises:
            TooManyFailedLogins: this person is locked out, from this address or altogether; nothing is counted.
        """
        now = self._clock.now()
        limits = {
            f"code:{user_id}:{network_key(address)}": (FAILURES, CODE_BAN),
            f"code:{user_id}": (CODE_FAILURES, CODE_BAN_EVERYWHERE),
        }
        statement = select(login_failures).where(login_failures.c.key.in_(limits))
        rows = {row.key: row for row in connection.execute(statement)}
        banned_until = max((row.banned_until for row in rows.values()), default=0)
        if banned_until > now:
            raise TooManyFailedLogins(banned_until)
        counted, longest = [], 0
        for key, (most, ban) in limits.items():
            # One transaction holds count and check, so what is counted has failed unless it is taken back.
            failures, started = _next_count(rows.get(key), now, CODE_WINDOW)
            until = now + ban if failures >= most else 0
            self._store(connection, key, failures, started, until)
            counted.append((key, started))
            longest = max(longest, until)
        self._sweep(connection, now)
        lockout = Lockout(address, longest, user_id=user_id, second_factor=True) if longest else None
        return Attempt(tuple(counted), address, code_lockout=lockout)

    def fail_code(self, connection: Connection, attempt: Attempt) -> None:
        """End a try at a second factor that failed; it stays counted, and the lock that it began is told."""
        if attempt.code_lockout is not None:
            self._tell(connection, attempt.code_lockout)

    def fail(self, connection: Connection, attempt: Attempt) -> None:
        """End a try that failed: the last that the limit allows bans its keys."""
        until, locked = self._clock.now() + BAN, []
        for (key, started), under_way in self._end(attempt).items():
            banned = connection.execute(
                update(login_failures)
                .where(login_failures.c.key == key, login_failures.c.window_started_at == started)
                .where(login_failures.c.failures >= FAILURES + under_way)
                .values(banned_until=until)
            )
            if banned.rowcount:
                locked.append(key.startswith("address:"))
        if locked:
            self._tell(
                connection,
                Lockout(
                    attempt.address,
                    until,
                    attempt.username,
                    address_locked=True in locked,
                    account_locked=False in locked,
                ),
            )

    def refund(self, connection: Connection, attempt: Attempt) -> None:
        """End a try by taking it back: it succeeded, or was never looked at.

        Earlier failures stay counted, or whoever owns one account could guess at another's for ever.
        """
        self._end(attempt)
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

    def forget_codes(self, connection: Connection, user_id: int) -> None:
        """Lift the locks of a person's second factor, from every address: it was removed, and its guesses with it."""
        everywhere = f"code:{user_id}"
        theirs = (login_failures.c.key == everywhere) | login_failures.c.key.startswith(f"{everywhere}:")
        connection.execute(delete(login_failures).where(theirs))

    def sweep(self, connection: Connection) -> int:
        """Drop what counts no more; return how many rows."""
        now = self._clock.now()
        window = case(
            (login_failures.c.key.startswith("code:"), CODE_WINDOW),
            (login_failures.c.failures >= FAILURES, BAN),
            else_=WINDOW,
        )
        over = (login_failures.c.banned_until <= now) & (login_failures.c.window_started_at <= now - window)
        return connection.execute(delete(login_failures).where(over)).rowcount

    def _unbanned(self, connection: Connection, keys: list[str], now: int) -> dict[str, Row[Any]]:
        """Return the rows of the keys; raise TooManyFailedLogins when one is banned."""
        statement = select(login_failures).where(login_failures.c.key.in_(keys))
        rows = {row.key: row for row in connection.execute(statement)}
        banned_until = max((self._banned_until(row) for row in rows.values()), default=0)
        if banned_until > now:
            raise TooManyFailedLogins(banned_until)
        return rows

    def _banned_until(self, row: Row[Any]) -> int:
        if row.banned_until or row.failures < FAILURES:
            return int(row.banned_until)
        with self._ended:
            under_way = self._under_way[row.key, row.window_started_at]
        # APPSEC: counted, never taken back, and nobody is at it any more: the process ended meanwhile. They failed.
        return 0 if under_way else int(row.window_started_at) + BAN

    def _end(self, attempt: Attempt) -> dict[tuple[str, int], int]:
        """Take a try from those under way; return how many still are, by what was counted."""
        with self._ended:
            self._under_way.subtract(attempt.counted)
            left = {counted: max(0, self._under_way[counted]) for counted in attempt.counted}
            for counted, number in left.items():
                if not number:
                    del self._under_way[counted]
            self._endings += 1
            self._ended.notify_all()
        return left

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
        gone = connection.execute(delete(login_failures).where(login_failures.c.key.in_(oldest.scalar_subquery())))
        self.dropped += gone.rowcount


def _next_count(row: Row[Any] | None, now: int, window: int) -> tuple[int, int]:
    """Return what the failures become with one more, and when their window began."""
    # A window that ended, a ban that was served, or a clock that was set back: start anew.
    if row is None or row.banned_until > 0 or not 0 <= now - row.window_started_at < window:
        return 1, now
    return row.failures + 1, row.window_started_at


def account_key(username: str) -> str:
    """Return the key an account's tries count under; one that can be no username is hashed, whatever its length."""
    if USERNAME.match(username):
        return "account:" + username.lower()
    return "account#" + hashlib.sha256(username.encode("utf-8", "surrogatepass")).hexdigest()

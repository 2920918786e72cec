"""One-time links by which a person sets a password: 32 random bytes, kept as their SHA-256, 24 h, single use.

A person has one link at most: a new one replaces it, and so does any other setting of the password.
Until it is used, whatever password there was goes on.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from argos.accounts import devices
from argos.accounts.model import User
from argos.accounts.passwords import Passwords, password_problems
from argos.accounts.records import Records, row_of, user_of
from argos.accounts.throttle import Throttle
from argos.audit import Actor, Audit
from argos.epoch import EpochWriter
from argos.errors import Conflict, Invalid, NotFound
from argos.sessions.store import Sessions
from argos.sessions.tokens import new_token, token_hash
from argos.storage.engine import Storage
from argos.storage.tables import password_links, users

LIFETIME = 86400  # seconds


class PasswordLinks:
    """Makes links and takes them."""

    def __init__(  # noqa: PLR0917 - wired once, in the composition root
        self,
        storage: Storage,
        audit: Audit,
        sessions: Sessions,
        epoch: EpochWriter,
        passwords: Passwords,
        throttle: Throttle,
    ) -> None:
        self._storage = storage
        self._audit = audit
        self._sessions = sessions
        self._epoch = epoch
        self._passwords = passwords
        self._throttle = throttle
        self._records = Records(storage.clock, audit)

    def issue(self, actor: Actor, username: str) -> str:
        """Return the token of a new link; it can be read nowhere afterwards.

        Raises:
            NotFound: there is no such user.
            Conflict: the account is disabled.
        """
        token = new_token()
        with self._storage.write() as connection:
            row = row_of(connection, username)
            if row.disabled:
                raise Conflict(f"user/{row.username}: is disabled; enable it before making a link")
            forget_all(connection, row.id)
            expires_at = self._storage.clock.now() + LIFETIME
            connection.execute(
                insert(password_links).values(token_hash=token_hash(token), user_id=row.id, expires_at=expires_at)
            )
            after = {"expires_at": expires_at}
            self._audit.record(connection, actor, "user.password_link", f"user/{row.username}", after=after)
        return token

    def find(self, token: str) -> User | None:
        """Return whose password a live link sets; None when it is unknown, used, too old, or the account disabled."""
        with self._storage.read() as connection:
            row = self._row(connection, token)
        return None if row is None else user_of(row)

    def use(self, token: str, password: str, address: str) -> User:
        """Set the password by a link, which is then used up. All the person's sessions end.

        Raises:
            NotFound: the link is unknown, used, or too old.
            Invalid: the password is not allowed; the link stays good.
            Busy: too many hashes are under way; the link stays good.
        """
        user = self.find(token)
        if user is None:
            raise _Gone
        problems = password_problems(f"user/{user.username}", password)
        if problems:
            raise Invalid(problems)
        hashed = self._passwords.hash(password)
        with self._storage.write() as connection:
            row = self._row(connection, token)  # again: of two at once the second finds it used
            if row is None:
                raise _Gone
            forget_all(connection, row.id)
            self._sessions.delete_of_user(connection, row.id)
            devices.forget_all(connection, row.id)
            self._throttle.forget_account(connection, row.username)
            values = {
                "password_hash": hashed.text,
                "password_key_version": hashed.key_version,
                "must_change_password": False,
            }
            actor = Actor(kind="user", name=row.username, address=address)
            changed = self._records.update(connection, actor, "user.set_password_by_link", row, values)
        self._epoch.advance()
        return changed

    def sweep(self) -> int:
        """Drop links that are too old; return how many."""
        with self._storage.write() as connection:
            old = password_links.c.expires_at <= self._storage.clock.now()
            return connection.execute(delete(password_links).where(old)).rowcount

    def _row(self, connection: Connection, token: str) -> Row[Any] | None:
        hashed = token_hash(token)
        if hashed is None:
            return None
        return connection.execute(
            select(users)
            .join(password_links)
            .where(
                password_links.c.token_hash == hashed,
                password_links.c.expires_at > self._storage.clock.now(),
                users.c.disabled.is_(False),
            )
        ).first()


class _Gone(NotFound):
    """The link opens nothing."""

    def __init__(self) -> None:
        super().__init__("This link was used already, has been replaced, or is more than 24 hours old")


def forget_all(connection: Connection, user_id: int) -> None:
    """Make a person's links worthless."""
    connection.execute(delete(password_links).where(password_links.c.user_id == user_id))

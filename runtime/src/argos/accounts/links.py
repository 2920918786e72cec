"""One-time links by which a person sets a password: 32 random bytes, kept as their SHA-256, 24 h, single use.

A person has one link at most: a new one replaces it, and so does any other setting of the password.
Until it is used, whatever password there was goes on, unless the link came with a reset.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, select

from argos.accounts.model import User
from argos.accounts.passwords import password_problems
from argos.accounts.records import Records, row_of, user_of
from argos.audit import Actor
from argos.errors import Invalid, NotFound
from argos.sessions.tokens import token_hash
from argos.storage.tables import password_links, users


class PasswordLinks:
    """Makes links and takes them."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._storage = records.storage

    def issue(self, actor: Actor, username: str) -> str:
        """Return the token of a new link; it can be read nowhere afterwards.

        Raises:
            NotFound: there is no such user.
            Conflict: the account is disabled.
        """
        with self._storage.write() as connection:
            return self._records.issue_link(connection, actor, user_of(row_of(connection, username)))

    def reset(self, actor: Actor, username: str) -> str:
        """Take a password out of its person's hands at once, and return the token of a link to set another.

        All sign-ins end, and the old password opens nothing any more.

        Raises:
            NotFound: there is no such user.
            Conflict: the account is disabled.
        """
        with self._storage.write() as connection:
            before = row_of(connection, username)
            user = self._records.set_password(connection, actor, "user.reset_password", before, None)
            token = self._records.issue_link(connection, actor, user)
        self._records.epoch.advance()
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
        hashed = self._records.passwords.hash(password)
        with self._storage.write() as connection:
            row = self._row(connection, token)  # again: of two at once the second finds it used
            if row is None:
                raise _Gone
            actor = Actor(kind="user", name=row.username, address=address)
            changed = self._records.set_password(connection, actor, "user.set_password_by_link", row, hashed)
        self._records.epoch.advance()
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

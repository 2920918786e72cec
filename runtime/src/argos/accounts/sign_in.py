"""Checking a username and a password: one path and one cost for everybody (LOG-2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Row, select, update

from argos.accounts.devices import known_device
from argos.accounts.errors import BadCredentials, Busy
from argos.accounts.passwords import LONGEST, PasswordHash, Passwords
from argos.accounts.throttle import USERNAME, Attempt, Crowded, Throttle
from argos.storage.engine import Storage
from argos.storage.tables import users

log = logging.getLogger("argos.accounts")


class SignIn:
    """The one way from what somebody typed to an account."""

    def __init__(self, storage: Storage, passwords: Passwords, throttle: Throttle) -> None:
        self._storage = storage
        self._passwords = passwords
        self._throttle = throttle

    def check(self, username: str, password: str, address: str, device_token: str | None) -> Row[Any]:
        """Return the row of the account that these credentials are of.

        APPSEC: until the bcrypt result is known, nothing here may branch on whether the
        account exists, is disabled or has a password: each way makes the same two
        look-ups, the same two counts, one hash of the same cost and the same end.

        Raises:
            BadCredentials, TooManyFailedLogins, Busy: see :meth:`argos.accounts.Accounts.authenticate`.
        """
        with self._passwords.place():
            row, attempt = self._admit(username, address, device_token)
            try:
                right = self._passwords.verify_in_place(_limited(password), _stored(row))
            except Busy:
                self._end(self._throttle.refund, attempt)
                raise
            except BaseException:
                self._end(self._throttle.fail, attempt)
                raise
        if not right or row is None or row.disabled:
            self._end(self._throttle.fail, attempt)
            # Without the username: people type their password into that field.
            log.info("sign-in failed from %s", address)
            raise BadCredentials
        return self._succeed(row, password, attempt)

    def _admit(self, username: str, address: str, device_token: str | None) -> tuple[Row[Any] | None, Attempt]:
        """Count a try, once those before it leave room: people who sign in at the same moment wait, none is refused."""
        until = time.monotonic() + self._passwords.wait
        while True:
            endings = self._throttle.endings()
            try:
                with self._storage.write() as connection:
                    row = _look_up(connection, username)
                    now = self._storage.clock.now()
                    device = known_device(connection, row.id if row else None, device_token, now)
                    return row, self._throttle.reserve(connection, address, username, device)
            except Crowded:
                if not self._throttle.wait(endings, until - time.monotonic()):
                    raise Busy from None

    def _succeed(self, row: Row[Any], password: str, attempt: Attempt) -> Row[Any]:
        renewed = None
        if row.password_key_version != self._passwords.key_version:
            # A new version of the password key takes effect here, where the password is at hand.
            with suppress(Busy):  # then at the next sign-in
                renewed = self._passwords.hash(password)
        with self._storage.write() as connection:
            now = _look_up(connection, row.username)
            if now is not None and not now.disabled and now.password_hash == row.password_hash:
                self._throttle.refund(connection, attempt)
                if renewed is None:
                    return now
                statement = update(users).where(users.c.id == row.id).returning(*users.c)
                return connection.execute(
                    statement.values(password_hash=renewed.text, password_key_version=renewed.key_version)
                ).one()
            self._throttle.fail(connection, attempt)
        raise BadCredentials  # changed while the hash was computed

    def _end(self, how: Callable[[Connection, Attempt], None], attempt: Attempt) -> None:
        with self._storage.write() as connection:
            how(connection, attempt)


def _look_up(connection: Connection, username: str) -> Row[Any] | None:
    # A text that can be no username is looked up as the empty one: the same query, and nothing odd reaches SQLite.
    name = username if USERNAME.match(username) else ""
    return connection.execute(select(users).where(users.c.username == name)).first()


def _stored(row: Row[Any] | None) -> PasswordHash | None:
    if row is None or row.password_hash is None or row.password_key_version is None:
        return None
    return PasswordHash(row.password_hash, row.password_key_version)


def _limited(password: str) -> str:
    # No stored password is longer, so a cut one is never right; the HMAC reads no megabytes.
    return password[: LONGEST + 1]

"""Accounts: who there is, and who may change it.

Every change writes its audit row in its own transaction (DAT-3). What takes rights
away ends the person's sessions in that transaction too, and advances the epoch
after the commit and before it returns (LOG-5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.accounts import devices
from argos.accounts.errors import LastAdmin, SetupCompleted
from argos.accounts.model import Role, User
from argos.accounts.passwords import PasswordHash, Passwords, password_problems
from argos.accounts.sign_in import SignIn
from argos.accounts.throttle import USERNAME, Throttle
from argos.audit import Actor, Audit
from argos.epoch import EpochWriter
from argos.errors import Conflict, FieldError, Invalid, NotFound
from argos.sessions.store import Sessions
from argos.storage.engine import Storage
from argos.storage.tables import meta, users

SETUP_COMPLETED = "setup_completed_at"
TEXT_LIMIT = 254  # characters of name and of e-mail (RFC 5321 §4.5.3.1.3)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Accounts:
    """Makes, changes and removes accounts, and authenticates people."""

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
        self._sign_in = SignIn(storage, passwords, throttle)

    def authenticate(self, username: str, password: str, address: str, device_token: str | None = None) -> User:
        """Check a username and a password.

        Unknown user, wrong password, disabled account and one without a password
        take the same path and the same time (LOG-2); all count for the throttle (LOG-1).

        Args:
            username: as typed.
            password: as typed.
            address: the client's, from :mod:`argos.client_address`.
            device_token: the cookie of :meth:`remember_device`, if the browser sent one.

        Raises:
            BadCredentials: they are wrong.
            TooManyFailedLogins: the address or the account is banned; the password was not looked at.
            Busy: too many sign-ins at once; nothing was counted.
        """
        return _user(self._sign_in.check(username, password, address, device_token))

    def remember_device(self, user_id: int, device_token: str | None = None) -> str:
        """Note that a browser has signed this person in; return the token for its device cookie.

        Args:
            user_id: the person who just signed in.
            device_token: what the browser sent; it is kept if it is already this person's.
        """
        with self._storage.write() as connection:
            return devices.remember(connection, user_id, device_token, self._storage.clock.now())

    def first_admin(self, actor: Actor, username: str, password: str) -> User:
        """Make the first admin, who must change the password at the first sign-in.

        Works once in a database's life, also if all accounts are deleted later.

        Raises:
            SetupCompleted: it was done before.
            Conflict: there is an account of that name.
            Invalid: the username or the password is not allowed.
        """
        _check_new(username, password, "", "")
        if self.setup_completed():
            raise SetupCompleted
        hashed = self._passwords.hash(password)
        with self._storage.write() as connection:
            now = str(self._storage.clock.now())
            statement = upsert(meta).values(key=SETUP_COMPLETED, value=now).on_conflict_do_nothing()
            if connection.execute(statement).rowcount == 0:
                raise SetupCompleted
            return self._insert(connection, actor, username, "admin", hashed, must_change_password=True)

    def setup_completed(self) -> bool:
        """Tell whether the first admin was made."""
        with self._storage.read() as connection:
            return connection.scalar(select(meta.c.value).where(meta.c.key == SETUP_COMPLETED)) is not None

    def create(
        self,
        actor: Actor,
        username: str,
        role: Role = "member",
        password: str | None = None,
        *,
        name: str = "",
        email: str = "",
        must_change_password: bool = False,
    ) -> User:
        """Make an account; without a password it cannot sign in locally.

        Raises:
            Invalid: a value is not allowed; all errors at once.
            Conflict: the username is taken, in whatever case.
        """
        _check_new(username, password, name, email, role)
        hashed = None if password is None else self._passwords.hash(password)
        with self._storage.write() as connection:
            return self._insert(
                connection,
                actor,
                username,
                role,
                hashed,
                name=name,
                email=email,
                must_change_password=must_change_password,
            )

    def change_password(
        self, actor: Actor, user_id: int, current: str, new: str, *, device_token: str | None = None
    ) -> User:
        """Set one's own password, knowing the current one. All sessions end: begin a new one afterwards.

        Args:
            actor: the person, with the address that failures count for.
            user_id: whose password it is.
            current: the password of now.
            new: the password from now on.
            device_token: as for :meth:`authenticate`.

        Raises:
            NotFound: there is no such user.
            Invalid: the new password is not allowed, or is the current one.
            BadCredentials, TooManyFailedLogins, Busy: as :meth:`authenticate`, of the current password.
        """
        username = self.get_by_id(user_id).username
        problems = password_problems(f"user/{username}", new, "new_password")
        if new == current:
            problems.append(FieldError(f"user/{username}", "new_password", "is the current password", "another one"))
        if problems:
            raise Invalid(problems)
        user = self.authenticate(username, current, actor.address, device_token)
        return self._set_password(actor, "user.change_password", user.username, new, must_change=False)

    def reset_password(self, actor: Actor, username: str, new: str, *, must_change_password: bool = True) -> User:
        """Set somebody's password without knowing the old one, and lift the account's ban. All sessions end.

        Raises:
            NotFound: there is no such user.
            Invalid: the new password is not allowed.
        """
        problems = password_problems(f"user/{username}", new)
        if problems:
            raise Invalid(problems)
        self.get(username)
        return self._set_password(actor, "user.reset_password", username, new, must_change=must_change_password)

    def set_disabled(self, actor: Actor, username: str, disabled: bool) -> User:
        """Disable or enable an account; disabling ends its sessions.

        Raises:
            NotFound: there is no such user.
            LastAdmin: nobody could administer afterwards.
        """
        with self._storage.write() as connection:
            before = _row(connection, username)
            if before.disabled == disabled:
                return _user(before)
            if disabled:
                self._not_the_last_admin(connection, before)
                self._sessions.delete_of_user(connection, before.id)
            action = "user.disable" if disabled else "user.enable"
            user = self._update(connection, actor, action, before, {"disabled": disabled})
        self._epoch.advance()
        return user

    def set_role(self, actor: Actor, username: str, role: Role) -> User:
        """Give a role; the person's sessions end, up or down.

        Raises:
            NotFound: there is no such user.
            Invalid: there is no such role.
            LastAdmin: nobody could administer afterwards.
        """
        problems = _role_problems(f"user/{username}", role)
        if problems:
            raise Invalid(problems)
        with self._storage.write() as connection:
            before = _row(connection, username)
            if before.role == role:
                return _user(before)
            self._not_the_last_admin(connection, before)
            self._sessions.delete_of_user(connection, before.id)
            user = self._update(connection, actor, "user.set_role", before, {"role": role})
        self._epoch.advance()
        return user

    def delete(self, actor: Actor, username: str) -> bool:
        """Remove an account with its sessions and devices; return whether there was one.

        Raises:
            LastAdmin: nobody could administer afterwards.
        """
        with self._storage.write() as connection:
            row = connection.execute(select(users).where(users.c.username == username)).first()
            if row is None:
                return False
            self._not_the_last_admin(connection, row)
            self._sessions.delete_of_user(connection, row.id)
            devices.forget_all(connection, row.id)
            connection.execute(delete(users).where(users.c.id == row.id))
            self._audit.record(connection, actor, "user.delete", f"user/{row.username}", before=_shown(row))
        self._epoch.advance()
        return True

    def get(self, username: str) -> User:
        """Return an account by its name, in whatever case.

        Raises:
            NotFound: there is no such user.
        """
        with self._storage.read() as connection:
            return _user(_row(connection, username))

    def get_by_id(self, user_id: int) -> User:
        """Return an account by its id.

        Raises:
            NotFound: there is no such user.
        """
        with self._storage.read() as connection:
            row = connection.execute(select(users).where(users.c.id == user_id)).first()
        if row is None:
            raise NotFound(f"There is no user with id {user_id}")
        return _user(row)

    def list(self) -> list[User]:
        """Return all accounts, by name."""
        with self._storage.read() as connection:
            return [_user(row) for row in connection.execute(select(users).order_by(users.c.username))]

    def sweep(self) -> int:
        """Drop failed sign-ins that count no more; return how many."""
        with self._storage.write() as connection:
            return self._throttle.sweep(connection)

    def _set_password(self, actor: Actor, action: str, username: str, new: str, *, must_change: bool) -> User:
        hashed = self._passwords.hash(new)
        with self._storage.write() as connection:
            before = _row(connection, username)
            values = {
                "password_hash": hashed.text,
                "password_key_version": hashed.key_version,
                "must_change_password": must_change,
            }
            self._sessions.delete_of_user(connection, before.id)
            if action == "user.reset_password":
                devices.forget_all(connection, before.id)
                self._throttle.forget_account(connection, before.username)
            user = self._update(connection, actor, action, before, values)
        self._epoch.advance()
        return user

    def _insert(
        self,
        connection: Connection,
        actor: Actor,
        username: str,
        role: Role,
        hashed: PasswordHash | None,
        *,
        must_change_password: bool,
        name: str = "",
        email: str = "",
    ) -> User:
        if connection.execute(select(users.c.id).where(users.c.username == username)).first() is not None:
            raise Conflict(f"user/{username}: there is an account of that name already")
        now = self._storage.clock.now()
        row = connection.execute(
            insert(users)
            .values(
                username=username,
                name=name,
                email=email,
                role=role,
                password_hash=None if hashed is None else hashed.text,
                password_key_version=None if hashed is None else hashed.key_version,
                must_change_password=must_change_password,
                created_at=now,
                updated_at=now,
            )
            .returning(*users.c)
        ).one()
        self._audit.record(connection, actor, "user.create", f"user/{username}", after=_shown(row))
        return _user(row)

    def _update(
        self, connection: Connection, actor: Actor, action: str, before: Row[Any], values: Mapping[str, Any]
    ) -> User:
        statement = update(users).where(users.c.id == before.id)
        after = connection.execute(
            statement.values(**values, updated_at=self._storage.clock.now()).returning(*users.c)
        ).one()
        target = f"user/{before.username}"
        self._audit.record(connection, actor, action, target, before=_shown(before), after=_shown(after))
        return _user(after)

    def _not_the_last_admin(self, connection: Connection, row: Row[Any]) -> None:
        if row.role != "admin" or row.disabled:
            return
        others = connection.scalar(
            select(func.count())
            .select_from(users)
            .where(users.c.role == "admin", users.c.disabled.is_(False), users.c.id != row.id)
        )
        if not others:
            raise LastAdmin(row.username)


def _row(connection: Connection, username: str) -> Row[Any]:
    row = None
    if USERNAME.match(username):
        row = connection.execute(select(users).where(users.c.username == username)).first()
    if row is None:
        raise NotFound(f"user/{username[:64]}: there is no such user")
    return row


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        username=row.username,
        name=row.name,
        email=row.email,
        role=row.role,
        provider=row.provider,
        must_change_password=row.must_change_password,
        disabled=row.disabled,
        has_password=row.password_hash is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _shown(row: Row[Any]) -> dict[str, Any]:
    """Return what the audit keeps of an account: an allowlist, so no hash."""
    return {
        "name": row.name,
        "email": row.email,
        "role": row.role,
        "provider": row.provider,
        "must_change_password": row.must_change_password,
        "disabled": row.disabled,
        "has_password": row.password_hash is not None,
    }


def _check_new(username: str, password: str | None, name: str, email: str, role: str = "member") -> None:
    resource = f"user/{username[:64]}"
    problems = []
    if not USERNAME.match(username):
        expected = "1 to 64 of A-Z, a-z, 0-9 and '._@-', beginning with a letter or digit"
        problems.append(FieldError(resource, "username", "is not allowed", expected))
    for field, value in (("name", name), ("email", email)):
        if len(value) > TEXT_LIMIT or _CONTROL.search(value):
            expected = f"at most {TEXT_LIMIT} characters, none of them a control character"
            problems.append(FieldError(resource, field, "is not allowed", expected))
    problems += _role_problems(resource, role)
    if password is not None:
        problems += password_problems(resource, password)
    if problems:
        raise Invalid(problems)


def _role_problems(resource: str, role: str) -> list[FieldError]:
    return [] if role in {"admin", "member"} else [FieldError(resource, "role", f"is {role!r}", "admin or member")]

"""An account as it is declared: one idempotent call that makes or changes it, or says what that would do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, select

from argos.accounts import totp
from argos.accounts.passwords import PasswordHash
from argos.accounts.records import Records, check_new, refuse_last_admin, row_of, shown
from argos.accounts.throttle import USERNAME
from argos.audit import Actor
from argos.errors import FieldError, Invalid, NotFound
from argos.storage.tables import users

_SHOWN = ("name", "email", "email_verified", "role", "groups", "disabled")


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an account is to be. None leaves a field as it is, or, for a new account, at its default.

    ``update_password`` tells whether ``password`` is also set where the account exists with another one.
    ``must_change_password`` counts only when the password is set. ``second_factor`` can only be taken away: to
    have one is the person's own doing. ``link`` asks for a one-time link to set a password where the account is made.
    """

    name: str | None = None
    email: str | None = None
    role: Literal["admin", "member"] | None = None
    groups: tuple[str, ...] | None = None
    disabled: bool | None = None
    password: str | None = None
    update_password: Literal["always", "on_create"] = "always"  # noqa: S105 - when, not what
    must_change_password: bool = False
    second_factor: Literal["disabled"] | None = None
    link: Literal["on_create"] | None = None


@dataclass(frozen=True)
class Change:
    """What a call did or would do; ``before`` and ``after`` are None where there is no account.

    ``link_token`` is a new link's, where one was asked for and made; it can be read nowhere afterwards.
    """

    changed: bool
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    link_token: str | None = field(default=None, repr=False)


class People:
    """Puts and removes accounts."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._storage = records.storage
        self._passwords = records.passwords

    def put(self, actor: Actor, username: str, wanted: Wanted, *, check: bool = False, create: bool = True) -> Change:
        """Make the account what is wanted; with ``check`` only say what would change.

        A password is compared here, so that neither it nor its hash has to leave. What takes or
        gives rights ends the person's sessions before this returns (LOG-5).

        Raises:
            Invalid: a value is not allowed; all errors at once.
            NotFound: there is no such user, and with ``create=False`` none is made.
            LastAdmin: nobody could administer afterwards.
            Busy: too many passwords are being hashed.
        """
        with self._storage.read() as connection:
            seen = _find(connection, username)
        if seen is None and not create:
            raise NotFound(f"user/{username[:64]}: there is no such user")
        check_new(
            username,
            wanted.password,
            wanted.name or "",
            wanted.email or "",
            wanted.role or "member",
            wanted.groups or (),
        )
        if wanted.link is not None and wanted.password is not None:
            raise _no_link(username, "is asked for together with a password", "a link or a password")
        sets_password = self._sets_password(seen, wanted)
        if check:
            with self._storage.read() as connection:
                return self._plan(connection, _find(connection, username), username, wanted, sets_password)[0]
        hashed = self._passwords.hash(wanted.password) if sets_password and wanted.password is not None else None
        with self._storage.write() as connection:
            row = _find(connection, username) if create else row_of(connection, username)
            change, values = self._plan(connection, row, username, wanted, sets_password)
            if row is None:
                change = replace(change, link_token=self._make(connection, actor, username, values, hashed, wanted))
            elif change.changed:
                self._write(connection, actor, row, values, hashed, wanted)
        if change.changed and row is not None:
            self._records.epoch.advance()  # also for an e-mail: rules may name it, and the gate holds answers
        return change

    def remove(self, actor: Actor, username: str, *, check: bool = False) -> Change:
        """Remove an account, if there is one, with its sessions and devices.

        Raises:
            LastAdmin: nobody could administer afterwards.
        """
        with self._storage.read() if check else self._storage.write() as connection:
            row = _find(connection, username)
            if row is None:
                return Change(False, None, None)
            change = Change(True, _public(connection, row), None)
            if check:
                refuse_last_admin(connection, row)
                return change
            self._records.delete(connection, actor, row)
        self._records.epoch.advance()
        return change

    def _sets_password(self, row: Row[Any] | None, wanted: Wanted) -> bool:
        if wanted.password is None:
            return False
        if row is None:
            return True
        if wanted.update_password == "on_create":  # noqa: S105
            return False
        if row.password_hash is None or row.password_key_version is None:
            return True
        return not self._passwords.verify(wanted.password, PasswordHash(row.password_hash, row.password_key_version))

    def _plan(
        self, connection: Connection, row: Row[Any] | None, username: str, wanted: Wanted, sets_password: bool
    ) -> tuple[Change, dict[str, Any]]:
        declared: dict[str, Any] = {
            field: getattr(wanted, field) for field in ("name", "email", "role", "disabled") if _given(wanted, field)
        }
        if wanted.email is not None:
            declared["email_verified"] = bool(wanted.email)  # an administrator's word
        if wanted.groups is not None:
            declared["groups"] = sorted(set(wanted.groups))
        if row is None and wanted.link is not None and wanted.disabled:
            raise _no_link(username, "is asked for with a disabled account", "an enabled account")
        before = None if row is None else _public(connection, row)
        held = before or {
            "username": username,
            "name": "",
            "email": "",
            "email_verified": False,
            "role": "member",
            "groups": [],
            "disabled": False,
            "password": "none",
            "second_factor": "disabled",
        }
        after = {**held, **declared}
        values = {field: after[field] for field in _SHOWN if row is None or after[field] != held[field]}
        if sets_password:
            after["password"] = "set anew" if held["password"] == "set" else "set"  # noqa: S105 - a word, not a value
        if row is not None and (values.get("role") == "member" or values.get("disabled")):
            refuse_last_admin(connection, row)
        if wanted.second_factor is not None:
            after["second_factor"] = wanted.second_factor
        changed = bool(values) or sets_password or after["second_factor"] != held["second_factor"]
        return Change(row is None or changed, before, after), values

    def _make(  # noqa: PLR0917
        self,
        connection: Connection,
        actor: Actor,
        username: str,
        values: dict[str, Any],
        hashed: PasswordHash | None,
        wanted: Wanted,
    ) -> str | None:
        must_change = wanted.must_change_password and hashed is not None
        user = self._records.insert(
            connection, actor, username, hashed=hashed, must_change_password=must_change, **values
        )
        return None if wanted.link is None else self._records.issue_link(connection, actor, user)

    def _write(  # noqa: PLR0917
        self,
        connection: Connection,
        actor: Actor,
        row: Row[Any],
        values: dict[str, Any],
        hashed: PasswordHash | None,
        wanted: Wanted,
    ) -> None:
        if "groups" in values:
            values["groups"] = msgspec.json.encode(values["groups"]).decode()
        if wanted.second_factor is not None:
            self._records.remove_second_factor(connection, actor, row)
        if hashed is not None:
            must_change = wanted.must_change_password
            self._records.set_password(connection, actor, "user.update", row, hashed, values, must_change=must_change)
        elif values:
            if values.keys() & {"role", "groups"} or values.get("disabled"):
                self._records.sessions.delete_of_user(connection, row.id)
            self._records.update(connection, actor, "user.update", row, values)


def _no_link(username: str, problem: str, expected: str) -> Invalid:
    return Invalid([FieldError(f"user/{username}", "link", problem, expected)])


def _given(wanted: Wanted, field: str) -> bool:
    return getattr(wanted, field) is not None


def _find(connection: Connection, username: str) -> Row[Any] | None:
    if not USERNAME.match(username):
        return None
    return connection.execute(select(users).where(users.c.username == username)).first()


def _public(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    everything = shown(row)
    return {
        "username": row.username,
        **{field: everything[field] for field in _SHOWN},
        "password": "set" if row.password_hash is not None else "none",
        "second_factor": "enabled" if totp.enabled(connection, row.id) else "disabled",
    }

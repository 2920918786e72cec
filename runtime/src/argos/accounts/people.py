"""An account as it is declared: one idempotent call that makes or changes it, or says what that would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, delete, select

from argos.accounts import devices, links
from argos.accounts.passwords import PasswordHash, Passwords
from argos.accounts.records import Records, check_new, refuse_last_admin, shown
from argos.accounts.throttle import USERNAME, Throttle
from argos.audit import Actor, Audit
from argos.epoch import EpochWriter
from argos.sessions.store import Sessions
from argos.storage.engine import Storage
from argos.storage.tables import users

_SHOWN = ("name", "email", "email_verified", "role", "groups", "disabled")


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an account is to be. None leaves a field as it is, or, for a new account, at its default.

    ``update_password`` tells whether ``password`` is also set where the account exists with another one.
    ``must_change_password`` counts only when the password is set.
    """

    name: str | None = None
    email: str | None = None
    role: Literal["admin", "member"] | None = None
    groups: tuple[str, ...] | None = None
    disabled: bool | None = None
    password: str | None = None
    update_password: Literal["always", "on_create"] = "always"  # noqa: S105 - when, not what
    must_change_password: bool = False


@dataclass(frozen=True)
class Change:
    """What a call did or would do; ``before`` and ``after`` are None where there is no account."""

    changed: bool
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class People:
    """Puts and removes accounts."""

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

    def put(self, actor: Actor, username: str, wanted: Wanted, *, check: bool = False) -> Change:
        """Make the account what is wanted; with ``check`` only say what would change.

        A password is compared here, so that neither it nor its hash has to leave. What takes or
        gives rights ends the person's sessions before this returns (LOG-5).

        Raises:
            Invalid: a value is not allowed; all errors at once.
            LastAdmin: nobody could administer afterwards.
            Busy: too many passwords are being hashed.
        """
        check_new(
            username,
            wanted.password,
            wanted.name or "",
            wanted.email or "",
            wanted.role or "member",
            wanted.groups or (),
        )
        with self._storage.read() as connection:
            seen = _find(connection, username)
        sets_password = self._sets_password(seen, wanted)
        if check:
            with self._storage.read() as connection:
                return self._plan(connection, _find(connection, username), username, wanted, sets_password)[0]
        hashed = self._passwords.hash(wanted.password) if sets_password and wanted.password is not None else None
        with self._storage.write() as connection:
            row = _find(connection, username)
            change, values = self._plan(connection, row, username, wanted, sets_password)
            if change.changed:
                self._write(connection, actor, row, username, values, hashed, wanted)
        if change.changed and row is not None:
            self._epoch.advance()  # also for an e-mail: rules may name it, and the gate holds answers
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
            refuse_last_admin(connection, row)
            change = Change(True, _public(row), None)
            if check:
                return change
            self._sessions.delete_of_user(connection, row.id)
            devices.forget_all(connection, row.id)
            links.forget_all(connection, row.id)
            connection.execute(delete(users).where(users.c.id == row.id))
            self._audit.record(connection, actor, "user.delete", f"user/{row.username}", before=shown(row))
        self._epoch.advance()
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
        before = None if row is None else _public(row)
        held = before or {
            "username": username,
            "name": "",
            "email": "",
            "email_verified": False,
            "role": "member",
            "groups": [],
            "disabled": False,
            "password": "none",
        }
        after = {**held, **declared}
        values = {field: after[field] for field in _SHOWN if row is None or after[field] != held[field]}
        if sets_password:
            after["password"] = "set anew" if held["password"] == "set" else "set"  # noqa: S105 - a word, not a value
        if row is not None and (values.get("role") == "member" or values.get("disabled")):
            refuse_last_admin(connection, row)
        return Change(row is None or bool(values) or sets_password, before, after), values

    def _write(  # noqa: PLR0917
        self,
        connection: Connection,
        actor: Actor,
        row: Row[Any] | None,
        username: str,
        values: dict[str, Any],
        hashed: PasswordHash | None,
        wanted: Wanted,
    ) -> None:
        must_change = wanted.must_change_password and hashed is not None
        if row is None:
            self._records.insert(connection, actor, username, hashed=hashed, must_change_password=must_change, **values)
            return
        if hashed is not None or values.keys() & {"role", "groups"} or values.get("disabled"):
            self._sessions.delete_of_user(connection, row.id)
        if hashed is not None:
            values |= {
                "password_hash": hashed.text,
                "password_key_version": hashed.key_version,
                "must_change_password": must_change,
            }
            devices.forget_all(connection, row.id)
            links.forget_all(connection, row.id)
            self._throttle.forget_account(connection, row.username)
        if "groups" in values:
            values["groups"] = msgspec.json.encode(values["groups"]).decode()
        self._records.update(connection, actor, "user.update", row, values)


def _given(wanted: Wanted, field: str) -> bool:
    return getattr(wanted, field) is not None


def _find(connection: Connection, username: str) -> Row[Any] | None:
    if not USERNAME.match(username):
        return None
    return connection.execute(select(users).where(users.c.username == username)).first()


def _public(row: Row[Any]) -> dict[str, Any]:
    everything = shown(row)
    password = "set" if row.password_hash is not None else "none"
    return {"username": row.username, **{field: everything[field] for field in _SHOWN}, "password": password}

"""The rows of accounts: what is checked before one is written, and the audit row beside each change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from argos.accounts import groups as group_names
from argos.accounts.errors import LastAdmin
from argos.accounts.model import Role, User
from argos.accounts.passwords import PasswordHash, password_problems
from argos.accounts.throttle import USERNAME
from argos.audit import Actor, Audit
from argos.clock import Clock
from argos.errors import Conflict, FieldError, Invalid, NotFound
from argos.sessions.tokens import credential_mark
from argos.storage.tables import users

MOST_PEOPLE = 10_000  # accounts (DAT-4): a provider that sends ever new people fills no disk
TEXT_LIMIT = 254  # characters of name and of e-mail (RFC 5321 §4.5.3.1.3)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class Records:
    """Inserts and updates inside the caller's transaction, each with its audit row (DAT-3)."""

    def __init__(self, clock: Clock, audit: Audit) -> None:
        self._clock = clock
        self._audit = audit

    def insert(
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
        email_verified: bool = False,
        groups: Sequence[str] = (),
        disabled: bool = False,
    ) -> User:
        """Add an account.

        Raises:
            Conflict: the username is taken, in whatever case.
        """
        if connection.execute(select(users.c.id).where(users.c.username == username)).first() is not None:
            raise Conflict(f"user/{username}: there is an account of that name already")
        refuse_too_many(connection)
        now = self._clock.now()
        row = connection.execute(
            insert(users)
            .values(
                username=username,
                name=name,
                email=email,
                email_verified=bool(email) and email_verified,
                role=role,
                groups=msgspec.json.encode(groups).decode(),
                disabled=disabled,
                password_hash=None if hashed is None else hashed.text,
                password_key_version=None if hashed is None else hashed.key_version,
                must_change_password=must_change_password,
                created_at=now,
                updated_at=now,
            )
            .returning(*users.c)
        ).one()
        self._audit.record(connection, actor, "user.create", f"user/{username}", after=shown(row))
        return user_of(row)

    def update(
        self, connection: Connection, actor: Actor, action: str, before: Row[Any], values: Mapping[str, Any]
    ) -> User:
        """Change columns of an account."""
        statement = update(users).where(users.c.id == before.id)
        after = connection.execute(statement.values(**values, updated_at=self._clock.now()).returning(*users.c)).one()
        target = f"user/{before.username}"
        self._audit.record(connection, actor, action, target, before=shown(before), after=shown(after))
        return user_of(after)


def row_of(connection: Connection, username: str) -> Row[Any]:
    """Return an account's row.

    Raises:
        NotFound: there is no such user.
    """
    row = None
    if USERNAME.match(username):
        row = connection.execute(select(users).where(users.c.username == username)).first()
    if row is None:
        raise NotFound(f"user/{username[:64]}: there is no such user")
    return row


def user_of(row: Row[Any]) -> User:
    """Return the account of a row."""
    return User(
        id=row.id,
        username=row.username,
        name=row.name,
        email=row.email,
        email_verified=row.email_verified,
        role=row.role,
        groups=msgspec.json.decode(row.groups, type=tuple[str, ...]),
        provider=row.provider,
        must_change_password=row.must_change_password,
        disabled=row.disabled,
        has_password=row.password_hash is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        credential=credential_mark(row.password_hash),
    )


def shown(row: Row[Any]) -> dict[str, Any]:
    """Return what the audit keeps of an account: an allowlist, so no hash."""
    return {
        "name": row.name,
        "email": row.email,
        "email_verified": row.email_verified,
        "role": row.role,
        "groups": msgspec.json.decode(row.groups),
        "provider": row.provider,
        "must_change_password": row.must_change_password,
        "disabled": row.disabled,
        "has_password": row.password_hash is not None,
    }


def refuse_too_many(connection: Connection) -> None:
    """Refuse one account more than :data:`MOST_PEOPLE`.

    Raises:
        Conflict: there are that many.
    """
    if (connection.scalar(select(func.count()).select_from(users)) or 0) >= MOST_PEOPLE:
        raise Conflict(f"There are {MOST_PEOPLE} accounts already; remove some first")


def refuse_last_admin(connection: Connection, row: Row[Any]) -> None:
    """Refuse to lose the account of ``row`` as an admin when it is the last enabled one.

    Raises:
        LastAdmin: it is.
    """
    if row.role != "admin" or row.disabled:
        return
    others = connection.scalar(
        select(func.count())
        .select_from(users)
        .where(users.c.role == "admin", users.c.disabled.is_(False), users.c.id != row.id)
    )
    if not others:
        raise LastAdmin(row.username)


def check_new(  # noqa: PLR0917 - an account's fields, in the order of the form
    username: str, password: str | None, name: str, email: str, role: str = "member", groups: Sequence[str] = ()
) -> None:
    """Check everything about an account at once.

    Raises:
        Invalid: with every problem found.
    """
    resource = f"user/{username[:64]}"
    problems = []
    if not USERNAME.match(username):
        expected = "1 to 64 of A-Z, a-z, 0-9 and '._@-', beginning with a letter or digit"
        problems.append(FieldError(resource, "username", "is not allowed", expected))
    for field, value in (("name", name), ("email", email)):
        if len(value) > TEXT_LIMIT or _CONTROL.search(value):
            expected = f"at most {TEXT_LIMIT} characters, none of them a control character"
            problems.append(FieldError(resource, field, "is not allowed", expected))
        elif field == "email" and value and not _EMAIL.fullmatch(value):
            problems.append(
                FieldError(
                    resource, field, "is not an e-mail address", "an address such as alice@home.example, or nothing"
                )
            )
    problems += role_problems(resource, role)
    problems += group_problems(resource, groups)
    if password is not None:
        problems += password_problems(resource, password)
    if problems:
        raise Invalid(problems)


def role_problems(resource: str, role: str) -> list[FieldError]:
    """Return what is wrong with a role."""
    return [] if role in {"admin", "member"} else [FieldError(resource, "role", f"is {role!r}", "admin or member")]


def group_problems(resource: str, groups: Sequence[str]) -> list[FieldError]:
    """Return what is wrong with a person's groups."""
    if len(set(groups)) > group_names.MOST:
        return [FieldError(resource, "groups", f"are {len(set(groups))}", f"at most {group_names.MOST}")]
    return [
        FieldError(resource, "groups", f"name {group[:80]!r}", group_names.EXPECTED)
        for group in groups
        if not group_names.GROUP.match(group)
    ]

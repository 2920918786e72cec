"""The rows of accounts: what is checked before one is written, what goes with a change, and the audit row beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from argos.accounts import devices, recovery_codes, totp
from argos.accounts import groups as group_names
from argos.accounts.errors import LastAdmin
from argos.accounts.model import Role, User
from argos.accounts.passwords import PasswordHash, Passwords, password_problems
from argos.accounts.throttle import USERNAME, Throttle
from argos.audit import Actor, Audit
from argos.epoch import EpochWriter
from argos.errors import Conflict, FieldError, Invalid, NotFound
from argos.sessions.store import Sessions
from argos.sessions.tokens import credential_mark, new_token, token_hash
from argos.storage.engine import Storage
from argos.storage.tables import password_links, users

MOST_PEOPLE = 10_000  # accounts (DAT-4): a provider that sends ever new people fills no disk
LINK_LIFETIME = 86400  # seconds
TEXT_LIMIT = 254  # characters of name and of e-mail (RFC 5321 §4.5.3.1.3)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True)
class Records:
    """Accounts' rows, and all that a change of one has to reach.

    Each method works inside the caller's transaction and writes its audit row there (DAT-3). After the
    commit, the caller advances the epoch before it returns (LOG-5).
    """

    storage: Storage
    audit: Audit
    sessions: Sessions
    epoch: EpochWriter
    passwords: Passwords
    throttle: Throttle

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
        provider: str = "local",
    ) -> User:
        """Add an account.

        Raises:
            Conflict: the username is taken, in whatever case.
        """
        if connection.execute(select(users.c.id).where(users.c.username == username)).first() is not None:
            raise Conflict(f"user/{username}: there is an account of that name already")
        refuse_too_many(connection)
        now = self.storage.clock.now()
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
                provider=provider,
                **_stored(hashed),
                must_change_password=must_change_password,
                created_at=now,
                updated_at=now,
            )
            .returning(*users.c)
        ).one()
        self.audit.record(connection, actor, "user.create", f"user/{username}", after=shown(row))
        return user_of(row)

    def update(
        self, connection: Connection, actor: Actor, action: str, before: Row[Any], values: Mapping[str, Any]
    ) -> User:
        """Change columns of an account."""
        statement = update(users).where(users.c.id == before.id)
        after = connection.execute(
            statement.values(**values, updated_at=self.storage.clock.now()).returning(*users.c)
        ).one()
        target = f"user/{before.username}"
        self.audit.record(connection, actor, action, target, before=shown(before), after=shown(after))
        return user_of(after)

    def set_password(  # noqa: PLR0917
        self,
        connection: Connection,
        actor: Actor,
        action: str,
        before: Row[Any],
        hashed: PasswordHash | None,
        values: Mapping[str, Any] | None = None,
        *,
        must_change: bool = False,
        own: bool = False,
    ) -> User:
        """Set a password. The person's sign-ins and one-time links end with the old one.

        Args:
            connection: of a write transaction.
            actor: who sets it.
            action: what the record calls it.
            before: the account's row.
            hashed: the new password's; None: there is none from now on.
            values: other columns that change with it.
            must_change: the person must choose another at the next sign-in.
            own: by the person, who knew the old one. Else it was taken out of their hands: their known
                devices are forgotten too, and the account's ban is lifted.
        """
        self.sessions.delete_of_user(connection, before.id)
        forget_links(connection, before.id)
        if not own:
            devices.forget_all(connection, before.id)
            self.throttle.forget_account(connection, before.username)
        changed = {**(values or {}), **_stored(hashed), "must_change_password": must_change}
        return self.update(connection, actor, action, before, changed)

    def remove_second_factor(self, connection: Connection, actor: Actor, row: Row[Any]) -> bool:
        """Remove the second factor of who has lost it; return whether there was one.

        All sign-ins end, half-signed-in ones too, and the lock that wrong codes have brought.
        """
        if not totp.enabled(connection, row.id):
            return False
        totp.remove(connection, row.id)
        recovery_codes.remove(connection, row.id)
        self.throttle.forget_codes(connection, row.id)
        after = {"sessions_ended": self.sessions.delete_of_user(connection, row.id)}
        self.audit.record(connection, actor, "second_factor.disable", f"user/{row.username}", after=after)
        return True

    def issue_link(self, connection: Connection, actor: Actor, user: User) -> str:
        """Return the token of a new one-time link to set a password; it can be read nowhere afterwards.

        Raises:
            Conflict: the account is disabled.
        """
        if user.disabled:
            raise Conflict(f"user/{user.username}: is disabled; enable it before making a link")
        forget_links(connection, user.id)
        token, expires_at = new_token(), self.storage.clock.now() + LINK_LIFETIME
        connection.execute(
            insert(password_links).values(token_hash=token_hash(token), user_id=user.id, expires_at=expires_at)
        )
        after = {"expires_at": expires_at}
        self.audit.record(connection, actor, "user.password_link", f"user/{user.username}", after=after)
        return token

    def delete(self, connection: Connection, actor: Actor, row: Row[Any]) -> None:
        """Remove an account with its sign-ins, devices and links.

        Raises:
            LastAdmin: nobody could administer afterwards.
        """
        refuse_last_admin(connection, row)
        self.sessions.delete_of_user(connection, row.id)
        devices.forget_all(connection, row.id)
        forget_links(connection, row.id)
        connection.execute(delete(users).where(users.c.id == row.id))
        self.audit.record(connection, actor, "user.delete", f"user/{row.username}", before=shown(row))


def _stored(hashed: PasswordHash | None) -> dict[str, Any]:
    return {
        "password_hash": None if hashed is None else hashed.text,
        "password_key_version": None if hashed is None else hashed.key_version,
    }


def forget_links(connection: Connection, user_id: int) -> None:
    """Make a person's one-time links worthless."""
    connection.execute(delete(password_links).where(password_links.c.user_id == user_id))


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
    if is_last_admin(connection, row):
        raise LastAdmin(row.username)


def is_last_admin(connection: Connection, row: Row[Any]) -> bool:
    """Whether nobody could administer without the account of ``row``."""
    if row.role != "admin" or row.disabled:
        return False
    others = connection.scalar(
        select(func.count())
        .select_from(users)
        .where(users.c.role == "admin", users.c.disabled.is_(False), users.c.id != row.id)
    )
    return not others


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

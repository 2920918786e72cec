"""From (issuer, sub) to an account: finding, linking, making, and keeping groups and role as the provider says."""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from argos.accounts.records import Records, is_last_admin
from argos.audit import Actor
from argos.errors import Conflict, NotFound
from argos.oidc.break_glass import PROVIDER
from argos.oidc.errors import NotAllowed
from argos.oidc.policy import Arrival
from argos.storage.tables import oidc_identities, resources, sessions, users

_NOT_IN_USERNAME = re.compile(r"[^A-Za-z0-9._@-]+")
_USERNAME_LIMIT = 64
RESERVED = frozenset(
    {"admin", "administrator", "anonymous", "ansible", "argos", "argos-caddy", "argos-gate", "caddy", "crowdsec"}
    | {"daemon", "everyone", "guest", "hostmaster", "nobody", "oidc", "operator", "owner", "postmaster", "root"}
    | {"security", "superuser", "support", "sysadmin", "system", "user", "webmaster"}
)
"""Names that mean somebody to upstreams, to mail or to us; a provider's newcomer gets none of them."""


class Identities:
    """Keeps who a provider's people are here. An e-mail never leads to an account: only (issuer, sub) does."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._storage = records.storage
        self._audit = records.audit
        self._sessions = records.sessions
        self._epoch = records.epoch

    def arrive(self, issuer: str, arrival: Arrival, address: str, *, provision: bool) -> tuple[int, str]:
        """Return id and name of the arrival's account, making it where the operator allows that.

        Raises:
            NotAllowed: there is none and none is made, or it is disabled.
        """
        with self._storage.write() as connection:
            row = self._known(connection, issuer, arrival.subject)
            if row is not None and row.disabled:
                raise NotAllowed("Your account here is disabled.")
            if row is None and not provision:
                raise NotAllowed(
                    "There is no account here for you yet. If you have one, sign in with its password and link it in "
                    "your profile; else ask the administrator."
                )
            changed = False
            if row is None:
                row = self._make(connection, issuer, arrival, address)
            elif row.provider == PROVIDER:
                row, changed = self._keep_up(connection, row, arrival, address)
        if changed:
            self._epoch.advance()
        return row.id, row.username

    def link(self, actor: Actor, issuer: str, arrival: Arrival, user_id: int, session_id: int) -> str:
        """Tie the arrival to the account of the signed-in person who asked for it; return the account's name.

        Raises:
            Conflict: it is tied to another account, or that sign-in has ended.
        """
        with self._storage.write() as connection:
            asked = connection.execute(
                select(users.c.username)
                .join(sessions)
                .where(sessions.c.id == session_id, sessions.c.user_id == user_id, sessions.c.assurance == "full")
            ).first()
            try:
                self._sessions.require_live(connection, session_id)
            except NotFound:
                asked = None
            if asked is None:
                raise Conflict("The sign-in from which you began linking has ended. Sign in and begin again.")
            known = self._known(connection, issuer, arrival.subject)
            if known is not None and known.id != user_id:
                raise Conflict("This account of the provider is linked to another account here.")
            if known is None:
                self._tie(connection, actor, issuer, arrival.subject, user_id, asked.username)
        return str(asked.username)

    def unlink(self, actor: Actor, user_id: int) -> int:
        """Untie an account from the provider and end the sign-ins that came from it; return how many ties there were.

        Whoever holds the account at the provider is somebody whom this person no longer believes: what they
        have signed in already must not go on (LOG-5). Sign-ins with the password stay.

        Raises:
            Conflict: it has no password, and nobody could enter it any more.
        """
        with self._storage.write() as connection:
            row = connection.execute(select(users).where(users.c.id == user_id)).first()
            if row is None:
                return 0
            if row.password_hash is None:
                raise Conflict(f"user/{row.username}: has no password; set one before unlinking the provider")
            gone = connection.execute(delete(oidc_identities).where(oidc_identities.c.user_id == user_id)).rowcount
            if gone:
                theirs = (sessions.c.user_id == user_id) & (sessions.c.provider == PROVIDER)
                ended = connection.execute(delete(sessions).where(theirs)).rowcount
                target, after = f"user/{row.username}", {"links": 0, "sessions_ended": ended}
                self._audit.record(connection, actor, "oidc.unlink", target, before={"links": gone}, after=after)
        if gone:
            self._epoch.advance()
        return gone

    def is_tied(self, issuer: str, user_id: int, subject: str | None = None) -> bool:
        """Whether an account is tied to ``issuer``, and, if given, to that very person there."""
        with self._storage.read() as connection:
            return self.is_tied_within(connection, issuer, user_id, subject)

    def is_tied_within(self, connection: Connection, issuer: str, user_id: int, subject: str | None = None) -> bool:
        """As :meth:`is_tied`, inside the caller's transaction."""
        wanted = [oidc_identities.c.issuer == issuer, oidc_identities.c.user_id == user_id]
        if subject is not None:
            wanted.append(oidc_identities.c.subject == subject)
        return bool(connection.scalar(select(func.count()).select_from(oidc_identities).where(*wanted)))

    def is_linked(self, user_id: int) -> bool:
        """Whether an account is tied to a provider."""
        with self._storage.read() as connection:
            query = select(func.count()).select_from(oidc_identities).where(oidc_identities.c.user_id == user_id)
            return bool(connection.scalar(query))

    def _known(self, connection: Connection, issuer: str, subject: str) -> Row[Any] | None:
        return connection.execute(
            select(users)
            .join(oidc_identities)
            .where(oidc_identities.c.issuer == issuer, oidc_identities.c.subject == subject)
        ).first()

    def _tie(  # noqa: PLR0917 - one row
        self, connection: Connection, actor: Actor, issuer: str, subject: str, user_id: int, name: str
    ) -> None:
        now = self._storage.clock.now()
        connection.execute(
            insert(oidc_identities).values(issuer=issuer, subject=subject, user_id=user_id, created_at=now)
        )
        after = {"issuer": issuer, "subject": subject}
        self._audit.record(connection, actor, "oidc.link", f"user/{name}", after=after)

    def _make(self, connection: Connection, issuer: str, arrival: Arrival, address: str) -> Row[Any]:
        actor = Actor("system", PROVIDER, address)
        user = self._records.insert(
            connection,
            actor,
            _free_username(connection, arrival.username_hint),
            "admin" if arrival.is_admin else "member",
            None,
            must_change_password=False,
            name=arrival.name,
            email=arrival.email,
            email_verified=arrival.email_verified,
            groups=arrival.groups or (),
            provider=PROVIDER,
        )
        self._tie(connection, actor, issuer, arrival.subject, user.id, user.username)
        return connection.execute(select(users).where(users.c.id == user.id)).one()

    def _keep_up(self, connection: Connection, row: Row[Any], arrival: Arrival, address: str) -> tuple[Row[Any], bool]:
        """Bring an account that the provider made up to date; whether rights changed, and its sign-ins thus ended."""
        wanted: dict[str, Any] = {
            "name": arrival.name or row.name,
            "email": arrival.email,
            "email_verified": arrival.email_verified,
        }
        if arrival.groups is not None:
            wanted["groups"] = json.dumps(list(arrival.groups))
        if arrival.is_admin is not None:
            wanted["role"] = "admin" if arrival.is_admin or is_last_admin(connection, row) else "member"
        held = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
        before = {name: held[name] for name, value in wanted.items() if held[name] != value}
        if not before:
            return row, False
        after = {name: wanted[name] for name in before}
        actor = Actor("system", PROVIDER, address)
        self._audit.record(connection, actor, "user.update", f"user/{row.username}", before=before, after=after)
        statement = update(users).where(users.c.id == row.id).returning(*users.c)
        row = connection.execute(statement.values(**after, updated_at=self._storage.clock.now())).one()
        # Rules may name e-mails too, so any of these is a change of rights (LOG-5).
        rights = bool({"role", "groups", "email", "email_verified"} & before.keys())
        if rights:
            self._sessions.delete_of_user(connection, row.id)
        return row, rights


def _free_username(connection: Connection, hint: str) -> str:
    """Return a name for a newcomer that nobody has, and that gives them nothing.

    APPSEC: at many providers people choose their ``preferred_username``. An upstream may know ``admin`` for its
    administrator, and a host's rule may name a person who has no account yet, or none any more: to become them,
    whoever wants to would only have to come first.
    """
    wanted = _NOT_IN_USERNAME.sub("-", hint).strip("._@-")[: _USERNAME_LIMIT - 6] or "person"
    for number in range(1, 10_000):
        candidate = wanted if number == 1 else f"{wanted}-{number}"
        if candidate.lower() not in RESERVED and not _is_taken_or_named(connection, candidate):
            return candidate
    raise Conflict("No free user name could be found for this account.")


def _is_taken_or_named(connection: Connection, username: str) -> bool:
    """Whether somebody has this name, or a declared host's rule lists it; ASCII case aside, as the gate compares."""
    if connection.execute(select(users.c.id).where(users.c.username == username)).first() is not None:
        return True
    listed = func.json_each(resources.c.spec, "$.auth.users").table_valued("value", joins_implicitly=True)
    named = select(resources.c.name).where(resources.c.kind == "host", func.lower(listed.c.value) == username.lower())
    return connection.execute(named).first() is not None

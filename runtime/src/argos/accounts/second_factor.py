"""The second factor: set up, proved, renewed, switched off. Each step is one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from argos.accounts import recovery_codes, totp
from argos.accounts.errors import WrongCode
from argos.accounts.records import Records
from argos.audit import Actor
from argos.errors import Conflict
from argos.sessions.model import IssuedSession, Session
from argos.storage.tables import totp as totp_table
from argos.vault import Vault


@dataclass(frozen=True)
class Status:
    """Whether a person has a second factor, and how many recovery codes are unused."""

    enabled: bool
    codes_left: int


@dataclass(frozen=True)
class Enabled:
    """What a confirmed set-up gives: a renewed session, and the recovery codes, to be shown once."""

    issued: IssuedSession
    codes: list[str] = field(repr=False)


class SecondFactors:
    """Everybody's second factors.

    A code is checked, used up and counted in one write transaction with the session
    that it opens: a database that fails leaves the person outside.
    """

    def __init__(self, records: Records, vault: Vault) -> None:
        self._storage = records.storage
        self._vault = vault
        self._audit = records.audit
        self._sessions = records.sessions
        self._epoch = records.epoch
        self._throttle = records.throttle

    def status(self, user_id: int) -> Status:
        """Say what a person has."""
        with self._storage.read() as connection:
            return Status(totp.enabled(connection, user_id), recovery_codes.left(connection, self._vault, user_id))

    def is_enabled(self, user_id: int) -> bool:
        """Whether a person has a second factor."""
        with self._storage.read() as connection:
            return totp.enabled(connection, user_id)

    def holders(self) -> frozenset[int]:
        """The ids of all who have a second factor."""
        with self._storage.read() as connection:
            return frozenset(
                connection.scalars(select(totp_table.c.user_id).where(totp_table.c.confirmed_at.is_not(None)))
            )

    def prove(self, actor: Actor, session: Session, code: str, user_agent: str = "") -> IssuedSession:
        """Take a code or a recovery code, and renew the session with the factor proved.

        At sign-in that makes a half-signed-in session whole; later it makes it fresh for sensitive changes.

        Args:
            actor: the person, with the address that failures count for.
            session: theirs.
            code: six digits, or a recovery code.
            user_agent: the browser's name for itself.

        Raises:
            WrongCode: it is wrong or was used before.
            TooManyFailedLogins: 5 failures in 15 min by this person from this address, or 50 from wherever.
            NotFound: the session has ended meanwhile; nothing is counted or used up.
        """
        issued: IssuedSession | None = None
        with self._storage.write() as connection:
            self._sessions.require_live(connection, session.id)
            kind = self._checked(connection, actor, session.user_id, lambda: self._use(connection, session, code))
            if kind is not None:
                issued = self._sessions.renew_within(
                    connection, actor, session.id, actor.address, user_agent, second_factor=True, proved=True
                )
                target, after = f"user/{session.username}", {"session": issued.session.id, "by": kind}
                self._audit.record(connection, actor, "second_factor.prove", target, after=after)
        if issued is None:
            raise WrongCode
        self._epoch.advance()
        return issued

    def begin(self, actor: Actor, session: Session) -> totp.Setup:
        """Make a new secret, good for 15 min until its first code confirms it.

        Raises:
            Conflict: there is a second factor already.
            NotFound: the session has ended meanwhile.
        """
        with self._storage.write() as connection:
            self._sessions.require_live(connection, session.id)
            if totp.enabled(connection, session.user_id):
                raise Conflict(f"user/{session.username}: has a second factor already; switch it off first")
            now = self._storage.clock.now()
            setup = totp.begin(connection, self._vault, session.user_id, session.username, now)
            self._audit.record(connection, actor, "second_factor.begin", f"user/{session.username}")
        return setup

    def confirm(self, actor: Actor, session: Session, code: str, user_agent: str = "") -> Enabled:
        """Take the new secret into use, end the person's other sessions and make recovery codes.

        Raises:
            WrongCode, TooManyFailedLogins, NotFound: as for :meth:`prove`; also when the set-up is too old.
        """
        made: Enabled | None = None
        with self._storage.write() as connection:
            self._sessions.require_live(connection, session.id)
            now, user_id = self._storage.clock.now(), session.user_id
            right = self._checked(
                connection,
                actor,
                user_id,
                lambda: "totp" if totp.confirm(connection, self._vault, user_id, code, now) else None,
            )
            if right is not None:
                codes = recovery_codes.replace(connection, self._vault, user_id, now)
                made = Enabled(self._renew_alone(connection, actor, session, user_agent, second_factor=True), codes)
                self._audit.record(connection, actor, "second_factor.enable", f"user/{session.username}")
        if made is None:
            raise WrongCode
        self._epoch.advance()
        return made

    def new_recovery_codes(self, actor: Actor, session: Session) -> list[str]:
        """Make a new set; the old one is void.

        Raises:
            Conflict: there is no second factor.
            NotFound: the session has ended meanwhile.
        """
        with self._storage.write() as connection:
            self._sessions.require_live(connection, session.id)
            if not totp.enabled(connection, session.user_id):
                raise Conflict(f"user/{session.username}: has no second factor; set one up first")
            now = self._storage.clock.now()
            codes = recovery_codes.replace(connection, self._vault, session.user_id, now)
            self._audit.record(connection, actor, "second_factor.new_codes", f"user/{session.username}")
        self._epoch.advance()
        return codes

    def switch_off(self, actor: Actor, session: Session, user_agent: str = "") -> IssuedSession:
        """Remove one's own second factor; other sessions end, this one is renewed.

        Raises:
            NotFound: the session has ended meanwhile.
        """
        with self._storage.write() as connection:
            self._remove(connection, session.user_id)
            issued = self._renew_alone(connection, actor, session, user_agent, second_factor=False)
            self._audit.record(connection, actor, "second_factor.disable", f"user/{session.username}")
        self._epoch.advance()
        return issued

    def sweep(self) -> int:
        """Drop set-ups that nobody confirmed; return how many (DAT-4)."""
        with self._storage.write() as connection:
            return totp.sweep(connection, self._storage.clock.now())

    def _use(self, connection: Connection, session: Session, code: str) -> str | None:
        now, user_id = self._storage.clock.now(), session.user_id
        if not totp.enabled(connection, user_id):
            return None
        if totp.consume(connection, self._vault, user_id, code, now):
            return "totp"
        return "recovery_code" if recovery_codes.consume(connection, self._vault, user_id, code) else None

    def _checked(
        self, connection: Connection, actor: Actor, user_id: int, check: Callable[[], str | None]
    ) -> str | None:
        # Counted first and taken back on success, in one transaction: a failure stays counted when it commits.
        attempt = self._throttle.reserve_code(connection, actor.address, user_id)
        found = check()
        if found is None:
            self._throttle.fail_code(connection, attempt)
        else:
            self._throttle.refund(connection, attempt)
        return found

    def _renew_alone(
        self, connection: Connection, actor: Actor, session: Session, user_agent: str, *, second_factor: bool
    ) -> IssuedSession:
        self._sessions.delete_of_user(connection, session.user_id, session.id)
        return self._sessions.renew_within(
            connection, actor, session.id, actor.address, user_agent, second_factor=second_factor
        )

    def _remove(self, connection: Connection, user_id: int) -> bool:
        recovery_codes.remove(connection, user_id)
        return totp.remove(connection, user_id)

"""The store of sessions: one row per sign-in, two tokens, and revocation that the gate sees at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select, update

from argos.audit import Actor, Audit
from argos.epoch import EpochWriter
from argos.errors import Conflict, NotFound, Unavailable
from argos.sessions.lifetimes import Lifetimes, read_lifetimes
from argos.sessions.model import Assurance, IssuedSession, Session
from argos.sessions.tokens import credential_mark, new_token, token_hash
from argos.storage.engine import Storage
from argos.storage.tables import sessions, totp, users

SEEN_EVERY = 300  # seconds between two writes of one session's last_seen_at
PER_USER = 100  # sessions one person may have; the oldest go (DAT-4)
ADDRESS_LIMIT = 64
USER_AGENT_LIMIT = 256
CHALLENGE = 300  # seconds a person has for the second factor, after the first
CHALLENGES_PER_USER = 50  # half-signed-in ones; so whoever has only the password ends no whole session
_BATCH = 500

_COLUMNS = (
    sessions.c.id,
    sessions.c.user_id,
    users.c.username,
    users.c.name,
    users.c.email,
    users.c.role,
    users.c.provider,
    sessions.c.assurance,
    sessions.c.created_at,
    sessions.c.last_seen_at,
    sessions.c.expires_at,
    sessions.c.address,
    sessions.c.user_agent,
    sessions.c.second_factor,
    sessions.c.proved_at,
)


class Sessions:
    """Begins, finds, renews and revokes sessions.

    Every revocation is commit, then ``epoch.advance()``, then return (LOG-5).
    """

    def __init__(self, storage: Storage, audit: Audit, epoch: EpochWriter) -> None:
        self._storage = storage
        self._audit = audit
        self._epoch = epoch

    def begin(
        self,
        actor: Actor,
        user_id: int,
        address: str,
        user_agent: str = "",
        *,
        second_factor: bool = False,
        credential: bytes | None = None,
        proved_at: int | None = None,
    ) -> IssuedSession:
        """Sign a person in, after their credentials were checked.

        The assurance is ``second_factor``, for 5 min at most, while the account has one and
        it was not proved; then ``password_change`` while the account must change its password.

        Args:
            actor: who signs in.
            user_id: whose session it is.
            address: the client's address.
            user_agent: the browser's name for itself; cut at 256 characters.
            second_factor: it was proved just now, in a session that this one follows.
            credential: the account's, as it was when its password was checked.
            proved_at: when they last gave a password or a code, seconds since the epoch; None: just now.

        Raises:
            NotFound: there is no such user.
            Conflict: the user is disabled, or ``credential`` is no longer the account's.
        """
        with self._storage.write() as connection:
            if credential is not None and credential != _credential(connection, user_id):
                # A reset that came between the check and here has ended all sessions, and this is one more.
                raise Conflict("The password was changed while it was checked")
            issued = self._insert(
                connection, user_id, address, user_agent, second_factor=second_factor, proved_at=proved_at
            )
            dropped = self._drop_oldest(connection, user_id)
            after = {"session": issued.session.id, "assurance": issued.session.assurance, "dropped": dropped}
            self._audit.record(connection, actor, "session.begin", f"user/{issued.session.username}", after=after)
        if dropped:
            self._epoch.advance()
        return issued

    def find_panel(self, token: str) -> Session | None:
        """Return the live session of a panel cookie, and note at most every 5 min that it was seen.

        None when it is unknown, expired, idle for too long, or its user is disabled.
        """
        hashed = token_hash(token)
        if hashed is None:
            return None
        found = self._find(sessions.c.panel_token_hash == hashed)
        if found is not None and self._storage.clock.now() - found.last_seen_at >= SEEN_EVERY:
            self._see(found.id)
        return found

    def find_edge(self, token: str) -> Session | None:
        """Return the live session of a published hosts' cookie; None as for :meth:`find_panel`."""
        hashed = token_hash(token)
        return None if hashed is None else self._find(sessions.c.edge_token_hash == hashed)

    def renew(
        self, actor: Actor, session_id: int, address: str, user_agent: str = "", *, proved: bool = False
    ) -> IssuedSession:
        """Replace a live session after a rise of privilege: new tokens, and the old ones die (session fixation).

        The absolute end stays where it was: renewing makes no session immortal.

        Raises:
            NotFound: it has ended meanwhile.
        """
        with self._storage.write() as connection:
            issued = self.renew_within(connection, actor, session_id, address, user_agent, proved=proved)
        self._epoch.advance()
        return issued

    def renew_within(
        self,
        connection: Connection,
        actor: Actor,
        session_id: int,
        address: str,
        user_agent: str = "",
        *,
        second_factor: bool | None = None,
        proved: bool = False,
    ) -> IssuedSession:
        """Renew inside the caller's transaction; the caller commits, and then advances the epoch.

        Args:
            connection: of a write transaction.
            actor: whose session it is.
            session_id: the one that ends.
            address: the client's.
            user_agent: the browser's name for itself.
            second_factor: whether it counts as proved from now on; None: as it was.
            proved: a password or a code was given just now.

        Raises:
            NotFound: it has ended meanwhile.
        """
        query = select(sessions).join(users).where(sessions.c.id == session_id, *self._live(connection))
        row = connection.execute(query).first()
        if row is None:
            raise NotFound("The session has ended; sign in again")
        connection.execute(delete(sessions).where(sessions.c.id == session_id))
        issued = self._insert(
            connection,
            row.user_id,
            address,
            user_agent,
            # A challenge's few minutes are not the end of the session that it leads to.
            expires_at=None if row.assurance == "second_factor" else row.expires_at,
            second_factor=row.second_factor if second_factor is None else second_factor,
            proved_at=self._storage.clock.now() if proved else row.proved_at,
            carried={"provider": row.provider, "id_token": row.id_token},
        )
        self._audit.record(
            connection,
            actor,
            "session.renew",
            f"user/{issued.session.username}",
            before={"session": session_id},
            after={"session": issued.session.id, "assurance": issued.session.assurance},
        )
        return issued

    def require_live(self, connection: Connection, session_id: int) -> None:
        """Check within the caller's transaction that a session lives.

        Raises:
            NotFound: it has ended.
        """
        query = select(sessions.c.id).join(users).where(sessions.c.id == session_id, *self._live(connection))
        if connection.execute(query).first() is None:
            raise NotFound("The session has ended; sign in again")

    def revoke(self, actor: Actor, session_id: int) -> bool:
        """End one session, panel and published hosts together; return whether it was there."""
        with self._storage.write() as connection:
            username = connection.scalar(
                select(users.c.username).join(sessions).where(sessions.c.id == session_id),
            )
            if username is None:
                return False
            connection.execute(delete(sessions).where(sessions.c.id == session_id))
            self._audit.record(connection, actor, "session.revoke", f"user/{username}", before={"session": session_id})
        self._epoch.advance()
        return True

    def revoke_user(self, actor: Actor, user_id: int) -> int:
        """End all sessions of one person; return how many there were."""
        with self._storage.write() as connection:
            username = connection.scalar(select(users.c.username).where(users.c.id == user_id))
            ended = self.delete_of_user(connection, user_id)
            if ended:
                self._audit.record(
                    connection, actor, "session.revoke_user", f"user/{username}", before={"sessions": ended}
                )
        if ended:
            self._epoch.advance()
        return ended

    def revoke_own(self, actor: Actor, user_id: int, session_id: int) -> bool:
        """End one session of this person; return whether it was there and theirs."""
        with self._storage.read() as connection:
            owner = connection.scalar(select(sessions.c.user_id).where(sessions.c.id == session_id))
        return owner == user_id and self.revoke(actor, session_id)

    def revoke_others(self, actor: Actor, user_id: int, kept: int) -> int:
        """End all sessions of one person but the one with the id ``kept``; return how many."""
        with self._storage.write() as connection:
            username = connection.scalar(select(users.c.username).where(users.c.id == user_id))
            ended = self.delete_of_user(connection, user_id, kept)
            if ended:
                before = {"sessions": ended, "kept": kept}
                self._audit.record(connection, actor, "session.revoke_others", f"user/{username}", before=before)
        if ended:
            self._epoch.advance()
        return ended

    def delete_of_user(self, connection: Connection, user_id: int, kept: int = 0) -> int:
        """Delete a person's sessions, all but the one with the id ``kept``, inside the caller's transaction.

        The caller audits, commits, and then advances the epoch.
        """
        statement = delete(sessions).where(sessions.c.user_id == user_id, sessions.c.id != kept)
        return connection.execute(statement).rowcount

    def touch_seen(self, edge_token_hashes: Iterable[bytes]) -> int:
        """Note that live sessions were seen by the gate; return how many rows were written.

        At most one write per session in 5 min, no advance of the epoch, and a
        session that has expired or gone idle is not brought back.

        Args:
            edge_token_hashes: SHA-256 of edge tokens, 32 bytes each; others are ignored.
        """
        wanted = sorted({hashed for hashed in edge_token_hashes if len(hashed) == 32})
        written = 0
        for start in range(0, len(wanted), _BATCH):
            with self._storage.write() as connection:
                batch = wanted[start : start + _BATCH]
                written += self._touch(connection, sessions.c.edge_token_hash.in_(batch))
        return written

    def list_for(self, user_id: int) -> list[Session]:
        """Return a person's live sessions, the newest first."""
        with self._storage.read() as connection:
            rows = connection.execute(
                select(*_COLUMNS)
                .join(users)
                .where(sessions.c.user_id == user_id, *self._live(connection))
                .order_by(sessions.c.id.desc())
            )
            return [_session(row) for row in rows]

    def admin_addresses(self) -> list[str]:
        """Return the addresses at which administrators are signed in."""
        with self._storage.read() as connection:
            query = select(sessions.c.address).distinct().join(users).where(users.c.role == "admin")
            return list(connection.scalars(query.where(*self._live(connection))))

    def sweep(self) -> int:
        """Delete sessions that have expired or gone idle; return how many. They were dead already: no epoch."""
        now = self._storage.clock.now()
        with self._storage.write() as connection:
            idle = read_lifetimes(connection).idle
            dead = or_(sessions.c.expires_at <= now, sessions.c.last_seen_at <= now - idle)
            return connection.execute(delete(sessions).where(dead)).rowcount

    def _find(self, condition: ColumnElement[bool]) -> Session | None:
        with self._storage.read() as connection:
            query = select(*_COLUMNS).join(users).where(condition, *self._live(connection))
            row = connection.execute(query).first()
        return None if row is None else _session(row)

    def _live(self, connection: Connection) -> tuple[ColumnElement[bool], ...]:
        now = self._storage.clock.now()
        idle = read_lifetimes(connection).idle
        return (sessions.c.expires_at > now, sessions.c.last_seen_at > now - idle, users.c.disabled.is_(False))

    def _see(self, session_id: int) -> None:
        try:
            with self._storage.write() as connection:
                self._touch(connection, sessions.c.id == session_id)
        except Unavailable:
            return  # a busy database makes nobody signed out; the next request tries again

    def _touch(self, connection: Connection, condition: ColumnElement[bool]) -> int:
        now = self._storage.clock.now()
        idle = read_lifetimes(connection).idle
        statement = update(sessions).where(
            condition,
            sessions.c.expires_at > now,
            sessions.c.last_seen_at > now - idle,
            sessions.c.last_seen_at <= now - SEEN_EVERY,
        )
        return connection.execute(statement.values(last_seen_at=now)).rowcount

    def _insert(
        self,
        connection: Connection,
        user_id: int,
        address: str,
        user_agent: str,
        *,
        expires_at: int | None = None,
        second_factor: bool = False,
        proved_at: int | None = None,
        carried: Mapping[str, Any] | None = None,
    ) -> IssuedSession:
        user = connection.execute(select(users).where(users.c.id == user_id)).first()
        if user is None:
            raise NotFound(f"There is no user with id {user_id}")
        if user.disabled:
            raise Conflict(f"user/{user.username}: is disabled")
        now = self._storage.clock.now()
        lifetimes: Lifetimes = read_lifetimes(connection)
        has_factor = connection.execute(
            select(totp.c.user_id).where(totp.c.user_id == user_id, totp.c.confirmed_at.is_not(None))
        ).first()
        assurance: Assurance = "password_change" if user.must_change_password else "full"
        lifetime = lifetimes.absolute
        if has_factor is not None and not second_factor:
            assurance, lifetime = "second_factor", min(CHALLENGE, lifetime)
        panel_token, edge_token = new_token(), new_token()
        inserted = connection.execute(
            insert(sessions)
            .values(
                user_id=user_id,
                panel_token_hash=token_hash(panel_token),
                edge_token_hash=token_hash(edge_token),
                assurance=assurance,
                created_at=now,
                last_seen_at=now,
                expires_at=now + lifetime if expires_at is None else expires_at,
                address=address[:ADDRESS_LIMIT],
                user_agent=user_agent[:USER_AGENT_LIMIT],
                second_factor=second_factor,
                proved_at=now if proved_at is None else proved_at,
                **(carried or {}),
            )
            .returning(sessions.c.id)
        ).scalar_one()
        row = connection.execute(select(*_COLUMNS).join(users).where(sessions.c.id == inserted)).one()
        return IssuedSession(_session(row), panel_token, edge_token)

    def _drop_oldest(self, connection: Connection, user_id: int) -> int:
        theirs = sessions.c.user_id == user_id
        dropped = 0
        for which, most in (
            (theirs & (sessions.c.assurance == "second_factor"), CHALLENGES_PER_USER),
            (theirs, PER_USER),
        ):
            kept = select(sessions.c.id).where(which).order_by(sessions.c.id.desc()).limit(most)
            statement = delete(sessions).where(which, sessions.c.id.not_in(kept.scalar_subquery()))
            dropped += connection.execute(statement).rowcount
        return dropped


def _session(row: Row[*tuple[Any, ...]]) -> Session:
    return Session(**row._asdict())


def _credential(connection: Connection, user_id: int) -> bytes:
    return credential_mark(connection.scalar(select(users.c.password_hash).where(users.c.id == user_id)))

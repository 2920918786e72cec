"""Sign-ins that were begun and have not come back: single use, ten minutes, of one browser, bounded (OIDC-1, DAT-4)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from argos.oidc.errors import UnknownState
from argos.storage.engine import Storage
from argos.storage.tables import oidc_pending
from argos.vault import Vault

LIFETIME = 600  # seconds
MOST = 20_000  # rows; the oldest go first


class Begun(msgspec.Struct, frozen=True):
    """What a sign-in must remember; sealed at rest."""

    issuer: str
    client_id: str
    nonce: str
    verifier: str
    redirect_uri: str
    target: str
    link_user: int | None = None
    link_session: int | None = None
    confirm_user: int | None = None
    confirm_session: int | None = None
    begun_at: int = 0


@dataclass(frozen=True)
class Ticket:
    """The two halves of a pending sign-in: one travels by the provider, one stays in the browser's cookie."""

    state: str
    browser: str


class Pending:
    """The table of them; ``dropped`` counts those that went for newer ones before their time was over (DAT-4)."""

    def __init__(self, storage: Storage, vault: Vault, *, most: int = MOST) -> None:
        self._storage = storage
        self._vault = vault
        self._most = most
        self.dropped = 0

    def put(self, begun: Begun) -> Ticket:
        """Remember ``begun``; return what leads back to it."""
        ticket = Ticket(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        now = self._storage.clock.now()
        with self._storage.write() as connection:
            connection.execute(delete(oidc_pending).where(oidc_pending.c.created_at <= now - LIFETIME))
            surplus = (connection.scalar(select(func.count()).select_from(oidc_pending)) or 0) - self._most + 1
            if surplus > 0:
                oldest = select(oidc_pending.c.state_hash).order_by(oidc_pending.c.created_at).limit(surplus)
                gone = connection.execute(delete(oidc_pending).where(oidc_pending.c.state_hash.in_(oldest)))
                self.dropped += gone.rowcount
            self._insert(connection, ticket, begun, now)
        return ticket

    def take(self, ticket: Ticket) -> Begun:
        """Return what ``ticket`` leads to, once; a foreign browser's attempt leaves it for the right one.

        Raises:
            UnknownState: it is used, expired, unknown, or another browser's.
        """
        state_hash = _hash(ticket.state)
        now = self._storage.clock.now()
        statement = (
            delete(oidc_pending)
            .where(
                oidc_pending.c.state_hash == state_hash,
                oidc_pending.c.browser_hash == _hash(ticket.browser),
                oidc_pending.c.created_at > now - LIFETIME,
            )
            .returning(oidc_pending.c.sealed)
        )
        with self._storage.write() as connection:
            sealed = connection.execute(statement).scalar()
        if sealed is None:
            raise UnknownState
        plain = self._vault.open("oidc_pending", "sealed", state_hash.hex(), sealed)
        return msgspec.json.decode(plain, type=Begun)

    def give_back(self, ticket: Ticket, begun: Begun) -> None:
        """Undo a :meth:`take` that nothing came of; it expires when it would have."""
        with self._storage.write() as connection:
            self._insert(connection, ticket, begun, begun.begun_at)

    def _insert(self, connection: Connection, ticket: Ticket, begun: Begun, created_at: int) -> None:
        state_hash = _hash(ticket.state)
        connection.execute(
            insert(oidc_pending).values(
                state_hash=state_hash,
                browser_hash=_hash(ticket.browser),
                sealed=self._vault.seal("oidc_pending", "sealed", state_hash.hex(), msgspec.json.encode(begun)),
                created_at=created_at,
            )
        )

    def sweep(self) -> int:
        """Drop the expired; return how many."""
        before = self._storage.clock.now() - LIFETIME
        with self._storage.write() as connection:
            return connection.execute(delete(oidc_pending).where(oidc_pending.c.created_at <= before)).rowcount


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

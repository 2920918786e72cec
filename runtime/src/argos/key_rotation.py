"""Rotation of the master key, and of the data keys under it, while everything serves (SEC-4).

``rewrap`` is one transaction: whoever dies in it leaves the old key in force, whoever
dies after it the new one, and a process that holds both goes on either way.
``reencrypt`` makes new data keys, and seals every secret anew in transactions of
:data:`BATCH` rows. What is left to do is told by the envelopes themselves, so an
interrupted run goes on where it stopped. Old data keys stay: old audit rows, old
password hashes and old backups name them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Table, delete, func, insert, select, update

from argos.audit import Actor, Audit
from argos.errors import Conflict
from argos.storage.engine import Storage
from argos.storage.tables import meta, named_secrets, oidc_pending, recovery_codes, sessions, totp
from argos.vault import PURPOSES, BrokenSeal, Vault, key_id

BATCH = 200  # rows of one transaction: a few milliseconds, which a sign-in does not notice
MOST_VERSIONS = 1000  # of a data key: old ones stay
RUNNING = "key_reencrypt"
"""The row of ``meta`` that stands while a re-encryption is unfinished: the vault key's version it leads to."""


@dataclass(frozen=True)
class SealedColumn:
    """A column of envelopes, and the row's name that each was sealed with."""

    column: Column[Any]
    place: Callable[[Row[Any]], str]

    @property
    def table(self) -> Table:
        """Its table, which has one column as its key."""
        return self.column.table

    @property
    def key(self) -> Column[Any]:
        """The primary key."""
        return next(iter(self.table.primary_key.columns))


SEALED: tuple[SealedColumn, ...] = (
    SealedColumn(named_secrets.c.sealed, lambda row: str(row.name)),
    SealedColumn(totp.c.secret, lambda row: str(row.user_id)),
    SealedColumn(recovery_codes.c.codes, lambda row: str(row.user_id)),
    SealedColumn(oidc_pending.c.sealed, lambda row: row.state_hash.hex()),
    SealedColumn(sessions.c.id_token, lambda row: str(row.user_id)),
)
"""Every column that holds an envelope; a test compares it with the tables."""


@dataclass(frozen=True)
class Progress:
    """How far a re-encryption is."""

    done: int
    total: int


@dataclass(frozen=True)
class Reencrypted:
    """What a re-encryption did; ``broken`` names values that do not open, which stay as they are."""

    secrets: int
    key_version: int
    broken: tuple[str, ...]


class KeyRotation:
    """The operator's rotation; each step can be killed anywhere and run again."""

    def __init__(self, storage: Storage, vault: Vault, audit: Audit) -> None:
        self._storage = storage
        self._vault = vault
        self._audit = audit

    def rewrap(self, actor: Actor, next_key: bytes) -> bool:
        """Put every data key under ``next_key``; return False where they are under it already.

        Raises:
            Conflict: it is the key that is in use, and there is no other.
        """
        before, after = self._vault.key_id, key_id(next_key)
        if before == after:
            if len(self._vault.given_ids) < 2:
                raise Conflict("ARGOS_MASTER_KEY_NEXT is the key that is in use already; make a new one")
            return False
        with self._storage.write() as connection:
            self._vault.rewrap_in(connection, next_key)
            self._audit.record(connection, actor, "key.rotate", "key/master", {"id": before}, {"id": after})
        self._vault.refresh()
        self._storage.forget_overwritten()
        return True

    def unfinished(self) -> int | None:
        """The vault key's version that an interrupted re-encryption leads to, None when none is under way."""
        with self._storage.read() as connection:
            stored = connection.scalar(select(meta.c.value).where(meta.c.key == RUNNING))
        return None if stored is None else int(stored)

    def left(self) -> int:
        """How many envelopes are not under the newest vault key."""
        newest, _unused = self._vault.key("vault")
        with self._storage.read() as connection:
            return sum(_count(connection, sealed, newest) for sealed in SEALED)

    def begin(self, actor: Actor) -> int:
        """Make a new data key for each purpose, unless an earlier run did; return the vault key's version.

        Raises:
            Conflict: there are :data:`MOST_VERSIONS` of them.
        """
        with self._storage.write() as connection:
            stored = connection.scalar(select(meta.c.value).where(meta.c.key == RUNNING))
            if stored is not None:
                version = int(stored)
            else:
                if self._vault.key("vault")[0] >= MOST_VERSIONS:
                    raise Conflict(f"There are {MOST_VERSIONS} versions of the data keys already")
                versions: dict[str, int] = {
                    purpose: self._vault.add_version_in(connection, purpose) for purpose in PURPOSES
                }
                version = versions["vault"]
                connection.execute(insert(meta).values(key=RUNNING, value=str(version)))
                self._audit.record(connection, actor, "key.reencrypt", "key/data", after=versions)
        self._vault.refresh()
        return version

    def reencrypt(self, actor: Actor, progress: Callable[[Progress], None] = lambda _unused: None) -> Reencrypted:
        """Seal every secret under the key of :meth:`begin`; calls ``progress`` after each transaction.

        Another process of the runtime should have looked for the new key between the two
        (``GET /v1/key``), or what it stores meanwhile is sealed under the old one, which opens as well.
        """
        version = self.begin(actor)
        total, done = self.left(), 0
        broken: dict[str, None] = {}
        for sealed in SEALED:
            last: object = None
            while True:
                with self._storage.write() as connection:
                    rows = _batch(connection, sealed, version, last)
                    for row in rows:
                        self._again(connection, sealed, row, broken)
                if not rows:
                    break
                last = row_key(sealed, rows[-1])
                done += len(rows)
                progress(Progress(done, max(done, total)))
        with self._storage.write() as connection:
            connection.execute(delete(meta).where(meta.c.key == RUNNING))
            after = {"vault": version, "secrets": done - len(broken), "broken": list(broken)[:20]}
            self._audit.record(connection, actor, "key.reencrypted", "key/data", after=after)
        self._storage.forget_overwritten()
        return Reencrypted(done - len(broken), version, tuple(broken))

    def _again(self, connection: Connection, sealed: SealedColumn, row: Row[Any], broken: dict[str, None]) -> None:
        table, column, place = sealed.table.name, sealed.column.name, sealed.place(row)
        try:
            plain = self._vault.open(table, column, place, row._mapping[column])  # noqa: SLF001  # its public name
        except BrokenSeal:
            broken[f"{table}.{column} of {place}"] = None
            return
        values: Mapping[str, Any] = {column: self._vault.seal(table, column, place, plain)}
        connection.execute(update(sealed.table).where(sealed.key == row_key(sealed, row)).values(**values))


def row_key(sealed: SealedColumn, row: Row[Any]) -> Any:
    """The primary key's value of ``row``."""
    return row._mapping[sealed.key.name]  # noqa: SLF001  # SQLAlchemy's public name for it


def _old(sealed: SealedColumn, version: int) -> ColumnElement[bool]:
    # An envelope's bytes 2 to 5 are its key's version, big-endian, so that SQLite's order of blobs is that of numbers.
    return func.substr(sealed.column, 2, 4) < version.to_bytes(4, "big")


def _count(connection: Connection, sealed: SealedColumn, version: int) -> int:
    return int(connection.scalar(select(func.count()).select_from(sealed.table).where(_old(sealed, version))) or 0)


def _batch(connection: Connection, sealed: SealedColumn, version: int, last: object) -> list[Row[Any]]:
    statement = select(sealed.table).where(_old(sealed, version)).order_by(sealed.key).limit(BATCH)
    if last is not None:
        statement = statement.where(sealed.key > last)
    return list(connection.execute(statement))

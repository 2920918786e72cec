"""Secrets that specs refer to by name: write-only for operators, opened only where they are used."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from argos.audit import Actor, Audit
from argos.errors import Conflict, FieldError, Invalid, NotFound
from argos.scrub import Scrubber
from argos.secret_name import LONGEST, RULE, is_secret_name
from argos.storage.engine import Storage
from argos.storage.tables import named_secrets
from argos.vault import Vault

VALUE_LIMIT = 64 * 1024  # bytes of UTF-8
MOST = 1000
_HELD = "secret/"


@dataclass(frozen=True)
class Kept:
    """A secret without its value. ``version`` counts its values from 1; ``updated_at`` is in Unix seconds."""

    name: str
    version: int
    updated_at: int


class NamedSecrets:
    """Keeps them sealed; the scrubber holds every value that is stored."""

    def __init__(self, storage: Storage, vault: Vault, audit: Audit, scrubber: Scrubber) -> None:
        self._storage = storage
        self._vault = vault
        self._audit = audit
        self._scrubber = scrubber
        with storage.read() as connection:
            rows = connection.execute(select(named_secrets.c.name, named_secrets.c.sealed)).all()
        for row in rows:
            scrubber.hold(_held(row.name), self._open(row.name, row.sealed))

    def set(self, actor: Actor, name: str, value: str) -> bool:
        """Store a secret; return whether that changed anything.

        Raises:
            Invalid: the name or the value is not allowed.
            Conflict: there are :data:`MOST` of them already, or they are too long together.
        """
        _check(name, value)
        self._scrubber.remember(value)
        with self._storage.write() as connection:
            row = connection.execute(select(named_secrets).where(named_secrets.c.name == name)).first()
            if row is not None and hmac.compare_digest(self._open(name, row.sealed).encode(), value.encode()):
                return False
            self._refuse_unwatched(name, value)
            if row is None:
                _refuse_too_many(connection, name)
            self._store(connection, name, value, None if row is None else row.version)
            action = "secret.create" if row is None else "secret.update"
            self._audit.record(connection, actor, action, f"secret/{name}")
        self._scrubber.hold(_held(name), value)
        return True

    def would_change(self, name: str, value: str) -> bool:
        """Tell what :meth:`set` would answer, and change nothing (check mode).

        Raises:
            Invalid: the name or the value is not allowed.
            Conflict: there are :data:`MOST` of them already, or they are too long together.
        """
        _check(name, value)
        try:
            if hmac.compare_digest(self.reveal(name).encode(), value.encode()):
                return False
        except NotFound:
            with self._storage.read() as connection:
                _refuse_too_many(connection, name)
        self._refuse_unwatched(name, value)
        return True

    def reveal(self, name: str) -> str:
        """Return a secret's value.

        Raises:
            NotFound: none has that name.
        """
        with self._storage.read() as connection:
            sealed = connection.scalar(select(named_secrets.c.sealed).where(named_secrets.c.name == name))
        if sealed is None:
            self._scrubber.release(_held(name))
            raise NotFound(f"secret/{name}: there is no such secret")
        value = self._open(name, sealed)
        self._scrubber.hold(_held(name), value)
        return value

    def names(self) -> list[str]:
        """Return all names, sorted."""
        with self._storage.read() as connection:
            return list(connection.scalars(select(named_secrets.c.name).order_by(named_secrets.c.name)))

    def kept(self) -> list[Kept]:
        """Return all of them without their values, by name."""
        columns = named_secrets.c.name, named_secrets.c.version, named_secrets.c.updated_at
        with self._storage.read() as connection:
            rows = connection.execute(select(*columns).order_by(named_secrets.c.name)).all()
        return [Kept(row.name, row.version, row.updated_at) for row in rows]

    def delete(self, actor: Actor, name: str) -> bool:
        """Remove a secret; return whether there was one."""
        with self._storage.write() as connection:
            removed = connection.execute(delete(named_secrets).where(named_secrets.c.name == name)).rowcount
            if removed:
                self._audit.record(connection, actor, "secret.delete", f"secret/{name}")
        self._scrubber.release(_held(name))
        return removed > 0

    def sweep(self) -> None:
        """Let go of the values that another process deleted."""
        there = {_held(name) for name in self.names()}
        for name in self._scrubber.held():
            if name.startswith(_HELD) and name not in there:
                self._scrubber.release(name)

    def digest(self, names: Iterable[str]) -> str:
        """Return a text that changes whenever a value of these names does, and tells nothing of the values.

        It lets the apply engine see a secret that changed behind an unchanged name; a missing one counts too.
        """
        # The first version, which every database has: a rotation of the key is no change of a value.
        _unused, key = self._vault.key("vault", 1)
        # A key of its own, so that the vault's is used for AES-GCM alone.
        mac = hmac.new(hmac.digest(key, b"argos named secrets digest", "sha256"), digestmod=hashlib.sha256)
        for name in sorted(set(names)):
            try:
                value = b"\1" + self.reveal(name).encode()
            except NotFound:
                value = b"\0"
            for part in (name.encode(), value):
                mac.update(len(part).to_bytes(8, "big") + part)
        return mac.hexdigest()

    def _refuse_unwatched(self, name: str, value: str) -> None:
        """One that is not kept out of logs is not stored."""
        if not self._scrubber.has_room(_held(name), value):
            raise Conflict(
                f"secret/{name}: the secrets have too many lines together to be kept out of logs; "
                "delete those that nobody uses, or store fewer lines"
            )

    def _store(self, connection: Connection, name: str, value: str, version: int | None) -> None:
        values = {
            "sealed": self._vault.seal("named_secrets", "sealed", name, value.encode()),
            "version": 1 if version is None else version + 1,
            "updated_at": self._storage.clock.now(),
        }
        if version is None:
            connection.execute(insert(named_secrets).values(name=name, **values))
        else:
            connection.execute(update(named_secrets).where(named_secrets.c.name == name).values(**values))

    def _open(self, name: str, sealed: bytes) -> str:
        return self._vault.open("named_secrets", "sealed", name, sealed).decode()


def _held(name: str) -> str:
    """How the scrubber calls it."""
    return _HELD + name


def _refuse_too_many(connection: Connection, name: str) -> None:
    if (connection.scalar(select(func.count()).select_from(named_secrets)) or 0) >= MOST:
        raise Conflict(f"secret/{name}: there are {MOST} secrets already; delete an unused one")


def _check(name: str, value: str) -> None:
    errors = []
    if not is_secret_name(name):
        errors.append(FieldError(f"secret/{name[:LONGEST]}", "name", "is not allowed", RULE))
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        size = -1
    if not 0 < size <= VALUE_LIMIT:
        problem = "is empty" if size == 0 else "is not Unicode" if size < 0 else f"has {size} bytes"
        errors.append(FieldError(f"secret/{name[:LONGEST]}", "value", problem, f"1 to {VALUE_LIMIT} bytes of UTF-8"))
    if errors:
        raise Invalid(errors)

"""The record of every mutation, chained by HMAC (DAT-3).

Each row's hash covers the row and the hash before it, under the audit key, and the
chain's head stands authenticated in ``meta``, written in the same transaction: an
altered, inserted or removed row shows, the last one too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.storage.tables import audit, meta
from argos.vault import Vault

HEAD = "audit_head"
DETAIL_LIMIT = 256 * 1024  # characters of one row's ``before`` or ``after``
NAME_LIMIT = 1024

_NONE = bytes(32)
_BATCH = 1000


@dataclass(frozen=True)
class Actor:
    """Who does something.

    Args:
        kind: ``user`` (signed in), ``admin_api`` (who claims to be ``name`` on the admin socket), ``cli``, ``system``.
        name: a username, or the claim of the caller, such as ``ansible:alice``.
        address: the client's address, empty where there is none.
    """

    kind: Literal["user", "admin_api", "cli", "system"]
    name: str
    address: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class Audit:
    """Writes and verifies the record."""

    def __init__(self, storage: Storage, vault: Vault, scrubber: Scrubber) -> None:
        self._storage = storage
        self._vault = vault
        self._scrubber = scrubber

    def record(  # noqa: PLR0917 - who, what, on what, from what to what: the order of every call
        self,
        connection: Connection,
        actor: Actor,
        action: str,
        target: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> int:
        """Write one row in the caller's transaction, and return its id.

        Args:
            connection: of :meth:`Storage.write`; the row lives or dies with the mutation.
            actor: who does it.
            action: ``user.create``, ``config.apply`` …
            target: ``user/alice``, ``host/photos.home.example`` …
            before: what was, JSON-able, without secrets; known secret values in it are scrubbed all the same.
            after: what is now, likewise.
        """
        version, key = self._vault.key("audit")
        last, previous = self._head(connection)
        row: dict[str, Any] = {
            "id": last + 1,
            "at": self._storage.clock.now(),
            "actor": self._scrubber.scrub(str(actor))[:NAME_LIMIT],
            "address": actor.address[:NAME_LIMIT],
            "action": action,
            "target": self._scrubber.scrub(target)[:NAME_LIMIT],
            "before": self._detail(before),
            "after": self._detail(after),
            "key_version": version,
            "previous": previous,
        }
        digest = _digest(key, row)
        connection.execute(insert(audit).values(**row, hash=digest))
        head = f"{row['id']}:{digest.hex()}:{version}:{_head_mac(key, row['id'], digest)}"
        statement = upsert(meta).values(key=HEAD, value=head)
        connection.execute(statement.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": head}))
        return int(row["id"])

    def verify(self) -> int | None:
        """Return the id of the first row that is altered, out of place or missing; None for a sound chain."""
        expected_id, previous = 1, _NONE
        with self._storage.read() as connection:
            head = connection.scalar(select(meta.c.value).where(meta.c.key == HEAD))
            rows = connection.execution_options(yield_per=_BATCH).execute(select(audit).order_by(audit.c.id))
            for row in rows:
                if row.id != expected_id or row.previous != previous or not self._sound(row):
                    return expected_id
                expected_id, previous = row.id + 1, row.hash
        last = expected_id - 1
        if head is None and last == 0:
            return None
        return None if self._authentic(head) == (last, previous) else expected_id

    def _head(self, connection: Connection) -> tuple[int, bytes]:
        """Return the last row's id and hash, from the authenticated head.

        After a removal the chain thus goes on with a gap, and after any other damage
        from a hash that no row has: what was broken stays visible for ever.
        """
        last = connection.execute(select(audit.c.id).order_by(audit.c.id.desc()).limit(1)).scalar() or 0
        stored = connection.scalar(select(meta.c.value).where(meta.c.key == HEAD))
        if stored is None and last == 0:
            return 0, _NONE
        head = self._authentic(stored)
        if head is None or head[0] < last:
            return last, secrets.token_bytes(32)
        return head

    def _authentic(self, stored: str | None) -> tuple[int, bytes] | None:
        try:
            number, digest, version, mac = (stored or "").split(":")
            _unused, key = self._vault.key("audit", int(version))
            head = int(number), bytes.fromhex(digest)
        except (ValueError, LookupError):
            return None
        return head if hmac.compare_digest(mac, _head_mac(key, *head)) else None

    def _sound(self, row: Row[Any]) -> bool:
        try:
            _unused, key = self._vault.key("audit", row.key_version)
        except LookupError:
            return False
        return hmac.compare_digest(row.hash, _digest(key, row._asdict()))

    def _detail(self, detail: Mapping[str, Any] | None) -> str | None:
        if detail is None:
            return None
        text = json.dumps(self._scrubber.scrub_value(dict(detail)), sort_keys=True, separators=(",", ":"))
        if len(text) > DETAIL_LIMIT:
            return json.dumps({"too_long": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()})
        return text


_COVERED = ("id", "at", "actor", "address", "action", "target", "before", "after", "key_version")


def _digest(key: bytes, row: Mapping[str, Any]) -> bytes:
    # As a JSON list the fields cannot run into one another, and null differs from an empty text.
    covered = json.dumps([row[name] for name in _COVERED]).encode()
    return hmac.new(key, b"argos audit row\0" + row["previous"] + covered, hashlib.sha256).digest()


def _head_mac(key: bytes, number: int, digest: bytes) -> str:
    return hmac.new(key, b"argos audit head\0" + str(number).encode() + b"\0" + digest, hashlib.sha256).hexdigest()

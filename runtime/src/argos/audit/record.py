"""The record of every mutation, chained by HMAC (DAT-3).

Each row's hash covers the row and the hash before it, under the audit key, and the
chain's head stands authenticated in ``meta``, written in the same transaction: an
altered, inserted or removed row shows, the last one too. Rows that retention took
away leave an authenticated base, from which the rest goes on. A checkpoint beside the
database (:mod:`argos.audit.checkpoint`) shows a database that was set back whole; the head says
whether one was ever written, so that a missing one shows too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.audit.checkpoint import CheckpointFile
from argos.audit.mask import masked
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.storage.tables import audit, meta
from argos.vault import Vault

HEAD = "audit_head"
BASE = "audit_base"
DETAIL_LIMIT = 256 * 1024  # characters of one row's ``before`` or ``after``
NAME_LIMIT = 1024

_NONE = bytes(32)
_BATCH = 1000


@dataclass(frozen=True)
class Actor:
    """Who does something.

    Args:
        kind: ``user`` (signed in), ``token`` (of the API), ``admin_api`` (who claims to be ``name`` on the admin
            socket), ``cli`` (who claims to be ``name``, root or the user argos), ``system``.
        name: a username, or the claim of the caller, such as ``ansible:alice``.
        address: the client's address, empty where there is none.
    """

    kind: Literal["user", "token", "admin_api", "cli", "system"]
    name: str
    address: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True)
class Mark:
    """A place in the chain: a row's id and hash. Id 0 with 32 zero bytes is its beginning.

    ``witnessed``, of a head: the row of the first checkpoint that was written beside the database; 0: none yet.
    """

    id: int
    hash: bytes
    witnessed: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Verdict:
    """What a reading from end to end found.

    Args:
        broken: id of the first row that is altered, out of place or missing; None for a sound chain.
        rows: how many rows were read and are sound.
        first: the first id that is to be there; those before it retention took away.
        reason: what is wrong, in words; empty when nothing is.
        note: what makes the proof weaker than it could be; empty when nothing does.
        lost: the rows fit, but the checkpoint that was written beside them is gone, and with it the proof that the
            database was not set back.
    """

    broken: int | None
    rows: int
    first: int
    reason: str = ""
    note: str = ""
    lost: bool = False

    @property
    def sound(self) -> bool:
        """Whether all is there and as it was written, the checkpoint too."""
        return self.broken is None and not self.lost

    def facts(self) -> dict[str, Any]:
        """As programs are told."""
        facts = {"sound": self.sound, "broken": self.broken, "rows": self.rows, "first": self.first}
        return {**facts, "reason": self.reason, "note": self.note}


class Audit:
    """Writes and verifies the record."""

    def __init__(self, storage: Storage, vault: Vault, scrubber: Scrubber) -> None:
        self._storage = storage
        self._checkpoint = CheckpointFile(storage.path.with_name("audit.checkpoint"))
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
            before: what was, JSON-able; texts pass by :mod:`argos.audit.mask`'s allowlist, known secrets are scrubbed.
            after: what is now, likewise.
        """
        version, key = self._vault.key("audit")
        head = self._head(connection)
        row: dict[str, Any] = {
            "id": head.id + 1,
            "at": self._storage.clock.now(),
            "actor": self._scrubber.scrub(str(actor))[:NAME_LIMIT],
            "address": actor.address[:NAME_LIMIT],
            "action": action,
            "target": self._scrubber.scrub(target)[:NAME_LIMIT],
            "before": self._detail(key, before),
            "after": self._detail(key, after),
            "key_version": version,
            "previous": head.hash,
        }
        digest = _digest(key, row)
        connection.execute(insert(audit).values(**row, hash=digest))
        self._keep(connection, HEAD, Mark(row["id"], digest, head.witnessed))
        return int(row["id"])

    def verify(self) -> int | None:
        """Return the id of the first row that is altered, out of place or missing; None for a sound chain."""
        return self.examine().broken

    def examine(self) -> Verdict:
        """Read the whole chain and compare it with its base, its head and the checkpoint beside the database."""
        witness = self._witness()
        with self._storage.read() as connection:
            marks = dict(connection.execute(select(meta.c.key, meta.c.value).where(meta.c.key.in_((HEAD, BASE)))).all())
            base = self._authentic(BASE, marks[BASE]) if BASE in marks else Mark(0, _NONE)
            if base is None:
                return Verdict(1, 0, 1, "the mark of where the kept rows begin was altered")
            last = base
            statement = select(audit).order_by(audit.c.id)
            for row in connection.execution_options(yield_per=_BATCH).execute(statement):
                problem = self._problem(row, last, witness)
                if problem:
                    return Verdict(last.id + 1, last.id - base.id, base.id + 1, problem)
                last = Mark(row.id, row.hash)
        rows, first = last.id - base.id, base.id + 1
        head = self._authentic(HEAD, marks.get(HEAD))
        if (HEAD in marks or last.id) and head != last:
            return Verdict(last.id + 1, rows, first, "rows at the end are missing, or the mark of the end was altered")
        if witness is not None and witness.id > last.id:
            reason = f"the checkpoint next to the database knows row {witness.id}, so the database is an older copy"
            return Verdict(last.id + 1, rows, first, reason)
        return self._witnessed(Verdict(None, rows, first), witness, head)

    def _witnessed(self, verdict: Verdict, witness: Mark | None, head: Mark | None) -> Verdict:
        """Say of a chain that is sound what it means that no checkpoint vouches for it."""
        if witness is not None:
            return verdict
        gone = "does not match" if self._checkpoint.read() is not None else "is missing"
        if head is None or not head.witnessed:
            return replace(verdict, note=f"the checkpoint next to the database {gone}")
        reason = f"the checkpoint next to the database, kept since row {head.witnessed}, {gone}"
        return replace(verdict, reason=reason, lost=True)

    def checkpoint(self) -> bool:
        """Write the chain's end beside the database, if it follows from what stands there; return whether it did.

        A file that this chain does not lead on from is left: it is the proof that rows are gone. And where one was
        written and is there no more, none is: :meth:`renew_checkpoint` is for a person who knows why.
        """
        witness = self._witness()
        with self._storage.read() as connection:
            stored = connection.scalar(select(meta.c.value).where(meta.c.key == HEAD))
            head = self._authentic(HEAD, stored)
            if head is None or (head == witness and head.witnessed):
                return False
            if witness is None and head.witnessed:
                return False
            if witness is not None:
                kept = connection.scalar(select(audit.c.hash).where(audit.c.id == witness.id))
                based = self._base(connection).id >= witness.id
                if head.id < witness.id or not (kept == witness.hash or (kept is None and based)):
                    return False
        self._write_checkpoint(stored)
        return True

    def renew_checkpoint(self, actor: Actor) -> None:
        """Write the chain's end beside the database whatever stands there, or does not; the record says so for ever.

        Raises:
            OSError: the file cannot be written.
        """
        witness = self._witness()
        with self._storage.write() as connection:
            known = witness.id if witness is not None else self._head(connection).witnessed
            before = {"state": "lost" if witness is None else "there", "id": known}
            self.record(connection, actor, "audit.checkpoint", "audit", before)
            stored = connection.scalar(select(meta.c.value).where(meta.c.key == HEAD))
        self._write_checkpoint(stored)

    def forget_checkpoint(self, connection: Connection) -> None:
        """Expect no checkpoint until the next is written: in the transaction that begins a restored database."""
        self._keep(connection, HEAD, replace(self._head(connection), witnessed=0))

    def _write_checkpoint(self, stored: str | None) -> None:
        """The file first: a crash in between leaves one that is not expected yet, which is no fault."""
        self._checkpoint.write(f"{stored}\n")
        with self._storage.write() as connection:
            head = self._authentic(HEAD, connection.scalar(select(meta.c.value).where(meta.c.key == HEAD)))
            if head is not None and not head.witnessed:
                self._keep(connection, HEAD, replace(head, witnessed=head.id))

    def prune(self, connection: Connection, through: int) -> int:
        """Remove the rows up to ``through`` in the caller's transaction, and keep the rest verifiable.

        Returns:
            how many were removed; 0 where a row is not sound, since removing it would hide that.
        """
        base = last = self._base(connection)
        rows = connection.execute(select(audit).where(audit.c.id <= through).order_by(audit.c.id)).all()
        for row in rows:
            if self._problem(row, last, None):
                return 0
            last = Mark(row.id, row.hash)
        if last != base:
            connection.execute(delete(audit).where(audit.c.id <= last.id))
            self._keep(connection, BASE, last)
        return last.id - base.id

    def _problem(self, row: Row[Any], last: Mark, witness: Mark | None) -> str:
        if row.id != last.id + 1 or row.previous != last.hash:
            return "it is missing, or the row in its place does not follow from the one before"
        if not self._sound(row):
            return "it was altered"
        if witness is not None and row.id == witness.id and row.hash != witness.hash:
            return "it is not the row that the checkpoint beside the database knows"
        return ""

    def _base(self, connection: Connection) -> Mark:
        stored = connection.scalar(select(meta.c.value).where(meta.c.key == BASE))
        # A base that was altered fits no row: nothing is pruned, and examine() says why.
        return Mark(0, _NONE) if stored is None else self._authentic(BASE, stored) or Mark(0, secrets.token_bytes(32))

    def _witness(self) -> Mark | None:
        text = self._checkpoint.read()
        return None if text is None else self._authentic(HEAD, text.strip())

    def _keep(self, connection: Connection, name: str, mark: Mark) -> None:
        version, key = self._vault.key("audit")
        value = f"{mark.id}:{mark.hash.hex()}:{version}:{mark.witnessed}:{_mark_mac(key, name, mark)}"
        statement = upsert(meta).values(key=name, value=value)
        connection.execute(statement.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": value}))

    def _head(self, connection: Connection) -> Mark:
        """Return where the next row goes on, from the authenticated head.

        After a removal the chain thus goes on with a gap, and after any other damage
        from a hash that no row has: what was broken stays visible for ever.
        """
        last = connection.execute(select(audit.c.id).order_by(audit.c.id.desc()).limit(1)).scalar() or 0
        stored = connection.scalar(select(meta.c.value).where(meta.c.key == HEAD))
        if stored is None and last == 0:
            return Mark(0, _NONE)
        head = self._authentic(HEAD, stored)
        if head is None or head.id < last:
            return Mark(last, secrets.token_bytes(32))
        return head

    def _authentic(self, name: str, stored: str | None) -> Mark | None:
        try:
            number, digest, version, *witnessed, mac = (stored or "").split(":")
            _unused, key = self._vault.key("audit", int(version))
            mark = Mark(int(number), bytes.fromhex(digest), *map(int, witnessed))
            # The first databases hold marks without ``witnessed``.
            same = hmac.compare_digest(mac, (_mark_mac if witnessed else _first_mark_mac)(key, name, mark))
        except (TypeError, ValueError, LookupError):  # TypeError: a mac that is not ASCII
            return None
        return mark if same else None

    def _sound(self, row: Row[Any]) -> bool:
        try:
            _unused, key = self._vault.key("audit", row.key_version)
        except LookupError:
            return False
        return hmac.compare_digest(row.hash, _digest(key, row._asdict()))

    def _detail(self, key: bytes, detail: Mapping[str, Any] | None) -> str | None:
        if detail is None:
            return None
        text = json.dumps(self._scrubber.scrub_value(masked(key, detail)), sort_keys=True, separators=(",", ":"))
        if len(text) > DETAIL_LIMIT:
            return json.dumps({"too_long": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()})
        return text


_COVERED = ("id", "at", "actor", "address", "action", "target", "before", "after", "key_version")


def _digest(key: bytes, row: Mapping[str, Any]) -> bytes:
    # As a JSON list the fields cannot run into one another, and null differs from an empty text.
    covered = json.dumps([row[name] for name in _COVERED]).encode()
    return hmac.new(key, b"argos audit row\0" + row["previous"] + covered, hashlib.sha256).digest()


_LABELS = {HEAD: b"argos audit head\0", BASE: b"argos audit base\0"}


def _mark_mac(key: bytes, name: str, mark: Mark) -> str:
    # What _first_mark_mac covers begins with a digit, and this with a bracket.
    return _mac(key, name, json.dumps([mark.id, mark.hash.hex(), mark.witnessed]).encode())


def _first_mark_mac(key: bytes, name: str, mark: Mark) -> str:
    return _mac(key, name, str(mark.id).encode() + b"\0" + mark.hash)


def _mac(key: bytes, name: str, covered: bytes) -> str:
    return hmac.new(key, _LABELS[name] + covered, hashlib.sha256).hexdigest()

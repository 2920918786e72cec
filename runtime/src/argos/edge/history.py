"""Revisions as a person reads them: who, when, what; and the states they led to."""

from __future__ import annotations

import base64
import difflib
import json
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Row, select

from argos.edge.plan import Change, State
from argos.errors import Conflict, NotFound
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.storage.tables import revisions

PAGE = 50
_PACKED = "zlib:"
_COLUMNS = (
    revisions.c.id,
    revisions.c.state,
    revisions.c.actor,
    revisions.c.summary,
    revisions.c.reason,
    revisions.c.etag,
    revisions.c.created_at,
    revisions.c.activated_at,
)


class Revision(msgspec.Struct, frozen=True):
    """One attempt to change the declared state. Times in seconds since the epoch.

    ``state`` is active, superseded (was in force), failed (never was; ``reason`` says why) or pending.
    """

    id: int
    state: str
    actor: str
    summary: str
    reason: str
    etag: str
    created_at: int
    activated_at: int | None


class Recorded(msgspec.Struct, frozen=True):
    """A revision with what it changed, known secrets taken out; None for one of before changes were kept."""

    revision: Revision
    changes: tuple[Change, ...] | None


class _Kept(msgspec.Struct):
    state: msgspec.Raw
    changes: tuple[Change, ...]


def pack(state: State, changes: tuple[Change, ...]) -> str:
    """What the database keeps of a revision. Packed: a thousand hosts are 1.5 MB, and differ little from each other."""
    text = b'{"state":%b,"changes":%b}' % (state.as_json().encode(), msgspec.json.encode(changes))
    return _PACKED + base64.b64encode(zlib.compress(text, 6)).decode()


def unpack(kept: str) -> tuple[State, tuple[Change, ...] | None]:
    """Read back :func:`pack`, or a bare state as earlier versions kept it.

    Raises:
        Unavailable: the state is of a shape that this version does not know.
    """
    if not kept.startswith(_PACKED):
        return State.from_json(kept), None
    found = msgspec.json.decode(zlib.decompress(base64.b64decode(kept.removeprefix(_PACKED))), type=_Kept)
    return State.from_json(bytes(found.state)), found.changes


class History:
    """Reads the revisions of one database."""

    def __init__(self, storage: Storage, scrubber: Scrubber) -> None:
        self._storage = storage
        self._scrubber = scrubber

    def newest(self, *, before: int | None = None, limit: int = PAGE) -> list[Revision]:
        """At most ``limit`` revisions (1 to 500), the newest first; with ``before`` those with a smaller number."""
        query = select(*_COLUMNS).order_by(revisions.c.id.desc()).limit(min(max(limit, 1), 500))
        if before is not None:
            query = query.where(revisions.c.id < before)
        with self._storage.read() as connection:
            return [self._revision(row) for row in connection.execute(query)]

    def get(self, number: int) -> Recorded:
        """One revision and what it changed.

        Raises:
            NotFound: there is none, or it is no longer kept.
        """
        row = self._row(number)
        changes = unpack(row.resources)[1]
        if changes is not None:
            changes = tuple(
                msgspec.structs.replace(
                    change,
                    before=self._scrubber.scrub_value(change.before),
                    after=self._scrubber.scrub_value(change.after),
                )
                for change in changes
            )
        return Recorded(self._revision(row), changes)

    def state_of(self, number: int) -> State:
        """The whole state that a revision led to.

        Raises:
            NotFound: there is none, or it is no longer kept.
            Conflict: it never was in force.
        """
        row = self._row(number)
        if row.state not in {"active", "superseded"}:
            raise Conflict(f"revision/{number}: it was never in force, so there is nothing to go back to")
        return unpack(row.resources)[0]

    def _row(self, number: int) -> Row[*tuple[Any, ...]]:
        with self._storage.read() as connection:
            query = select(*_COLUMNS, revisions.c.resources).where(revisions.c.id == number)
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"revision/{number}: there is no such revision, or it is no longer kept")
        return row

    def _revision(self, row: Row[*tuple[Any, ...]]) -> Revision:
        values = {column.name: getattr(row, column.name) for column in _COLUMNS}
        values["reason"] = self._scrubber.scrub(row.reason)
        return Revision(**values)


def diff_lines(change: Change) -> list[str]:
    """A change as the lines of a unified diff, three lines around each difference, without the file names."""
    lines = difflib.unified_diff(_lines(change.before), _lines(change.after), lineterm="", n=3)
    return list(lines)[2:]


def diff_text(changes: tuple[Change, ...]) -> Iterator[str]:
    """Every change, each led by what it is about."""
    for change in changes:
        yield f"{change.action} {change.kind}/{change.name}"
        yield from (f"  {line}" for line in diff_lines(change))


def _lines(spec: dict[str, Any] | None) -> list[str]:
    return [] if spec is None else json.dumps(spec, indent=2, sort_keys=True, ensure_ascii=False).splitlines()

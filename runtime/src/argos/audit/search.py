"""Reading the record: by filters, page by page, newest first; and all of it, oldest first.

Every value reaches SQLite as a parameter (DAT-1), every text is bounded, and one
request looks at no more than :data:`WINDOW` rows, whatever it asks for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, or_, select

from argos.errors import FieldError, Invalid
from argos.storage.engine import Storage
from argos.storage.tables import audit

TEXT_LIMIT = 200  # characters of one filter
PAGE = 50
PAGE_LIMIT = 500
WINDOW = 100_000
_BATCH = 500

# What a filter by kind means, as the record writes actors.
KINDS: dict[str, str] = {
    "person": "user:",
    "token": "token:",
    "ansible": "admin_api:ansible:",
    "socket": "admin_api:",
    "cli": "cli:",
    "system": "system:",
}
_CLAIMS = frozenset({"ansible", "socket", "cli"})
TEXTS = ("actor", "action", "target", "address", "text")


@dataclass(frozen=True)
class Query:
    """Filters, all of which a row must pass; empty ones let everything pass.

    Args:
        kind: one of :data:`KINDS`.
        actor: a part of the actor's name.
        action: the action, or what it begins with: ``user.`` finds ``user.create``.
        target: a part of the target.
        address: what the address begins with.
        text: a part of action, target, before or after.
        since: seconds since the Unix epoch, that moment included.
        until: likewise, that moment excluded.
        before: only rows with a smaller id; how the next page is asked for.
        limit: at most so many rows, 1 to 500.
    """

    kind: str = ""
    actor: str = ""
    action: str = ""
    target: str = ""
    address: str = ""
    text: str = ""
    since: int | None = None
    until: int | None = None
    before: int | None = None
    limit: int = PAGE


@dataclass(frozen=True)
class Entry:
    """One row. ``claim``: the actor's name is what the caller said, not what was proved."""

    id: int
    at: int
    kind: str
    actor: str
    claim: bool
    address: str
    action: str
    target: str
    before: Any
    after: Any

    @property
    def time(self) -> str:
        """``at`` in UTC, as RFC 3339 writes it."""
        return datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Page:
    """Rows, newest first, and the ``before`` of the next page; None at the beginning of the record."""

    entries: tuple[Entry, ...]
    older: int | None


def parse_query(given: Mapping[str, str]) -> Query:
    """Make a query of texts, as a URL or a form holds them; unknown names are ignored.

    Raises:
        Invalid: naming every field that is wrong.
    """
    errors: list[FieldError] = []
    texts = {name: given.get(name, "").strip() for name in (*TEXTS, "kind")}
    for name, value in texts.items():
        if len(value) > TEXT_LIMIT or not _is_text(value):
            errors.append(FieldError("audit", name, "is too long or no text", f"at most {TEXT_LIMIT} characters"))
    if texts["kind"] and texts["kind"] not in KINDS:
        errors.append(FieldError("audit", "kind", f"is {texts['kind'][:20]!r}", "one of " + ", ".join(KINDS)))
    numbers: dict[str, int | None] = {}
    for name, highest in (("since", 2**40), ("until", 2**40), ("before", 2**62), ("limit", PAGE_LIMIT)):
        raw = given.get(name, "").strip()
        numbers[name] = _moment(raw) if name in {"since", "until"} else _number(raw)
        number = numbers[name]
        if raw and (number is None or not (1 if name == "limit" else 0) <= number <= highest):
            expected = "a date such as 2026-11-23, or seconds since 1970" if highest == 2**40 else f"1 to {highest}"
            errors.append(FieldError("audit", name, f"is {raw[:30]!r}", expected))
    if errors:
        raise Invalid(errors)
    return Query(
        **texts,
        since=numbers["since"],
        until=numbers["until"],
        before=numbers["before"],
        limit=numbers["limit"] or PAGE,
    )


class Search:
    """Looks things up in the record."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def page(self, query: Query) -> Page:
        """One page, newest first; it may hold fewer rows than asked for, or none, and still be followed by another."""
        with self._storage.read() as connection:
            first, last = connection.execute(select(func.min(audit.c.id), func.max(audit.c.id))).one()
            if last is None:
                return Page((), None)
            top = last + 1 if query.before is None else min(query.before, last + 1)
            low = max(first, top - WINDOW)
            statement = select(audit).where(audit.c.id >= low, audit.c.id < top, *_conditions(query))
            rows = connection.execute(statement.order_by(audit.c.id.desc()).limit(query.limit)).all()
        end = rows[-1].id if len(rows) == query.limit else low
        return Page(tuple(map(entry_of, rows)), end if end > first else None)

    def all(self, query: Query, after: int = 0) -> Iterator[Entry]:
        """Every row that passes, oldest first; memory and each transaction stay small however many there are.

        ``query.before`` and ``after``, an id, bound it; ``query.limit`` does not.
        """
        last = after
        while True:
            with self._storage.read() as connection:
                highest = connection.scalar(select(func.max(audit.c.id))) or 0
                top = min(highest, query.before - 1 if query.before else highest, last + WINDOW)
                window = audit.c.id > last, audit.c.id <= top
                rows = connection.execute(
                    select(audit).where(*window, *_conditions(query)).order_by(audit.c.id).limit(_BATCH)
                ).all()
            yield from map(entry_of, rows)
            last = rows[-1].id if len(rows) == _BATCH else top
            if last >= min(highest, query.before - 1 if query.before else highest):
                return


def entry_of(row: Row[Any]) -> Entry:
    """A row in the reader's words."""
    kind, _unused, name = row.actor.partition(":")
    shown = next((word for word, prefix in KINDS.items() if row.actor.startswith(prefix)), kind)
    return Entry(
        id=row.id,
        at=row.at,
        kind=shown,
        actor=name.removeprefix("ansible:") if shown == "ansible" else name,
        claim=shown in _CLAIMS,
        address=row.address,
        action=row.action,
        target=row.target,
        before=_plain(row.before),
        after=_plain(row.after),
    )


def _conditions(query: Query) -> Iterator[ColumnElement[bool]]:
    if query.kind:
        yield audit.c.actor.startswith(KINDS[query.kind], autoescape=True)
        if query.kind == "socket":
            yield ~audit.c.actor.startswith(KINDS["ansible"], autoescape=True)
    if query.actor:
        # The part before the first colon is the kind, which "actor" does not look at.
        yield func.substr(audit.c.actor, func.instr(audit.c.actor, ":") + 1).contains(query.actor, autoescape=True)
    if query.action:
        yield audit.c.action.startswith(query.action, autoescape=True)
    if query.target:
        yield audit.c.target.contains(query.target, autoescape=True)
    if query.address:
        yield audit.c.address.startswith(query.address, autoescape=True)
    if query.text:
        places = (audit.c.action, audit.c.target, audit.c.before, audit.c.after)
        yield or_(*(place.contains(query.text, autoescape=True) for place in places))
    if query.since is not None:
        yield audit.c.at >= query.since
    if query.until is not None:
        yield audit.c.at < query.until


def _plain(detail: str | None) -> Any:
    if detail is None:
        return None
    try:
        return json.loads(detail)
    except ValueError:
        return detail  # altered by hand; examine() says so


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _moment(text: str) -> int | None:
    if text.isdigit():
        return _number(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())

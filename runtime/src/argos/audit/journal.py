"""A copy of the record in the journal, which another machine may collect: out of reach of who owns the database."""

from __future__ import annotations

import hashlib
import json
import logging
from itertools import islice
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.audit.export import as_dict
from argos.audit.search import Entry, Query, Search
from argos.storage.engine import Storage
from argos.storage.tables import audit, meta

COPIED = "audit_journal"
"""The row of ``meta`` that holds the id of the last row copied."""
LINE = 8000
"""Characters of a line: journald cuts longer ones in pieces, and collectors of logs shorter ones than it."""
_CUT = 80  # characters of a text in a line that is too long without its details; JSON may need 12 for one
_ROUND = 1000

logger = logging.getLogger("argos.audit")


class JournalCopy:
    """Follows the record, whichever process writes it. A crash may copy a row twice, and leaves none out."""

    def __init__(self, storage: Storage) -> None:
        # Whatever ARGOS_LOG_LEVEL says: this is no word about how it goes, it is the record.
        logger.setLevel(logging.INFO)
        self._storage = storage
        self._search = Search(storage)

    def copy(self) -> int:
        """Copy what is new, at most 1000 rows; return how many. What was there before the first call is not copied."""
        with self._storage.read() as connection:
            last = connection.scalar(select(func.max(audit.c.id))) or 0
            stored = connection.scalar(select(meta.c.value).where(meta.c.key == COPIED))
        since = last if stored is None else int(stored)
        copied = 0
        if since < last:
            for entry in islice(self._search.all(Query(), after=since), _ROUND):
                logger.info("%s", line_of(entry))
                since, copied = entry.id, copied + 1
        if copied or stored is None:
            with self._storage.write() as connection:
                row = upsert(meta).values(key=COPIED, value=str(since))
                connection.execute(row.on_conflict_do_update(index_elements=["key"], set_={"value": str(since)}))
        return copied


def line_of(entry: Entry) -> str:
    """A row as one JSON object of at most 8000 characters.

    Of one that is longer ``shortened`` is true: the longer of its details, or both, give way to their length and the
    SHA-256 of what the record holds, and where that is not enough its texts are cut.
    """
    row = as_dict(entry)
    line = json.dumps(row)
    by_length = sorted(("before", "after"), key=lambda name: len(_detail(row[name])), reverse=True)
    for name in by_length:
        if len(line) <= LINE:
            return line
        if row[name] is not None:
            detail = _detail(row[name])
            row[name] = {"too_long": len(detail), "sha256": hashlib.sha256(detail.encode()).hexdigest()}
        line = json.dumps({**row, "shortened": True})
    if len(line) <= LINE:
        return line
    actor = {name: _cut(value) for name, value in row["actor"].items()}
    texts = {name: _cut(row[name]) for name in ("address", "action", "target")}
    return json.dumps({**row, **texts, "actor": actor, "shortened": True})


def _detail(value: Any) -> str:
    """As the record holds it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _cut(value: Any) -> Any:
    return value[:_CUT] + "…" if isinstance(value, str) and len(value) > _CUT else value

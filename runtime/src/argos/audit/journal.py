"""A copy of the record in the journal, which another machine may collect: out of reach of who owns the database."""

from __future__ import annotations

import json
import logging
from itertools import islice

from sqlalchemy import func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.audit.export import as_dict
from argos.audit.search import Query, Search
from argos.storage.engine import Storage
from argos.storage.tables import audit, meta

COPIED = "audit_journal"
"""The row of ``meta`` that holds the id of the last row copied."""
_LINE = 8000  # characters; journald cuts longer lines in pieces
_ROUND = 1000

logger = logging.getLogger("argos.audit")


class JournalCopy:
    """Follows the record, whichever process writes it. A crash may copy a row twice, and leaves none out."""

    def __init__(self, storage: Storage) -> None:
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
                logger.info("%s", json.dumps(as_dict(entry), ensure_ascii=True)[:_LINE])
                since, copied = entry.id, copied + 1
        if copied or stored is None:
            with self._storage.write() as connection:
                row = upsert(meta).values(key=COPIED, value=str(since))
                connection.execute(row.on_conflict_do_update(index_elements=["key"], set_={"value": str(since)}))
        return copied

"""How long the record is kept: by age and by number of rows. What stays is verifiable all the same."""

from __future__ import annotations

from sqlalchemy import func, select

from argos.audit.record import Actor, Audit
from argos.storage.engine import Storage
from argos.storage.tables import audit

_BATCH = 1000  # rows of one transaction
_BATCHES = 50  # of one sweep: the rest is for the next


class Retention:
    """Takes the oldest rows away.

    Args:
        storage: the database.
        audit: the record.
        days: rows older than that go; 0 keeps them however old.
        rows: of more rows the oldest go.
    """

    def __init__(self, storage: Storage, record: Audit, *, days: int, rows: int) -> None:
        self._storage = storage
        self._record = record
        self._days = days
        self._rows = rows

    def sweep(self, now: int) -> int:
        """Remove what is over age or number; return how many rows went. A damaged row holds its followers back."""
        removed = 0
        for _unused in range(_BATCHES):
            with self._storage.write() as connection:
                first, last = connection.execute(select(func.min(audit.c.id), func.max(audit.c.id))).one()
                if last is None:
                    break
                through = last - self._rows
                if self._days:
                    # Only what has nothing younger before it: a clock set back makes no gap.
                    young = select(func.min(audit.c.id)).where(audit.c.at >= now - self._days * 86_400)
                    through = max(through, (connection.scalar(young) or last) - 1)
                gone = self._record.prune(connection, min(through, first + _BATCH - 1)) if through >= first else 0
                removed += gone
                if gone and through < first + _BATCH:
                    what = {"rows": removed, "to": min(through, first + _BATCH - 1)}
                    self._record.record(connection, Actor("system", "retention"), "audit.prune", "audit", after=what)
            if gone < _BATCH:
                break
        return removed

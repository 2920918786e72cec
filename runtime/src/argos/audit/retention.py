"""How long the record is kept: by age and by number of rows. What stays is verifiable all the same."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from argos.audit.record import Actor, Audit
from argos.storage.engine import Storage
from argos.storage.tables import audit

_BATCH = 1000  # rows of one transaction
_BATCHES = 50  # of one sweep: the rest is for the next
_DAY = 86_400


class Retention:
    """Takes the oldest rows away.

    Each removal is itself a row. So that those rows never take the place of the others, nothing is removed
    before a bound is passed, and then more than that: a hundredth of the rows, or a day of them.

    Args:
        storage: the database.
        audit: the record.
        days: rows older than that go, at most a day later; 0 keeps them however old.
        rows: of more rows the oldest go; 2 or more.
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
                first, through = self._over(connection, now)
                gone = self._record.prune(connection, min(through, first + _BATCH - 1)) if through >= first else 0
                if gone:
                    what = {"rows": gone, "to": first + gone - 1}
                    self._record.record(connection, Actor("system", "retention"), "audit.prune", "audit", after=what)
            removed += gone
            if gone < _BATCH:
                break
        return removed

    def _over(self, connection: Connection, now: int) -> tuple[int, int]:
        """Return the first row's id, and the id up to which rows are to go: a smaller one when none is."""
        first, last = connection.execute(select(func.min(audit.c.id), func.max(audit.c.id))).one()
        if last is None:
            return 1, 0
        through = first - 1
        if last - through > self._rows:
            through = last - (self._rows - max(1, self._rows // 100))
        oldest = connection.scalar(select(audit.c.at).where(audit.c.id == first)) or 0
        if self._days and oldest < now - (self._days + 1) * _DAY:
            # Only what has nothing younger before it: a clock set back makes no gap.
            young = select(func.min(audit.c.id)).where(audit.c.at >= now - self._days * _DAY)
            through = max(through, (connection.scalar(young) or last) - 1)
        return int(first), int(through)

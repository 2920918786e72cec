"""What this runtime keeps, and the bound of each: no table and no map grows with what strangers send (DAT-4).

Whoever adds a table or a map in memory adds a :class:`Kept` for it in
:func:`argos.bounds.kept_by`. ``argos status --json`` shows them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from sqlalchemy import Table, func, select

from argos.clock import Clock
from argos.storage.engine import Storage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """One table or map.

    Args:
        name: the table's name, or the map's.
        bound: it never holds more for long: whoever writes enforces that, or the sweep does.
        count: how many it holds now.
        sweep: called with the time (Unix seconds) every five minutes; None where whoever writes keeps the bound.
        kind: where it is.
    """

    name: str
    bound: int
    count: Callable[[], int]
    sweep: Callable[[int], object] | None = None
    kind: Literal["table", "map"] = "table"


class KeptView(msgspec.Struct, frozen=True):
    """A line of the report. ``swept_at`` is None for what needs no sweep, or was not swept yet."""

    name: str
    kind: str
    rows: int
    bound: int
    swept_at: int | None


class Sweeper:
    """Sweeps all of it, and reports."""

    def __init__(self, clock: Clock, kept: Sequence[Kept]) -> None:
        self._clock = clock
        self._kept = tuple(kept)
        self._lock = threading.Lock()
        self._swept: dict[str, int] = {}

    def sweep(self) -> None:
        """Sweep everything; one that fails holds up no other.

        Raises:
            Exception: the first failure, when all had their turn.
        """
        failure: Exception | None = None
        for one in self._kept:
            if one.sweep is None:
                continue
            now = self._clock.now()
            try:
                one.sweep(now)
            except Exception as error:  # the others have their turn all the same
                logger.warning("%s was not swept: %s", one.name, error)
                failure = failure or error
            else:
                with self._lock:
                    self._swept[one.name] = now
        if failure is not None:
            raise failure

    def report(self) -> list[KeptView]:
        """How much there is of each, by name."""
        with self._lock:
            swept = dict(self._swept)
        return [
            KeptView(one.name, one.kind, one.count(), one.bound, swept.get(one.name))
            for one in sorted(self._kept, key=lambda one: one.name)
        ]


def rows_of(storage: Storage, table: Table) -> Callable[[], int]:
    """A count of ``table``."""

    def count() -> int:
        with storage.read() as connection:
            return connection.scalar(select(func.count()).select_from(table)) or 0

    return count

"""Moments as a page shows them: the time with its zone, how far from now, and the machine's form of both."""

from __future__ import annotations

import time
from dataclasses import dataclass

from argos.clock import to_the_minute

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


@dataclass(frozen=True)
class Moment:
    """``text`` is ``2026-11-23 02:00 UTC``, ``relative`` is ``3 days ago`` or ``in 2 hours``, ``iso`` is RFC 3339."""

    text: str
    relative: str
    iso: str

    @classmethod
    def of(cls, at: int, now: int) -> Moment:
        """The moment ``at`` seen from ``now``, both in Unix seconds."""
        return cls(to_the_minute(at), relative(at - now), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)))


def relative(seconds: int) -> str:
    """How far away: "in 3 minutes" for ``seconds`` to come, "3 minutes ago" for those past (negative)."""
    size = abs(seconds)
    if size < 60:
        return "just now"
    # Days from the second on: "in 47 hours" says more than "in 1 day".
    unit, word = next((unit, word) for unit, word in _UNITS if size >= (2 * unit if word == "day" else unit))
    count = size // unit
    words = f"{count} {word}{'' if count == 1 else 's'}"
    return f"in {words}" if seconds > 0 else f"{words} ago"

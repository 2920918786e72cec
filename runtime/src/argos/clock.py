"""The one source of wall-clock time, so that a test can set it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in whole seconds since the Unix epoch, UTC."""

    def now(self) -> int:
        """Return the current time in seconds."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return the current time in seconds."""
        return int(time.time())


class FixedClock:
    """A clock that moves only when told to: for tests."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self._now = now

    def now(self) -> int:
        """Return the time it was set to, in seconds."""
        return self._now

    def advance(self, seconds: int) -> None:
        """Move the clock by ``seconds``; a negative number moves it back."""
        self._now += seconds


def to_the_minute(at: int) -> str:
    """A moment as people read it, such as ``2026-11-23 02:00 UTC``.

    Args:
        at: seconds since the Unix epoch.
    """
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))

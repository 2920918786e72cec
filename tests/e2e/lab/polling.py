"""Waiting for something that will be true soon, without a fixed sleep."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

Value = TypeVar("Value")


def until(what: str, probe: Callable[[], Value], *, within: float, every: float = 0.2) -> Value:
    """Return the first true value of ``probe``; fail the test with ``what`` after ``within`` seconds.

    An error of the network or of an assertion in the probe counts as "not yet", and the last one is shown.
    """
    deadline = time.monotonic() + within
    last: object = None
    while True:
        try:
            last = value = probe()
            if value:
                return value
        except (OSError, AssertionError, httpx.TransportError, subprocess.TimeoutExpired) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}; last seen: {last!r}")
        time.sleep(every)


def steadily(what: str, probe: Callable[[], bool], *, during: float, every: float = 0.2) -> int:
    """Demand that ``probe`` is true each time it is asked for ``during`` seconds; return how often it was."""
    end = time.monotonic() + during
    asked = 0
    while time.monotonic() < end:
        asked += 1
        assert probe(), f"not true on look {asked}: {what}"
        time.sleep(every)
    return asked

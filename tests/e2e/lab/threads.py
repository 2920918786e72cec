"""Threads that go on asking until they are told to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def running(threads: Iterable[threading.Thread], stop: threading.Event) -> Iterator[None]:
    """Run ``threads``, which end once ``stop`` is set, for as long as the block lasts."""
    started = list(threads)
    for thread in started:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in started:
            thread.join(90)

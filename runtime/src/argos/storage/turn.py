"""Whose turn it is to write: processes that want the database wait in line.

SQLite lets who waits look again ever more seldom, up to 100 ms apart, and who has just committed
begins anew within a fraction of that: of two that write all the time one may starve until its wait
is over. Here the one that waits for SQLite holds this file meanwhile, so that who has just written
comes after it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_S = 0.002


@contextmanager
def in_turn(path: Path, patience: float) -> Iterator[None]:
    """Hold ``path`` for a block, after at most ``patience`` seconds.

    It is about fairness alone: where it cannot be had, on a full disk or from a process that
    hangs, the block is entered all the same, and SQLite decides. A process that dies lets go.
    """
    try:
        # Its owner's alone: whoever may open it could make all others wait.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        yield
        return
    try:
        until = time.monotonic() + patience
        while not taken(descriptor) and time.monotonic() < until:
            time.sleep(_LOOK_S)
        yield
    finally:
        os.close(descriptor)


def taken(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Take the ``flock`` of an open file, alone or with ``LOCK_SH`` beside others, if nobody has it otherwise."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

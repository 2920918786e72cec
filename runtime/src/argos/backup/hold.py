"""Who may be at the data while a restore puts other data in its place.

Two files beside the database, each locked by ``flock``, so that whoever dies lets go:
``restore.lock`` is held by one restore at a time, from before it stages until both trees have
changed places; ``in-use.lock`` is shared by every process that opens the services, and held
alone by a restore for the moment in which its journal appears. So a change that was acknowledged
is either in the state that is kept, seen by the restore, or was refused because of the journal.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from argos.errors import Conflict, Unavailable
from argos.half_restored import INTERRUPTED, half_restored
from argos.storage.turn import taken

if TYPE_CHECKING:
    from argos.settings import Settings

RESTORE_LOCK = "restore.lock"
IN_USE_LOCK = "in-use.lock"
PATIENCE_S = 10.0
"""How long a restore waits for commands that are under way."""


@contextmanager
def in_use(settings: Settings) -> Iterator[None]:
    """Keep a restore from changing places with the data for a block.

    Raises:
        Unavailable: a restore is doing so, or was interrupted at it.
    """
    descriptor = _opened(settings.data_dir / IN_USE_LOCK)
    try:
        if not taken(descriptor, fcntl.LOCK_SH):
            raise Unavailable("A restore is replacing the data; try again when it has finished")
        refuse_half_restored(settings.data_dir)
        yield
    finally:
        os.close(descriptor)


def refuse_half_restored(data_dir: Path) -> None:
    """Raise where a journal stands.

    Raises:
        Unavailable: it does.
    """
    if half_restored(data_dir):
        raise Unavailable(INTERRUPTED)


@contextmanager
def unused(settings: Settings) -> Iterator[None]:
    """Hold the data alone for a block, after :data:`PATIENCE_S` at most.

    Raises:
        Conflict: something uses it still.
    """
    descriptor = _opened(settings.data_dir / IN_USE_LOCK)
    try:
        until = time.monotonic() + PATIENCE_S
        while not taken(descriptor):
            if time.monotonic() > until:
                raise Conflict(
                    "Nothing was restored: the runtime or another argos command is using the data. Stop the runtime "
                    "(systemctl stop argos) or let the command end, and try again"
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def take_restore(data_dir: Path) -> int | None:
    """Begin to be the one restore of this guest; the descriptor to close at its end, None while another is at it."""
    descriptor = _opened(data_dir / RESTORE_LOCK)
    if taken(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _opened(path: Path) -> int:
    # Its owner's alone: whoever may open it could make all others wait.
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise Unavailable(f"{path}: {problem.strerror}") from None

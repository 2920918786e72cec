"""One change at a time: in this process by a lock, beside other processes by ``flock``."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from argos.errors import Unavailable
from argos.storage.turn import taken

PATIENCE_S = 30
_LOOK_S = 0.05


class ApplyLock:
    """Held over ``path``, which is made when it is not there; a process that dies lets go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it for a block.

        Raises:
            Unavailable: another holds it for 30 s.
        """
        until = time.monotonic() + PATIENCE_S
        if not self._lock.acquire(timeout=PATIENCE_S):
            raise _busy()
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                while not taken(descriptor):
                    if time.monotonic() > until:
                        raise _busy()
                    time.sleep(_LOOK_S)
                yield
            finally:
                os.close(descriptor)
        finally:
            self._lock.release()


def _busy() -> Unavailable:
    return Unavailable("Another change is being applied", retry_after=PATIENCE_S)

"""The epoch: how a revocation reaches the gate's cache before its answer is given.

A file of 16 bytes holds two little-endian unsigned 64-bit words: a counter and a
heartbeat (CLOCK_MONOTONIC, ns). Each is written in place by its own ``pwrite``.
systemd-tmpfiles makes the file; nobody replaces or truncates it, so a reader may
keep it open. A cached decision of another counter is worth nothing, and with a
heartbeat older than 3 s nothing cached may be used at all.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import threading
import time
from pathlib import Path
from typing import NamedTuple

STALE_AFTER_NS = 3_000_000_000
SIZE = 16

_WORD = struct.Struct("<Q")
_BOTH = struct.Struct("<QQ")
_HEARTBEAT_OFFSET = 8
_MOST = 2**64 - 1


class Epoch(NamedTuple):
    """One reading. ``fresh`` False: use no cache."""

    counter: int
    fresh: bool


class EpochWriter:
    """Advances the counter and beats; several processes may hold one at a time.

    Raises:
        OSError: the file cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # flock does not part threads that share one descriptor
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)

    def advance(self) -> int:
        """Make every cached decision worthless, and return the new counter.

        Call it after the commit of what it announces and before answering.
        """
        with self._lock:
            # A CLI process may advance at the same moment: without the lock one advance could be lost.
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                word = os.pread(self._fd, _WORD.size, 0)
                counter = _WORD.unpack(word)[0] if len(word) == _WORD.size else 0
                # A random start: a counter of before a reboot never comes again. 0 means "never started".
                counter = secrets.randbits(62) + 1 if counter in {0, _MOST} else counter + 1
                os.pwrite(self._fd, _WORD.pack(counter), 0)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        return counter

    def beat(self) -> None:
        """Say that the runtime lives; at least once a second, and only after a first :meth:`advance`."""
        os.pwrite(self._fd, _WORD.pack(time.monotonic_ns()), _HEARTBEAT_OFFSET)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


class EpochReader:
    """Reads the epoch with one ``pread``; never raises."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def read(self) -> Epoch:
        """Return the epoch of this moment; ``fresh`` is False for a missing, short, unstarted or silent file."""
        # PERF: this runs on every request.
        epoch = self._read_open_file()
        if not epoch.fresh:
            # The file may have been made anew since (a reboot of /run, an operator's rm): look at the name again.
            self._reopen()
            epoch = self._read_open_file()
        return epoch

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_open_file(self) -> Epoch:
        if self._fd < 0:
            return Epoch(0, fresh=False)
        try:
            words = os.pread(self._fd, SIZE, 0)
        except OSError:
            return Epoch(0, fresh=False)
        if len(words) != SIZE:
            return Epoch(0, fresh=False)
        counter, heartbeat = _BOTH.unpack(words)
        age = time.monotonic_ns() - heartbeat
        return Epoch(counter, fresh=counter != 0 and 0 <= age <= STALE_AFTER_NS)

    def _reopen(self) -> None:
        self.close()
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

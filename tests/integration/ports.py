"""Ports that no other test is given, and that no outgoing connection is on.

A port of the kernel's own choosing may be taken, before it is used, by the next connection that
anybody opens: those come from the same range (ip_local_port_range).
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

FIRST, LAST = 20_000, 32_000  # below Linux's range of local ports, which begins at 32768
_COUNTER = Path(tempfile.gettempdir()) / f"argos-test-ports-{os.getuid()}"


def free_port() -> int:
    """A port on which nobody listens, over TCP or UDP, and which no call in any process returned lately."""
    descriptor = os.open(_COUNTER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        last = int(os.pread(descriptor, 16, 0) or b"0")
        port = next(port for port in _after(last) if _is_free(port))
        os.pwrite(descriptor, b"%-16d" % port, 0)
        return port
    finally:
        os.close(descriptor)


def _after(last: int) -> list[int]:
    span = LAST - FIRST
    return [FIRST + (last + 1 - FIRST + step) % span for step in range(span)]


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True

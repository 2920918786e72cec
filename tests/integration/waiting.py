"""Waiting for a condition instead of for a time: a loaded machine is slow, not wrong."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

WITHIN = 60.0  # seconds; nobody waits them on a machine that works


def until(what: Callable[[], bool], *, within: float = WITHIN, told: Callable[[], object] = lambda: "") -> None:
    """Wait until ``what`` holds; an ``OSError`` of it, such as a refused connection, is a no.

    Args:
        what: asked ten times a second.
        within: seconds after which it fails the test.
        told: what a failure says.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            if what():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, told() or f"it did not come to it within {within} s"
        time.sleep(0.1)


def listens(address: int | Path) -> bool:
    """Whether somebody accepts at a loopback port or at a socket's path; a path that is there does not say so."""
    family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
    with socket.socket(family) as probe:
        probe.settimeout(10)
        try:
            probe.connect(("127.0.0.1", address) if isinstance(address, int) else str(address))
        except OSError:
            return False
    return True


def until_listening(address: int | Path, process: subprocess.Popen[bytes], told: Callable[[], object] = str) -> None:
    """Wait until ``process`` accepts at ``address``."""

    def accepts() -> bool:
        assert process.poll() is None, f"it ended ({process.returncode}): {told()}"
        return listens(address)

    until(accepts, told=lambda: f"nobody listens at {address}: {told()}")

"""What a process that holds the master key does first (SEC-3)."""

from __future__ import annotations

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4  # prctl(2)


def forbid_dumps() -> None:
    """Make this process leave no core dump and close its ``/proc/self/environ`` and ``mem`` to its own user.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

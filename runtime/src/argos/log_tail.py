"""The end of a log that another user writes.

APPSEC: its directory belongs to that user, who may lay anything there by the log's name: a
pipe, at which an open would wait for ever, or a link to a file that only we may read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def tail(log: Path, limit: int) -> bytes:
    """The last whole lines of ``log``, at most ``limit`` bytes.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read, or is no plain file.
    """
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        if problem.errno in {errno.ELOOP, errno.ENXIO}:  # a link; a socket
            raise _no_file(log) from None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _no_file(log)
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, status.st_size - limit))
        end = file.read(limit)
    return end.partition(b"\n")[2] if status.st_size > limit else end


def _no_file(log: Path) -> OSError:
    return OSError(errno.EINVAL, "it is no plain file", str(log))

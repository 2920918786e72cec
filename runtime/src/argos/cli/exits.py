"""Exit codes of `argos` (sysexits.h where it has a name for it), and the one place where an error becomes one."""

from __future__ import annotations

import errno
import os
import traceback

from argos.errors import ArgosError, NotFound, Unavailable

OK = 0
FAILED = 1  # it was tried and refused, or doctor found something wrong
USAGE = 2  # argparse's own
NOT_FOUND = 66
UNAVAILABLE = 69
INTERNAL = 70
NO_PERMISSION = 77
CONFIGURATION = 78
INTERRUPTED = 130  # 128 + SIGINT
_THE_DISKS_FAULT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


class Stop(Exception):  # not an error of the program
    """End the command with ``code`` and ``message`` on standard error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def verdict(error: BaseException) -> tuple[int, str]:
    """The exit code of ``error`` and what a person is told."""
    if isinstance(error, Stop):
        return error.code, str(error)
    if isinstance(error, ArgosError):
        codes = {NotFound: NOT_FOUND, Unavailable: UNAVAILABLE}
        return next((code for kind, code in codes.items() if isinstance(error, kind)), FAILED), error.message
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if isinstance(error, OSError) and error.errno in _THE_DISKS_FAULT:
        where = error.filename or "a file cannot be written"
        return UNAVAILABLE, f"{where}: {error.strerror}"
    if os.environ.get("ARGOS_LOG_LEVEL", "").upper() == "DEBUG":
        traceback.print_exception(error)  # its text may hold values, so only who asks for it sees it
    return INTERNAL, f"internal error ({type(error).__name__}); set ARGOS_LOG_LEVEL=DEBUG to see where"

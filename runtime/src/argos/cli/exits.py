"""Exit codes of `argos`, and the one error that carries one (sysexits.h where it has a name for it)."""

from __future__ import annotations

OK = 0
FAILED = 1  # it was tried and refused, or doctor found something wrong
USAGE = 2  # argparse's own
NOT_FOUND = 66
UNAVAILABLE = 69
INTERNAL = 70
NO_PERMISSION = 77
CONFIGURATION = 78
INTERRUPTED = 130  # 128 + SIGINT


class Stop(Exception):  # not an error of the program
    """End the command with ``code`` and ``message`` on standard error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

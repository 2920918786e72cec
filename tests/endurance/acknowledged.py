"""Somebody who changes a guest while a command dies beside him, and what he was told is stored."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from argos.application import Application
from argos.settings import Settings
from argos.storage.tables import audit
from crash_points import begin_apart
from dying_guest import ACTOR
from guest_rig import Guest
from sqlalchemy import func, select
from waiting import until

NAMES = 20
"""Named secrets that are written in turn."""


class Writer:
    """A process that sets named secrets over and over, as the panel's would, and notes each that was acknowledged.

    Args:
        guest: on which guest.
        settings: what it runs with; by default the guest's.
    """

    def __init__(self, guest: Guest, settings: Settings | None = None) -> None:
        self._settings = settings or guest.settings
        self._log = guest.top.with_name("acknowledged")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let it write from before the block to its end, where it is killed wherever it is."""
        self._log.write_bytes(b"")
        child = begin_apart(self._write)
        try:
            until(lambda: self._log.stat().st_size > 0)
            yield
        finally:
            os.kill(child, signal.SIGKILL)
            _unused, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "it was refused a change"

    def assert_all_there(self, here: Application, where: object) -> int:
        """Each name has the value of its last acknowledged change, or that of the one under way; give their number."""
        *lines, _under_way = self._log.read_text(encoding="ascii").split("\n")
        done = len(lines)
        assert lines == [str(number) for number in range(done)], "the log itself was cut"
        for name in range(min(NAMES, done)):
            last = max(number for number in range(name, done, NAMES))
            told = {_value(last)} | ({_value(done)} if done % NAMES == name else set())
            assert here.secrets.reveal(_name(name)) in told, (where, name, last)
        with here.storage.read() as connection:
            rows = connection.scalar(
                select(func.count()).select_from(audit).where(audit.c.target.startswith("secret/written-"))
            )
        assert rows in {done, done + 1}, (where, rows, done)
        return done

    def _write(self) -> int:
        application = Application.from_settings(self._settings, password_cost=4)
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND)
        for number in count():
            application.secrets.set(ACTOR, _name(number % NAMES), _value(number))
            os.write(log, f"{number}\n".encode())
        return 1


def _name(number: int) -> str:
    return f"written-{number}"


def _value(number: int) -> str:
    return f"the value of change {number}"

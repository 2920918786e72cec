"""Somebody who changes the data while a command dies beside him, and what he was told is stored."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from secrets import token_hex

from argos.application import Application
from argos.audit import Actor
from argos.settings import Settings
from argos.storage.tables import audit
from sqlalchemy import func, select
from waiting import until

NAMES, VALUES = 20, 5
"""So many named secrets are written in turn, each with so many values in turn: what is scrubbed stays few."""
PAUSE_S = 0.005
"""Between two changes. Who writes without a pause, and who comes after him, is test_two_writers.py's."""
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["argos.application", "argos.edge.apply", "argos.named_secrets", "argos.vault"])


class Writer:
    """A process that sets named secrets over and over, as the panel's would, and notes each that was acknowledged.

    Args:
        settings: what it runs with.
        log: where it notes them; every note is one that it was told.
    """

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings, self._log, self._actor = settings, log, Actor("cli", "nobody yet")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let it write from before the block to its end, where it is killed wherever it is."""
        self._log.write_bytes(b"")
        self._actor = Actor("cli", f"somebody-{token_hex(4)}")
        process = PROCESSES.Process(target=write, args=(self._settings, str(self._log), self._actor))
        process.start()
        try:
            until(lambda: self._log.stat().st_size > 0 or process.exitcode is not None)
            yield
        finally:
            process.kill()
            process.join()
        assert process.exitcode == -signal.SIGKILL, "it was refused a change, and said why"

    def assert_all_there(self, here: Application, where: object) -> None:
        """Each name has the value of its last acknowledged change, or that of the one under way."""
        *lines, _under_way = self._log.read_text(encoding="ascii").split("\n")
        done = len(lines)
        assert lines == [str(number) for number in range(done)], "the notes themselves were cut"
        for name in range(min(NAMES, done)):
            last = max(range(name, done, NAMES))
            told = {_value(self._actor, last), *([_value(self._actor, done)] if done % NAMES == name else [])}
            assert here.secrets.reveal(_name(name)) in told, (where, name, last)
        with here.storage.read() as connection:
            ours = select(func.count()).select_from(audit).where(audit.c.actor == str(self._actor))
            assert connection.scalar(ours) in {done, done + 1}, (where, done)


def write(settings: Settings, log: str, actor: Actor) -> None:
    """What the process does."""
    application = Application.from_settings(settings, password_cost=4)
    notes = os.open(log, os.O_WRONLY | os.O_APPEND)
    for number in count():
        time.sleep(PAUSE_S)
        application.secrets.set(actor, _name(number % NAMES), _value(actor, number))
        os.write(notes, f"{number}\n".encode())


def _name(number: int) -> str:
    return f"written-{number}"


def _value(actor: Actor, number: int) -> str:
    return f"value {number // NAMES % VALUES} of {actor}"

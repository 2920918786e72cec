"""Run ``argos`` with every durable step counted, and the whole of it killed at one of them.

A step is a call of fsync, rename, link, unlink, mkdir or rmdir, a commit of a database, a statement that
changes its schema, a load by Caddy, or an advance of the epoch, in whichever process of the command; each
counts twice, before it happens and after. They are found by running the command once, not chosen by hand.
The command runs in a fork of the test, in a process group of its own, so that a hundred runs do not begin a
hundred interpreters.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Watching = tuple[Path, int] | None
_CALLS = ("fsync", "rename", "replace", "link", "unlink", "remove", "mkdir", "rmdir")
_OF_THE_SCHEMA = ("CREATE", "ALTER", "DROP", "INSERT INTO ALEMBIC", "UPDATE ALEMBIC", "INSERT INTO _ALEMBIC")


def watch(counts: Path, kill_at: int) -> None:
    """Note each step from now on in ``counts``, a line each, here and in every child; die at ``kill_at``, 0 never.

    The process must lead a group of its own: all of it dies.
    """
    log = os.open(counts, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)

    def step(name: str) -> None:
        os.write(log, f"{name}\n".encode())
        if kill_at and os.pread(log, 1 << 20, 0).count(b"\n") >= kill_at:
            os.killpg(0, signal.SIGKILL)

    def watched(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def around(*arguments: Any, **named: Any) -> Any:
            step(f"before {name}")
            result = call(*arguments, **named)
            step(f"after {name}")
            return result

        return around

    for name in _CALLS:
        setattr(os, name, watched(getattr(os, name), name))
    from argos.edge.caddy import CaddyAdmin
    from argos.epoch import EpochWriter

    CaddyAdmin.load = watched(CaddyAdmin.load, "load")  # type: ignore[method-assign]
    EpochWriter.advance = watched(EpochWriter.advance, "advance")  # type: ignore[method-assign]
    _watch_databases(step)


def steps(counts: Path) -> list[str]:
    """The steps that were taken, in order."""
    return counts.read_text(encoding="ascii").splitlines()


def _watch_databases(step: Callable[[str], None]) -> None:
    from sqlalchemy import Engine, event
    from sqlalchemy.engine.default import DefaultDialect

    def around(when: str) -> Callable[..., None]:
        def noted(_connection: Any, _cursor: Any, statement: str, *_unused: Any) -> None:
            if statement.lstrip().upper().startswith(_OF_THE_SCHEMA):
                step(f"{when} statement")

        return noted

    for when in ("before", "after"):
        event.listen(Engine, f"{when}_cursor_execute", around(when))
    event.listen(Engine, "commit", lambda _connection: step("before commit"))
    commit = DefaultDialect.do_commit

    def committed(dialect: DefaultDialect, connection: Any) -> None:
        commit(dialect, connection)
        step("after commit")

    DefaultDialect.do_commit = committed  # type: ignore[method-assign]


def run_apart(environment: Mapping[str, str], output: Path, arguments: Sequence[str], watching: Watching = None) -> int:
    """Run ``argos`` in a fork; return its exit code, or the signal that ended it as a negative number.

    Args:
        environment: added to this process's.
        output: takes what it prints.
        arguments: of the command.
        watching: the file of counts and the step to die at, 0 for none; None counts nothing.
    """
    return _forked(environment, output, arguments, watching)[0]


def peak_of(
    environment: Mapping[str, str], output: Path, arguments: Sequence[str], largest_file: int
) -> tuple[int, float]:
    """Run ``argos`` in a fork that may write no file of more than ``largest_file`` bytes; its exit code and peak.

    The peak is what the greatest process of it held at most, in MiB; the fork begins with what this process holds.
    """
    return _forked(environment, output, arguments, None, largest_file)


def _forked(
    environment: Mapping[str, str], output: Path, arguments: Sequence[str], watching: Watching, largest_file: int = 0
) -> tuple[int, float]:
    child = os.fork()
    if not child:
        code = 70
        try:
            os.setsid()
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            # The process's own, and written line by line, as it ends without a flush.
            sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
            os.environ.update(environment)
            if largest_file:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            if watching is not None:
                watch(*watching)
            from argos.cli.parser import run

            code = run(arguments)
        finally:
            os._exit(code)
    _unused, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss / 1024

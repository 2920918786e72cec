"""Run ``argos`` with every durable step counted, and the whole of it killed at one of them.

A step is a call of fsync, rename, link, unlink, mkdir or rmdir, or a commit of a database, in
whichever process of the command; each counts twice, before it happens and after. They are
found by running the command once, not chosen by hand. The command runs in a fork of the test,
in a process group of its own, so that a hundred runs do not begin a hundred interpreters.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Watching = tuple[Path, int] | None
_CALLS = ("fsync", "rename", "replace", "link", "unlink", "remove", "mkdir", "rmdir")


def watch(counts: Path, kill_at: int) -> None:
    """Count from now on, here and in every child, and die at ``kill_at``; 0 only counts."""
    log = os.open(counts, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def step() -> None:
        os.write(log, b".")
        if kill_at and os.fstat(log).st_size >= kill_at:
            os.killpg(0, signal.SIGKILL)

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def around(*arguments: Any, **named: Any) -> Any:
            step()
            result = call(*arguments, **named)
            step()
            return result

        return around

    for name in _CALLS:
        setattr(os, name, watched(getattr(os, name)))
    _watch_commits(step)


def _watch_commits(step: Callable[[], None]) -> None:
    from sqlalchemy import Engine, event
    from sqlalchemy.engine.default import DefaultDialect

    event.listen(Engine, "commit", lambda _connection: step())
    commit = DefaultDialect.do_commit

    def committed(dialect: DefaultDialect, connection: Any) -> None:
        commit(dialect, connection)
        step()

    DefaultDialect.do_commit = committed  # type: ignore[method-assign]


def run_apart(environment: Mapping[str, str], output: Path, arguments: Sequence[str], watching: Watching = None) -> int:
    """Run ``argos`` in a fork; return its exit code, or the signal that ended it as a negative number.

    Args:
        environment: added to this process's.
        output: takes what it prints.
        arguments: of the command.
        watching: the file of counts and the step to die at, 0 for none; None counts nothing.
    """
    child = os.fork()
    if not child:
        code = 70
        try:
            os.setsid()
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the process's own
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the process's own
            os.environ.update(environment)
            if watching is not None:
                watch(*watching)
            from argos.cli.parser import run

            code = run(arguments)
            sys.stdout.flush()
        finally:
            os._exit(code)
    _unused, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)

"""Run ``argos`` in a fork of the test, and the whole of it killed at a call that a first run has shown.

The calls are those by which it changes its files, SQLite's own among them, or speaks to Caddy: see
:mod:`traced_calls`. They are found by running the command once, not chosen by hand. The command runs in a
fork, in a process group of its own, so that a hundred runs do not begin a hundred interpreters.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from traced_calls import Call, Point, traced


class Deaths:
    """Deaths of a command at the points that a run of it to its end has shown.

    Args:
        run: runs it to a point, or to its end, and gives its exit code and calls.
        most: so many points are tried; each kind of call is among them.
    """

    def __init__(self, run: Callable[[Point | None], tuple[int, list[Call]]], most: int) -> None:
        self._run = run
        status, self.calls = run(None)
        assert status == 0
        self.points = points_of(self.calls, most)
        self._died: list[Point] = []
        self._unmet: set[str] = set()

    def die(self, point: Point) -> list[Call]:
        """Run it to ``point``; return what was done by then.

        Beside somebody who writes, one run makes a few calls more or less than the other, and may
        come to its end without meeting the point.
        """
        status, calls = self._run(point)
        if status == 0:
            if point.kind not in {call.kind for call in calls}:
                self._unmet.add(point.kind)
            return calls
        assert (status, calls[-1].kind) == (-signal.SIGKILL, point.kind), (point, status)
        self._died.append(point)
        return calls[:-1]

    def conclude(self, least: int = 30) -> None:
        """See that it died at least so often, and at each kind of call that there was each time."""
        missed = {call.kind for call in self.calls} - {point.kind for point in self._died} - self._unmet
        assert not missed, missed
        assert len(self._died) >= least, self._died


def points_of(calls: Sequence[Call], most: int) -> list[Point]:
    """At most ``most`` points, in their order: each kind of call at its first and last, and others evenly between.

    Raises:
        AssertionError: there are more kinds than that.
    """
    met: Counter[str] = Counter()
    every = []
    for call in calls:
        met[call.kind] += 1
        every.append(Point(call.kind, met[call.kind]))
    firsts = {point for point in every if point.occurrence == 1}
    assert len(firsts) <= most, f"{len(firsts)} kinds of calls; each wants to be tried"
    chosen = set(firsts)
    for wanted in ([point for point in every if point.occurrence == met[point.kind]], every):
        left = [point for point in wanted if point not in chosen]
        room = most - len(chosen)
        chosen.update(left if len(left) <= room else (left[number * len(left) // room] for number in range(room)))
    return [point for point in every if point in chosen]


def run_apart(environment: Mapping[str, str], output: Path, arguments: Sequence[str]) -> int:
    """Run ``argos`` in a fork; return its exit code, or the signal that ended it as a negative number.

    Args:
        environment: added to this process's.
        output: takes what it prints.
        arguments: of the command.
    """
    return _forked(lambda: _command(environment, output, arguments))[0]


def run_traced(
    environment: Mapping[str, str], output: Path, arguments: Sequence[str], top: Path, kill_at: Point | None = None
) -> tuple[int, list[Call]]:
    """The same, and the calls that it did below ``top``; killed at ``kill_at``, which is then the last of them."""
    return traced_apart(lambda: _command(environment, output, arguments), top, kill_at)


def traced_apart(work: Callable[[], int], top: Path, kill_at: Point | None = None) -> tuple[int, list[Call]]:
    """As :func:`traced_calls.traced`, from a process that may have threads and children of its own."""
    with tempfile.TemporaryFile() as answer:

        def trace() -> int:
            pickle.dump(traced(work, top, kill_at), answer)
            answer.flush()
            return 0

        assert _forked(trace)[0] == 0, "the tracer failed, and said why"
        answer.seek(0)
        status, calls = pickle.load(answer)
        return status, calls


def peak_of(
    environment: Mapping[str, str], output: Path, arguments: Sequence[str], largest_file: int
) -> tuple[int, float]:
    """Run ``argos`` in a fork that may write no file of more than ``largest_file`` bytes; its exit code and peak.

    The peak is what the greatest process of it held at most, in MiB; the fork begins with what this process holds.
    """

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        return _command(environment, output, arguments)

    return _forked(work)


def begin_apart(work: Callable[[], int]) -> int:
    """Do ``work`` in a fork that leads a process group; its process id, for who waits for it."""
    child = os.fork()
    if not child:
        code = 70
        try:
            os.setsid()
            code = work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    return child


def _forked(work: Callable[[], int]) -> tuple[int, float]:
    _unused, status, used = os.wait4(begin_apart(work), 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss / 1024


def _command(environment: Mapping[str, str], output: Path, arguments: Sequence[str]) -> int:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # The process's own, and written line by line, as it ends without a flush.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.update(environment)
    from argos.application import Application
    from argos.cli.parser import run

    # bcrypt's at the beginning is most of what a command takes, and of no account here.
    Application.from_settings.__func__.__kwdefaults__["password_cost"] = 4  # type: ignore[attr-defined]
    return run(arguments)

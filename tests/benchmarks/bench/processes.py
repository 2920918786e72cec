"""Start and end the processes of a measurement, each pinned to its core."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class DidNotStart(Exception):
    """A process ended, or was not ready in time; the message holds the end of its log."""


class Processes:
    """A context in which processes run; all have ended after it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _unused, process in reversed(self._running):
            process.terminate()
        for _unused, process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        core: int,
        environ: Mapping[str, str],
        ready: Callable[[], bool],
        patience: float = 120.0,
    ) -> int:
        """Start a process and wait until ``ready()``; return its pid.

        Raises:
            DidNotStart: it did not.
        """
        log = self._directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["taskset", "-c", str(core), *argv], env=dict(environ), stdout=output, stderr=subprocess.STDOUT
            )
        self._running.append((name, process))
        deadline = time.monotonic() + patience
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise DidNotStart(f"{name} did not start: {tail}")
            time.sleep(0.05)
        return process.pid  # taskset replaces itself by what it starts

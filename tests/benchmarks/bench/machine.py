"""The machine: its cores, who uses them, what a process has used and holds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")

QUIET_SHARE = 0.05
"""Others may use this share of all cores; a slice with more is dropped."""


class NotQuiet(Exception):
    """Others kept using the machine; figures taken now would say nothing."""


@dataclass(frozen=True)
class Cores:
    """The core that is measured, and the one that drives it."""

    measured: int
    driving: int


def cores() -> Cores:
    """Return two cores this process may use.

    Raises:
        NotQuiet: there is only one, so the driver would disturb what it measures.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise NotQuiet("the figures need two cores: one to measure, one to drive the load")
    return Cores(measured=usable[0], driving=usable[1])


def busy_seconds() -> float:
    """CPU seconds all cores have spent since boot, idle and waiting apart."""
    fields = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICKS


def cpu_seconds(pid: int) -> float:
    """CPU seconds a process and its waited-for children have used."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process in megabytes (10⁶ octets are not meant: 2²⁰)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def wait_until_quiet(patience: float) -> None:
    """Wait for two quiet seconds in a row, at most ``patience`` seconds.

    Raises:
        NotQuiet: they did not come.
    """
    deadline = time.monotonic() + patience
    quiet = 0
    share = 0.0
    while quiet < 2:
        before, begun = busy_seconds(), time.monotonic()
        time.sleep(1)
        share = (busy_seconds() - before) / (time.monotonic() - begun) / (os.cpu_count() or 1)
        quiet = quiet + 1 if share <= QUIET_SHARE else 0
        if quiet < 2 and time.monotonic() > deadline:
            raise NotQuiet(f"others use {share:.0%} of the machine's cores; stop them, or run with --noisy")


class Watch:
    """A context that tells which share of all cores others used in it; ``ours`` are the pids that are not others."""

    def __init__(self, ours: Sequence[int]) -> None:
        self._ours = ours
        self.others_share = 0.0

    def __enter__(self) -> Self:
        self._used, self._busy, self._begun = self._used_by_us(), busy_seconds(), time.monotonic()
        return self

    def __exit__(self, *_error: object) -> None:
        lasted = time.monotonic() - self._begun
        used, busy = self._used_by_us() - self._used, busy_seconds() - self._busy
        self.others_share = max(0.0, busy - used) / lasted / (os.cpu_count() or 1)

    def _used_by_us(self) -> float:
        times = os.times()  # this process, and wrk, which it has waited for
        mine = times.children_user + times.children_system + times.user + times.system
        return mine + sum(map(cpu_seconds, self._ours))

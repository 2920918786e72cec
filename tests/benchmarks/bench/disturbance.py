"""A path's latency in peace, and while something else goes on: pairs of neighbouring slices."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from bench.load import Load, Target, drive
from bench.machine import QUIET_SHARE, NotQuiet, Watch, cpu_seconds
from bench.stack import Stack


@dataclass(frozen=True)
class Disturbed:
    """What goes on: the process that does it, how much it has done, and since when."""

    pid: int
    done: Callable[[], int]
    since: float


@dataclass
class Pairs:
    """Kept pairs: a quiet slice's load, a disturbed one's, and how many events a second disturbed it."""

    kept: list[tuple[Load, Load, float]] = field(default_factory=list)

    def p99_ratio(self) -> float:
        """Median over pairs of the disturbed p99 divided by the quiet one."""
        return statistics.median(disturbed.p99_ms / quiet.p99_ms for quiet, disturbed, _unused in self.kept)

    def p99_ms(self) -> float:
        """Median of the disturbed p99."""
        return statistics.median(disturbed.p99_ms for _unused, disturbed, _rate in self.kept)

    def events_per_s(self) -> float:
        """Median rate of what disturbed."""
        return statistics.median(rate for _unused, _disturbed, rate in self.kept)


def compare(
    target: Target,
    disturb: Callable[[], AbstractContextManager[Disturbed]],
    stack: Stack,
    *,
    cycles: int,
    seconds: tuple[int, int],
    say: Callable[[str], None],
    noisy: bool,
    inside: Sequence[str] = (),
    reloads: bool = False,
) -> Pairs:
    """Take ``cycles`` pairs of slices, ``seconds`` long in peace and disturbed; ``reloads`` says that by reloads.

    Raises:
        NotQuiet: others used the machine in most of three times as many (never with ``noisy``).
        AssertionError: a slice was not disturbed at all.
    """
    pairs = Pairs()
    ours = list(stack.pids.values())
    core = stack.cores.driving
    for number in range(cycles * 3):
        _settle(ours)
        with Watch(ours) as in_peace:
            quiet = drive(target, seconds[0], core, inside=inside)
        with disturb() as disturbed, Watch([*ours, disturbed.pid]) as meanwhile:
            done, since = disturbed.done(), time.monotonic()
            load = drive(target, seconds[1], core, inside=inside, closings_allowed=reloads)
            rate = _rate(disturbed, done, since)
        others = max(in_peace.others_share, meanwhile.others_share)
        kept = noisy or others <= QUIET_SHARE
        say(
            f"pair {number + 1}: p99 {quiet.p99_ms:.1f} ms quiet, {load.p99_ms:.1f} ms at {rate:.2f} events/s"
            + ("" if kept else f"  dropped: others used {others:.0%}")
        )
        if kept:
            pairs.kept.append((quiet, load, rate))
        if len(pairs.kept) == cycles:
            return pairs
    if len(pairs.kept) * 2 < cycles:
        raise NotQuiet(f"only {len(pairs.kept)} of {cycles * 3} pairs were quiet; run with --noisy to take them all")
    return pairs


def _rate(disturbed: Disturbed, done: int, since: float, patience: float = 300.0) -> float:
    """Events a second since then; what was under way during the whole slice may end after it."""
    until = time.monotonic() + patience
    while disturbed.done() == done:
        if time.monotonic() > until:
            raise AssertionError("nothing happened while the slice was taken: it was not disturbed")
        time.sleep(0.05)
    return (disturbed.done() - done) / (time.monotonic() - since)


def _settle(pids: Sequence[int], patience: float = 30.0) -> None:
    """Wait until what the last disturbance left behind is done."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        before = sum(map(cpu_seconds, pids))
        time.sleep(0.5)
        if sum(map(cpu_seconds, pids)) - before <= 0.03:
            return

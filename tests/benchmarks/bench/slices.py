"""Interleaved slices: every path once a cycle, in rotating order, compared only within its cycle.

A machine's speed drifts by more than the paths differ. Ratios of neighbours cancel
the drift; the median over cycles drops what a neighbour's burst still spoiled.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.load import Target, drive
from bench.machine import QUIET_SHARE, NotQuiet, Watch, cpu_seconds


@dataclass(frozen=True)
class Path:
    """One way to measure: what to ask for, the processes whose work it is (by name), the network it is asked in."""

    target: Target
    processes: Mapping[str, int]
    inside: Sequence[str] = ()


@dataclass
class Sample:
    """What one slice reached: requests per second, CPU microseconds per request by process, latencies in ms."""

    per_second: float
    cpu_us: dict[str, float]
    others_share: float
    p50_ms: float
    p99_ms: float


@dataclass
class Samples:
    """All kept cycles, each a sample per path."""

    cycles: list[dict[str, Sample]] = field(default_factory=list)
    dropped: int = 0

    def ratio(self, path: str, base: str) -> float:
        """Median over cycles of one path's rate divided by another's."""
        return statistics.median(cycle[path].per_second / cycle[base].per_second for cycle in self.cycles)

    def spread(self, path: str, base: str) -> tuple[float, float]:
        """Least and greatest of the ratios."""
        ratios = [cycle[path].per_second / cycle[base].per_second for cycle in self.cycles]
        return min(ratios), max(ratios)

    def rate(self, path: str) -> float:
        """Median requests per second."""
        return statistics.median(cycle[path].per_second for cycle in self.cycles)

    def cpu_us(self, path: str) -> float:
        """Median CPU microseconds per request, all measured processes together."""
        return statistics.median(sum(cycle[path].cpu_us.values()) for cycle in self.cycles)

    def latency_ms(self, path: str) -> tuple[float, float]:
        """Medians of the 50th and of the 99th percentile."""
        return (
            statistics.median(cycle[path].p50_ms for cycle in self.cycles),
            statistics.median(cycle[path].p99_ms for cycle in self.cycles),
        )


def measure(
    paths: Mapping[str, Path],
    *,
    ours: Sequence[int],
    cycles: int,
    seconds: int,
    core: int,
    noisy: bool,
    say: Callable[[str], None],
) -> Samples:
    """Run ``cycles`` quiet cycles of slices of ``seconds`` each.

    ``ours`` are all processes of the stack, measured or not: their CPU is not "others'".

    Raises:
        NotQuiet: after three times as many cycles too few were quiet (never with ``noisy``).
    """
    samples = Samples()
    names = list(paths)
    for number in range(cycles * 3):
        order = names[number % len(names) :] + names[: number % len(names)]
        cycle = {name: _slice(paths[name], ours, seconds, core) for name in order}
        worst = max(sample.others_share for sample in cycle.values())
        kept = noisy or worst <= QUIET_SHARE
        rates = "  ".join(f"{name} {cycle[name].per_second:.0f}/s" for name in names)
        say(f"cycle {number + 1}: {rates}" + ("" if kept else f"  dropped: others used {worst:.0%}"))
        if kept:
            samples.cycles.append(cycle)
        else:
            samples.dropped += 1
        if len(samples.cycles) == cycles:
            return samples
    if len(samples.cycles) * 2 < cycles:
        raise NotQuiet(
            f"only {len(samples.cycles)} of {cycles * 3} cycles were quiet; run with --noisy to take them all"
        )
    return samples


def _slice(path: Path, ours: Sequence[int], seconds: int, core: int) -> Sample:
    before = {name: cpu_seconds(pid) for name, pid in path.processes.items()}
    with Watch(ours) as watch:
        load = drive(path.target, seconds, core, inside=path.inside)
    after = {name: cpu_seconds(pid) for name, pid in path.processes.items()}
    used = {name: (after[name] - before[name]) / max(1, load.requests) * 1e6 for name in after}
    return Sample(load.per_second, used, watch.others_share, load.p50_ms, load.p99_ms)

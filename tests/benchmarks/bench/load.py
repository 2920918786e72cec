"""wrk, the load generator, on a core of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 32


class LoadFailed(Exception):
    """The load generator saw errors, so its rate is that of failures."""


@dataclass(frozen=True)
class Target:
    """What to ask for."""

    url: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Load:
    """What one run reached; the latencies are of whole requests, in ms."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def drive(
    target: Target, seconds: int, core: int, *, inside: Sequence[str] = (), closings_allowed: bool = False
) -> Load:
    """Ask as fast as the target answers; ``inside`` is a command that enters another network.

    ``closings_allowed``: a server that reloads may close an idle connection just as the next request comes. Clients
    ask again (RFC 9112 §9.3.1); wrk counts a read error. Answers must be right all the same.

    Raises:
        LoadFailed: wrk is missing, or any request failed.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadFailed("wrk is not installed: scripts/bench installs it with apt-get")
    argv = [*inside, "taskset", "-c", str(core), wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    argv += ["--timeout", "30s"]  # 2 by default, after which wrk counts an error; a slow answer is told by its latency
    for name, value in target.headers:
        argv += ["-H", f"{name}: {value}"]
    done = subprocess.run([*argv, target.url], capture_output=True, text=True, check=False, timeout=seconds + 30)
    text = done.stdout + done.stderr
    if closings_allowed:
        text = re.sub(r"Socket errors: connect 0, read \d+, write 0, timeout 0", "", text)
    if done.returncode or re.search(r"Non-2xx or 3xx responses|Socket errors", text):
        raise LoadFailed(f"{target.url}: {text.strip()}")
    requests = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if requests is None or rate is None or int(requests[1]) == 0:
        raise LoadFailed(f"{target.url}: wrk said nothing that can be read: {text.strip()}")
    return Load(int(requests[1]), float(rate[1]), latency_ms(text, 50), latency_ms(text, 99))


def latency_ms(text: str, percent: int) -> float:
    """Read a percentile from what ``wrk --latency`` printed.

    Raises:
        LoadFailed: it is not there.
    """
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    if found is None:
        raise LoadFailed(f"wrk printed no {percent} % latency: {text.strip()}")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[found[2]]

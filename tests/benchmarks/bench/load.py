"""wrk, the load generator, on a core of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
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
    """What one run reached."""

    requests: int
    per_second: float


def drive(target: Target, seconds: int, core: int) -> Load:
    """Ask as fast as the target answers.

    Raises:
        LoadFailed: wrk is missing, or any request failed.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadFailed("wrk is not installed: scripts/bench installs it with apt-get")
    argv = ["taskset", "-c", str(core), wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    for name, value in target.headers:
        argv += ["-H", f"{name}: {value}"]
    done = subprocess.run([*argv, target.url], capture_output=True, text=True, check=False, timeout=seconds + 30)
    text = done.stdout + done.stderr
    if done.returncode or re.search(r"Non-2xx or 3xx responses|Socket errors", text):
        raise LoadFailed(f"{target.url}: {text.strip()}")
    requests = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if requests is None or rate is None:
        raise LoadFailed(f"{target.url}: wrk said nothing that can be read: {text.strip()}")
    return Load(int(requests[1]), float(rate[1]))

"""The systemd units that are at the data: stopped for a restore, and started again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from argos.cli.exits import UNAVAILABLE, Stop

SYSTEMCTL = "/usr/bin/systemctl"
# What begins a backup goes first. The gate's socket stays: who asks meanwhile waits, and is not denied.
_WATCHING = ("argos-backup.timer", "argos-backup.path")
_AT_THE_DATA = ("argos-backup.service", "argos.service", "argos-gate.service", "argos-caddy.service")
_STARTED = (
    ("restart", "argos-credentials.service"),
    ("start", "argos-caddy.service"),
    ("start", "argos-gate.service"),
    ("start", "argos.service"),
)


@contextmanager
def services_stopped() -> Iterator[None]:
    """Stop what reads and writes the trees, and start it again whatever happened meanwhile.

    Raises:
        Stop: something does not stop. The block is then not entered.
    """
    watching = [unit for unit in _WATCHING if _systemctl("is-active", "--quiet", unit) is None]
    try:
        for units in (_WATCHING, _AT_THE_DATA):
            # To systemctl, a unit that is not installed is one that it fails to stop.
            if (problem := _systemctl("stop", *units)) and not all(map(_stands_still, units)):
                raise Stop(UNAVAILABLE, f"Nothing was restored, because a service could not be stopped. {problem}")
        yield
    finally:
        for verb, unit in (*_STARTED, *(("start", unit) for unit in watching)):
            if problem := _systemctl(verb, unit):
                print(f"argos: {problem}", file=sys.stderr)


def _stands_still(unit: str) -> bool:
    try:
        done = _run("show", "--property=ActiveState", "--value", unit)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() in {"inactive", "failed"}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SYSTEMCTL, *arguments], capture_output=True, text=True, timeout=120, check=False)


def _systemctl(*arguments: str) -> str | None:
    """Run it; None when it did what it was asked, else what to tell."""
    try:
        done = _run(*arguments)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"systemctl {' '.join(arguments)}: {problem}"
    if done.returncode:
        return f"systemctl {' '.join(arguments)}: {done.stderr.strip()[:500] or f'status {done.returncode}'}"
    return None

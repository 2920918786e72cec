"""A guest on which ``argos`` is killed at a step of its choice, and what must hold afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from argos.audit import Actor
from argos.doctor.database import check_database
from argos.doctor.key import check_key
from argos.doctor.record import check_record
from argos.settings import Settings
from crash_points import run_apart, steps
from guest_rig import Guest

# What the commands load late; every one of hundreds of forks would load it anew.
for _late in (
    "backup.restore",
    "cli.backup",
    "cli.keys",
    "cli.parser",
    "edge.active_config",
    "edge.apply",
    "key_rotation",
):
    import_module(f"argos.{_late}")
import_module("alembic.command")

KEY, NEXT_KEY = bytes(range(32)), bytes(range(1, 33))
ACTOR = Actor(kind="cli", name="root")


def crash(guest: Guest, kill_at: int, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Run a command to its ``kill_at``-th step, 0: to its end; return its status and the steps it took."""
    counts = guest.top.with_name("counts")
    counts.unlink(missing_ok=True)
    output = guest.top.with_name("output")
    status = run_apart({**guest.environment, **environment}, output, arguments, (counts, kill_at))
    return status, steps(counts)


def finish(guest: Guest, *arguments: str, **environment: str) -> None:
    """Run a command that must end well."""
    status, said = attempt(guest, *arguments, **environment)
    assert status == 0, said


def attempt(guest: Guest, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command; its exit code and what it printed."""
    output = guest.top.with_name("output")
    status = run_apart({**guest.environment, **environment}, output, arguments)
    return status, output.read_text()


def points(taken: list[str], least: int) -> range:
    """Every step there was; at least ``least`` of them, or the harness has lost sight of something."""
    assert len(taken) >= least, taken
    return range(1, len(taken) + 1)


def put_back(kept: Path, top: Path) -> None:
    """Make ``top``, which may be a mount point, what ``kept`` is."""
    for path in top.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(kept, top, dirs_exist_ok=True)


@contextmanager
def kept_as_it_is(guest: Guest) -> Iterator[Path]:
    """Put the guest back at the end; gives the copy: paths stand in its settings, so it is not used elsewhere."""
    kept = guest.top.with_name("kept")
    shutil.copytree(guest.top, kept)
    try:
        yield kept
    finally:
        put_back(kept, guest.top)
        shutil.rmtree(kept)


def assert_sound(settings: Settings, where: object) -> None:
    """What the doctor says of database, key and record."""
    for finding in (check_database(settings.database), check_key(settings), check_record(settings)):
        assert finding.state == "ok", (where, finding)

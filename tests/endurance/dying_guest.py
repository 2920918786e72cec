"""A guest on which ``argos`` is killed at a call of its choice, and what must hold afterwards."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from argos.audit import Actor
from crash_points import Deaths, run_apart, run_traced
from guest_rig import Guest
from power_cuts import NAMES_AHEAD, SYNCED, cuts, lose_power
from traced_calls import Call, Point

# What the commands load late; every one of hundreds of forks would load it anew.
for _late in (
    "api.routes",
    "backup.changeover",
    "backup.restore",
    "cli.backup",
    "cli.health",
    "cli.keys",
    "cli.parser",
    "cli.restore",
    "doctor.examine",
    "edge.active_config",
    "edge.apply",
    "key_rotation",
    "threat.service",
):
    import_module(f"argos.{_late}")
import_module("alembic.command")

KEY, NEXT_KEY = bytes(range(32)), bytes(range(1, 33))
ACTOR = Actor(kind="cli", name="root")
MOST = 60
"""So many power cuts of a command are tried where only what was synced is left; that is after each sync of any here."""
NOT_HERE = {"Caddy", "certificates", "gate", "CrowdSec", "CrowdSec credentials"}
"""Findings about processes that these guests do not have: the doctor must say so, and be content with all else."""


def deaths_of(guest: Guest, *arguments: str, most: int, **environment: str) -> Deaths:
    """Deaths of a command on ``guest``; ``environment`` is the command's, beside the guest's."""
    output = guest.top.with_name("output")

    def run(point: Point | None) -> tuple[int, list[Call]]:
        status, calls = run_traced({**guest.environment, **environment}, output, arguments, guest.top, point)
        assert status in {0, -signal.SIGKILL}, output.read_text()
        return status, calls

    return Deaths(run, most)


def after_cuts(
    guest: Guest, kept: Path, check: Callable[[object, bool], None], *command: str, **environment: str
) -> None:
    """Run ``command`` on the guest that ``kept`` is, and ``check`` what each power cut of that time leaves of it.

    ``check`` gets where it was, and whether the command was done by then.
    """
    put_back(kept, guest.top)
    output = guest.top.with_name("output")
    status, calls = run_traced({**guest.environment, **environment}, output, command, guest.top)
    assert status == 0, output.read_text()
    assert sum(call.name == "fsync" for call in calls) >= 8, "it syncs more than was seen"
    for order, most in ((SYNCED, MOST), (NAMES_AHEAD, MOST // 2)):
        for moment, disk in cuts(kept, calls, order, most):
            lose_power(disk, guest.top, order)
            check((order, moment, calls[moment - 1 : moment + 1]), moment == len(calls))


def finish(guest: Guest, *arguments: str, **environment: str) -> None:
    """Run a command that must end well."""
    status, said = attempt(guest, *arguments, **environment)
    assert status == 0, said


def attempt(guest: Guest, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command; its exit code and what it printed."""
    output = guest.top.with_name("output")
    status = run_apart({**guest.environment, **environment}, output, arguments)
    return status, output.read_text()


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


def assert_sound(guest: Guest, where: object, but_for: Sequence[str] = ()) -> None:
    """``argos doctor`` is content with all of the guest that is there.

    Args:
        guest: whose.
        where: what a failure says.
        but_for: findings that are another test's: a full disk's, for example.
    """
    places = {
        "ARGOS_GATE_SOCKET": str(guest.top / "run/gate.sock"),
        "ARGOS_ACCESS_LOG": str(guest.top / "run/access.log"),
    }
    _status, said = attempt(guest, "doctor", "--json", **places)
    found = {check["name"]: check for check in json.loads(said)["checks"]}
    assert found.keys() > NOT_HERE, (where, said)
    assert len(found) >= 14, "it looks at less than it did"
    wrong = {name: check for name, check in found.items() if check["state"] != "ok" and name not in but_for}
    assert wrong.keys() == NOT_HERE, (where, wrong)

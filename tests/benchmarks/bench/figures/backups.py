"""What a backup and a restore of a long record cost, and what a visitor feels while backups are made.

The record of changes (the table ``audit``) is the only log that Argos keeps in its database: the access log is a
file of Caddy's, which no backup holds. So the "log rows" here are rows of the record, chained as always, and a
restore verifies the whole chain before it touches anything.
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from argos.application import Application

from bench import apart, thousand
from bench import stack as stacks
from bench.disturbance import compare
from bench.figures import Figures, Run, figure
from bench.figures.disturbed import disturbance
from bench.machine import wait_until_quiet
from bench.preflight import check_protected
from bench.processes import Processes

ROWS = 500_000
QUICK_ROWS = 5_000
BATCH = 5_000
REPEATS = 3
MB = 2**20
# As roles/runtime/templates/argos-backup.service.j2 says.
AS_THE_UNIT = ("nice", "-n", str(stacks.UNIT_NICE), "ionice", "-c", "3")


@figure
def backups(run: Run) -> Figures:
    """``backup.mb_s``, ``restore.mb_s``, ``backup.serving_p99_ratio``: 500 000 rows of the record and 1000 hosts."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        apart.start_caddy(stack)
        apart.start_upstream(stack, thousand.UPSTREAM_PORT)
        stacks.begin_session(stack)
        stacks.start_panel(stack, nice=stacks.UNIT_NICE)
        stacks.start_gate(stack)
        apart.apply(stack.directory / "admin.sock", json.dumps(thousand.document(quick=run.quick)).encode())
        rows = _fill(stack, run)
        figures = _there_and_back(stack, run, rows)
        return figures | _serving(stack, run, figures["backup.seconds"])


def _fill(stack: stacks.Stack, run: Run) -> int:
    """Rows like those of an apply, and three files for each host in Caddy's storage; how many rows there are."""
    wanted = QUICK_ROWS if run.quick else ROWS
    application = stack.application()
    try:
        for first in range(0, wanted, BATCH):
            with application.storage.write() as connection:
                for number in range(first, first + BATCH):
                    before, after = (
                        {"number": number, "url": f"http://10.0.0.{number % 250}:{port}"} for port in (80, 81)
                    )
                    target = f"host/{thousand.name(number % thousand.HOSTS)}"
                    application.audit.record(connection, stacks.ACTOR, "config.apply", target, before, after)
        rows = _rows(application)
    finally:
        application.close()
    noise = random.Random(1)
    for number in range(50 if run.quick else thousand.HOSTS):
        name = thousand.name(number)
        directory = stack.directory / "caddy" / "certificates" / "local" / name
        directory.mkdir(parents=True)
        for suffix, size in ((".crt", 1500), (".key", 240), (".json", 100)):
            directory.joinpath(name + suffix).write_bytes(noise.randbytes(size))
    run.say(f"{rows} rows written")
    return rows


def _rows(application: Application) -> int:
    with application.storage.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one())


def _there_and_back(stack: stacks.Stack, run: Run, rows: int) -> Figures:
    """MiB of what is backed up a second, by the commands themselves: a backup, and its restore into fresh trees."""
    saved: list[float] = []
    restored: list[float] = []
    for number in range(1 if run.quick else REPEATS):
        took, printed = _argos(stack, stack.environ, "backup", "create", "--json")
        saved.append(took)
        archive = stack.directory / "backups" / json.loads(printed)[0]["name"]
        packed = archive.stat().st_size
        fresh = _fresh(stack, number)
        took, _unused = _argos(stack, fresh, "restore", "--without-services", str(archive))
        restored.append(took)
        size = Path(fresh["ARGOS_DATA_DIR"], "argos.db").stat().st_size
        size += sum(path.stat().st_size for path in Path(fresh["ARGOS_CADDY_STORAGE"]).rglob("*") if path.is_file())
        _check(fresh, rows, len(thousand.numbers(quick=run.quick)))
        archive.unlink()
        run.say(f"{size / MB:.0f} MiB: backup in {saved[-1]:.1f} s ({packed / MB:.0f} MiB), restore in {took:.1f} s")
    return {
        "backup.mb_s": size / MB / statistics.median(saved),
        "backup.seconds": statistics.median(saved),
        "backup.content_mb": size / MB,
        "backup.archive_mb": packed / MB,
        "restore.mb_s": size / MB / statistics.median(restored),
        "restore.seconds": statistics.median(restored),
    }


def _argos(stack: stacks.Stack, environ: Mapping[str, str], *arguments: str) -> tuple[float, str]:
    """Run a command on the measured core, where nothing else is asked for anything; its seconds and what it printed."""
    command = ["taskset", "-c", str(stack.cores.measured), *stacks.ARGOS, *arguments]
    begun = time.monotonic()
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False, timeout=900)
    took = time.monotonic() - begun
    if done.returncode:
        raise AssertionError(f"argos {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    return took, done.stdout


def _fresh(stack: stacks.Stack, number: int) -> dict[str, str]:
    """The environment of a guest with nothing in it, under the same master key."""
    top = stack.directory / f"fresh-{number}"
    places = {"ARGOS_DATA_DIR": "data", "ARGOS_EDGE_DIR": "edge", "ARGOS_CADDY_STORAGE": "caddy"}
    for name in places.values():
        (top / name).mkdir(parents=True)
    return {**stack.environ, **{variable: str(top / name) for variable, name in places.items()}}


def _check(fresh: Mapping[str, str], rows: int, hosts: int) -> None:
    """All of it is there: the restore has verified the chain, and written a row of its own."""
    from argos.clock import SystemClock
    from argos.storage.engine import Storage

    storage = Storage(Path(fresh["ARGOS_DATA_DIR"], "argos.db"), SystemClock())
    try:
        with storage.read() as connection:
            found = connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one()
            guarded = connection.exec_driver_sql("SELECT count(*) FROM gate_hosts").scalar_one()
    finally:
        storage.close()
    config = Path(fresh["ARGOS_EDGE_DIR"], "caddy.json").read_text(encoding="utf-8")
    if found <= rows or guarded != hosts or thousand.LAST not in config:
        raise AssertionError(f"the restored guest has {found} rows of {rows}, {guarded} hosts of {hosts}")


def _serving(stack: stacks.Stack, run: Run, seconds: float) -> Figures:
    """Visitors behind sign-on while backups are made, on the core of Caddy and gate: each pair meets another phase."""
    stack.ports["caddy"] = 80
    target = stack.target(thousand.LAST)
    with apart.visiting(stack):
        check_protected("stock", target)
    if not run.noisy:
        wait_until_quiet(60)
    cycles = max(1, run.cycles // 2)
    argv = [*AS_THE_UNIT, sys.executable, "-m", "bench.backing_up"]
    # The load takes most of the core, so that a slice sees a part of one backup; this spreads them over it.
    phases = itertools.cycle(seconds * number / cycles for number in range(cycles))
    pairs = compare(
        target,
        lambda: disturbance(stack, "backing-up", argv, "backed up", core=stack.cores.measured, after=next(phases)),
        stack,
        cycles=cycles,
        seconds=(run.seconds, run.seconds if run.quick else 5 * run.seconds),
        inside=apart.inside(stack),
        say=run.say,
        noisy=run.noisy,
    )
    with apart.visiting(stack):
        check_protected("stock", target)
    return {"backup.serving_p99_ratio": pairs.p99_ratio(), "backup.serving_p99_ms": pairs.p99_ms()}

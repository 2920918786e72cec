"""What a visitor feels of the gate's decisions while the runtime is busy with something else."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import apart, thousand
from bench import stack as stacks
from bench.disturbance import Disturbed, compare
from bench.figures import Figures, Run, figure
from bench.machine import wait_until_quiet
from bench.preflight import check_protected
from bench.processes import Processes

CLIENTS = 8
PASSWORD = "correct horse battery"


@figure
def logins(run: Run) -> Figures:
    """``gate.p99_under_8_logins_ratio``: p99 behind sign-on while 8 people sign in all the time, over the quiet one."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        state = stacks.prepare(stack)
        people = _add_people(stack)
        stacks.start_panel(stack, nice=stacks.UNIT_NICE)
        stacks.start_gate(stack)
        stacks.start_caddy(stack, "caddy", state)
        script = Path(__file__).parent.parent / "logins.py"
        argv = [sys.executable, str(script), str(stack.ports["caddy"]), stacks.PANEL_HOST, PASSWORD, *people]
        target = stack.target(stacks.CLOSED_HOST)
        check_protected("stock", target)
        if not run.noisy:
            wait_until_quiet(60)
        pairs = compare(
            target,
            lambda: disturbance(stack, "logins", argv, "signed in"),
            stack,
            cycles=run.cycles,
            seconds=(run.seconds, 2 * run.seconds),
            say=run.say,
            noisy=run.noisy,
        )
        check_protected("stock", target)
    return {
        "gate.p99_under_8_logins_ratio": pairs.p99_ratio(),
        "gate.p99_under_8_logins_ms": pairs.p99_ms(),
        "gate.logins_per_s": pairs.events_per_s(),
    }


@figure
def applies(run: Run) -> Figures:
    """``gate.p99_under_1000_host_apply_ratio``: p99 behind sign-on while 1000 hosts are applied again and again."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        apart.start_caddy(stack)
        apart.start_upstream(stack, thousand.UPSTREAM_PORT)
        stacks.begin_session(stack)
        stacks.start_panel(stack, nice=stacks.UNIT_NICE)
        stacks.start_gate(stack)
        path = stack.directory / "document.json"
        path.write_text(json.dumps(thousand.document(quick=run.quick)), encoding="utf-8")
        admin = stack.directory / "admin.sock"
        apart.apply(admin, path.read_bytes())
        stack.ports["caddy"] = 80
        target = stack.target(thousand.LAST)
        with apart.visiting(stack):
            check_protected("stock", target)
        if not run.noisy:
            wait_until_quiet(60)
        pairs = compare(
            target,
            lambda: disturbance(
                stack, "applier", [sys.executable, "-m", "bench.apart", str(admin), str(path)], "applied"
            ),
            stack,
            cycles=run.cycles,
            seconds=(run.seconds, 5 * run.seconds),
            inside=apart.inside(stack),
            reloads=True,
            say=run.say,
            noisy=run.noisy,
        )
    return {
        "gate.p99_under_1000_host_apply_ratio": pairs.p99_ratio(),
        "gate.p99_under_1000_host_apply_ms": pairs.p99_ms(),
        "gate.applies_per_s": pairs.events_per_s(),
    }


def _add_people(stack: stacks.Stack) -> list[str]:
    """People with a password of the full cost; return their names."""
    names = [f"person-{number}" for number in range(CLIENTS)]
    application = stack.application(password_cost=12)
    try:
        for name in names:
            application.accounts.create(stacks.ACTOR, name, password=PASSWORD)
    finally:
        application.close()
    return names


@contextlib.contextmanager
def disturbance(
    stack: stacks.Stack, name: str, argv: Sequence[str], event: str, *, core: int | None = None, after: float = 0.0
) -> Iterator[Disturbed]:
    """Run a process that prints a line with ``event`` for each thing it did, on the driving core unless told where.

    Begins ``after`` seconds once the first was done.

    Raises:
        AssertionError: it has ended by itself.
    """
    log = stack.directory / f"{name}.log"
    with Processes(stack.directory) as processes:
        pid = processes.start(
            name,
            argv,
            core=stack.cores.driving if core is None else core,
            environ={**stack.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            ready=lambda: event in log.read_text(encoding="utf-8"),
            patience=300,
        )
        disturbed = Disturbed(pid, lambda: log.read_text(encoding="utf-8").count(event), time.monotonic())
        time.sleep(after)
        yield disturbed
        if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
            raise AssertionError(f"{name} ended by itself: {log.read_text(encoding='utf-8')[-500:]}")

"""What a thousand hosts cost: memory, loading, a change, no change, the way to the last, a flood beside them."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from bench import apart, floods, thousand
from bench import stack as stacks
from bench.disturbance import compare
from bench.figures import Figures, Run, figure
from bench.machine import rss_mb, wait_until_quiet
from bench.preflight import check_protected
from bench.processes import Processes
from bench.slices import Path, measure

REPEATS = 5


@figure
def edge(run: Run) -> Figures:
    """``edge.…``: a thousand hosts, all with sign-on and a limit, a WAF in four policies, 100 with an exclusion."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        apart.start_caddy(stack)
        stacks.begin_session(stack)
        stacks.start_panel(stack, nice=stacks.UNIT_NICE)
        stacks.start_gate(stack)
        figures = _applies(stack, run)
        config = json.loads((stack.directory / "edge" / "caddy.json").read_text(encoding="utf-8"))
        figures |= _loads(stack, config)
        apart.start_caddy(stack, "single")
        apart.load(stack, "single", _alone(config))
        for caddy in ("thousand", "single"):
            apart.start_upstream(stack, thousand.UPSTREAM_PORT, caddy)
        figures |= _last(stack, run)
        figures |= _under(stack, run, floods.LIMITED) | _under(stack, run, floods.INSPECTED)
    return figures


def _applies(stack: stacks.Stack, run: Run) -> Figures:
    admin = stack.directory / "admin.sock"
    document = thousand.document(quick=run.quick)
    first_ms, answer = apart.apply(admin, json.dumps(document).encode())
    run.say(f"first apply: {first_ms:.0f} ms")
    unchanged, changed = [], []
    loads = apart.loads(stack)
    for _unused in range(REPEATS):
        took, again = apart.apply(admin, json.dumps(document).encode())
        if again["changed"] or again["revision"] != answer["revision"] or apart.loads(stack) != loads:
            raise AssertionError("an unchanged document was applied again")
        unchanged.append(took)
    for number in range(REPEATS):
        document["hosts"][-1]["response_headers"] = {"set": {"X-Bench": str(number)}, "remove": []}
        took, again = apart.apply(admin, json.dumps(document).encode())
        if len(again["changes"]) != 1:
            raise AssertionError(f"one changed host made {len(again['changes'])} changes")
        changed.append(took)
    if apart.loads(stack) != loads + REPEATS:
        raise AssertionError(f"{REPEATS} changes made {apart.loads(stack) - loads} loads")
    return {
        "edge.first_apply_1000_s": first_ms / 1000,
        "edge.noop_1000_ms": statistics.median(unchanged),
        "edge.one_change_of_1000_s": statistics.median(changed) / 1000,
    }


def _loads(stack: stacks.Stack, config: dict[str, Any]) -> Figures:
    """A Caddy that is fresh, and what it holds once it has the thousand."""
    apart.start_caddy(stack, "thousand")
    took = apart.load(stack, "thousand", config)
    time.sleep(2)
    size = len(json.dumps(config))
    return {
        "edge.load_1000_s": took,
        "edge.rss_mb_1000_hosts": rss_mb(stack.pids["thousand"]),
        "edge.caddy_json_mb_1000_hosts": size / 2**20,
    }


def _alone(config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with the last host only."""
    alone: dict[str, Any] = json.loads(json.dumps(config))
    routes = alone["apps"]["http"]["servers"]["plain"]["routes"]
    maps = [handler for route in routes for handler in route["handle"] if handler["handler"] == "host_map"]
    for one in maps:
        one["hosts"] = {thousand.LAST: one["hosts"][thousand.LAST]}
    if len(maps) != 1:
        raise AssertionError(f"{len(maps)} maps of hosts, not 1: the rendering has changed")
    return alone


def _last(stack: stacks.Stack, run: Run) -> Figures:
    paths = {}
    for caddy in ("single", "thousand"):
        stack.ports[caddy] = 80
        target = stack.target(thousand.LAST, caddy=caddy)
        with apart.visiting(stack, caddy):
            check_protected(caddy, target)
        paths[caddy] = Path(target, {"caddy": stack.pids[caddy]}, apart.inside(stack, caddy))
    if not run.noisy:
        wait_until_quiet(60)
    samples = measure(
        paths,
        ours=list(stack.pids.values()),
        cycles=max(1, run.cycles // 2),
        seconds=run.seconds,
        core=run.cores.driving,
        noisy=run.noisy,
        say=run.say,
    )
    return {"edge.last_of_1000_over_single": samples.ratio("thousand", "single")}


def _under(stack: stacks.Stack, run: Run, flood: floods.Flood) -> Figures:
    """What a visitor of the last host feels while another host is flooded."""
    pairs = compare(
        stack.target(thousand.LAST, caddy="thousand"),
        lambda: floods.flooding(stack, "thousand", flood),
        stack,
        cycles=run.cycles,
        seconds=(run.seconds, run.seconds),
        inside=apart.inside(stack, "thousand"),
        say=run.say,
        noisy=run.noisy,
    )
    return {
        f"edge.p99_under_{flood.name}_ratio": pairs.p99_ratio(),
        f"edge.{flood.name}_per_s": pairs.events_per_s(),
    }

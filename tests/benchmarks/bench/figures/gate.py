"""What a forward_auth decision costs: by the gate, and by the panel's waitress, as shares of no sign-on."""

from __future__ import annotations

from bench import stack as stacks
from bench.figures import Figures, Run, figure
from bench.load import Target
from bench.machine import wait_until_quiet
from bench.preflight import check_open, check_protected
from bench.processes import Processes
from bench.slices import Path, measure


@figure
def gate(run: Run) -> Figures:
    """``gate.…_over_…``: the rate with sign-on divided by another's, within one cycle."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        state = stacks.prepare(stack)
        stacks.start_panel(stack)
        stacks.start_gate(stack)
        caddy = stacks.start_caddy(stack, "caddy", state)
        other = stacks.start_caddy(stack, "caddy-waitress", state, stacks.decide_by_panel(stack))
        paths = {
            "none": Path(stack.target("caddy", stacks.OPEN_HOST), {"caddy": caddy}),
            "stock": Path(stack.target("caddy", stacks.CLOSED_HOST), {"caddy": caddy, "gate": stack.pids["gate"]}),
            "waitress": Path(
                stack.target("caddy-waitress", stacks.CLOSED_HOST), {"caddy": other, "argos": stack.pids["argos"]}
            ),
        }
        check(paths["none"].target, {name: paths[name].target for name in ("stock", "waitress")})
        if not run.noisy:
            wait_until_quiet(60)
        samples = measure(
            paths,
            ours=list(stack.pids.values()),
            cycles=run.cycles,
            seconds=run.seconds,
            core=run.cores.driving,
            noisy=run.noisy,
            say=run.say,
        )
        check(paths["none"].target, {name: paths[name].target for name in ("stock", "waitress")})
    figures = {
        "gate.stock_over_none": samples.ratio("stock", "none"),
        "gate.waitress_over_none": samples.ratio("waitress", "none"),
        "gate.stock_over_waitress": samples.ratio("stock", "waitress"),
        "gate.cycles": float(len(samples.cycles)),
        "gate.cycles_dropped": float(samples.dropped),
    }
    for name in paths:
        figures[f"gate.{name}_per_s"] = samples.rate(name)
        figures[f"gate.{name}_cpu_us"] = samples.cpu_us(name)
    low, high = samples.spread("stock", "none")
    return figures | {"gate.stock_over_none_least": low, "gate.stock_over_none_most": high}


def check(unguarded: Target, guarded: dict[str, Target]) -> None:
    """Before and after: no rate counts of a path that does not guard."""
    check_open("none", unguarded)
    for name, target in guarded.items():
        check_protected(name, target)

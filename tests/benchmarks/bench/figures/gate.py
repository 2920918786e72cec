"""What a forward_auth decision costs: by the gate, by the panel's waitress and by oauth2-proxy."""

from __future__ import annotations

from typing import Any

from bench import oauth2_proxy
from bench import stack as stacks
from bench.figures import Figures, Run, figure
from bench.load import Target
from bench.machine import rss_mb, wait_until_quiet
from bench.preflight import check_open, check_protected
from bench.processes import Processes
from bench.slices import Path, Samples, measure

GUARDED = {"stock": "gate", "waitress": "argos", "oauth2_proxy": "oauth2-proxy"}
"""The paths with sign-on, and the process that decides on each."""


@figure
def gate(run: Run) -> Figures:
    """``gate.…_over_…``: the rate with sign-on divided by another's, within one cycle, through one Caddy."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        paths = _paths(stack)
        targets = {name: path.target for name, path in paths.items()}
        check(targets)
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
        check(targets)
        resident = {name: rss_mb(stack.pids[decider]) for name, decider in GUARDED.items()}
    return _figures(samples) | {f"gate.{name}_rss_mb": value for name, value in resident.items()}


def _paths(stack: stacks.Stack) -> dict[str, Path]:
    state = stacks.prepare(stack)
    stacks.start_panel(stack)
    stacks.start_gate(stack)
    _unused, peer_cookie = oauth2_proxy.start(stack)
    peer_port = stack.ports["oauth2-proxy"]

    def others(config: dict[str, Any]) -> None:
        panel = stack.directory / "panel.sock"
        stacks.decide_elsewhere(config, stacks.WAITRESS_HOST, lambda gate: stacks.decided_by_panel(gate, panel))
        stacks.decide_elsewhere(config, stacks.PEER_HOST, lambda gate: oauth2_proxy.decided_route(gate, peer_port))

    caddy = stacks.start_caddy(stack, "caddy", state, others)
    targets = {
        "none": stack.target(stacks.OPEN_HOST),
        "stock": stack.target(stacks.CLOSED_HOST),
        "waitress": stack.target(stacks.WAITRESS_HOST),
        "oauth2_proxy": stack.target(stacks.PEER_HOST, cookie=peer_cookie),
    }
    return {
        name: Path(target, {"caddy": caddy} | {d: stack.pids[d] for d in [GUARDED.get(name)] if d})
        for name, target in targets.items()
    }


def _figures(samples: Samples) -> Figures:
    figures = {
        "gate.stock_over_none": samples.ratio("stock", "none"),
        "gate.waitress_over_none": samples.ratio("waitress", "none"),
        "gate.oauth2_proxy_over_none": samples.ratio("oauth2_proxy", "none"),
        "gate.stock_over_waitress": samples.ratio("stock", "waitress"),
        "gate.stock_over_oauth2_proxy": samples.ratio("stock", "oauth2_proxy"),
        "gate.cycles": float(len(samples.cycles)),
        "gate.cycles_dropped": float(samples.dropped),
    }
    for name in ("none", *GUARDED):
        figures[f"gate.{name}_per_s"] = samples.rate(name)
        figures[f"gate.{name}_cpu_us"] = samples.cpu_us(name)
        figures[f"gate.{name}_p50_ms"], figures[f"gate.{name}_p99_ms"] = samples.latency_ms(name)
    low, high = samples.spread("stock", "none")
    return figures | {"gate.stock_over_none_least": low, "gate.stock_over_none_most": high}


def check(targets: dict[str, Target]) -> None:
    """Before and after: no rate counts of a path that does not guard.

    Raises:
        PreflightFailed: one does not.
    """
    for name, target in targets.items():
        if name == "none":
            check_open(name, target)
        elif name == "oauth2_proxy":
            check_protected(name, target, oauth2_proxy.COOKIE)
        else:
            check_protected(name, target)

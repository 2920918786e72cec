"""What a forward_auth decision costs: by the gate, by the panel's waitress and by oauth2-proxy."""

from __future__ import annotations

from typing import Any

from bench import lean_routes, oauth2_proxy
from bench import stack as stacks
from bench.figures import Figures, Run, figure
from bench.load import Target
from bench.machine import rss_mb, wait_until_quiet
from bench.preflight import check_open, check_protected
from bench.processes import Processes
from bench.slices import Path, Samples, measure

GUARDED = {
    "stock": "gate",
    "waitress": "argos",
    "oauth2_proxy": "oauth2-proxy",
    "oauth2_proxy_lean": "oauth2-proxy-lean",
}
"""The paths with sign-on, and the process that decides on each."""


@figure
def gate(run: Run) -> Figures:
    """``gate.…_over_…``: the rate with sign-on divided by another's, within one cycle, through one Caddy.

    ``oauth2_proxy`` is the peer as its manual sets it up for Caddy: a Caddyfile's ``forward_auth`` with
    ``copy_headers``, its logs and its cookie as they are by default. ``oauth2_proxy_lean`` is the same binary with
    every advantage that it can be given: no logs, no tokens in its cookie, our leanest ``reverse_proxy`` route.
    """
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
    peer = oauth2_proxy.start(stack, "oauth2-proxy", stacks.PEER_HOST, lean=False)
    lean_peer = oauth2_proxy.start(stack, "oauth2-proxy-lean", stacks.LEAN_PEER_HOST, lean=True)
    routes = {
        stacks.WAITRESS_HOST: lean_routes.decided_by_panel(stack.directory / "panel.sock"),
        stacks.PEER_HOST: oauth2_proxy.manual_route(stack, stacks.PEER_HOST, stack.ports["oauth2-proxy"]),
        stacks.LEAN_PEER_HOST: lean_routes.decided_by_oauth2_proxy(stack.ports["oauth2-proxy-lean"]),
    }

    def others(config: dict[str, Any]) -> None:
        for host, route in routes.items():
            stacks.decide_elsewhere(config, host, route)

    caddy = stacks.start_caddy(stack, "caddy", state, others)
    targets = {
        "none": stack.target(stacks.OPEN_HOST),
        "stock": stack.target(stacks.CLOSED_HOST),
        "waitress": stack.target(stacks.WAITRESS_HOST),
        "oauth2_proxy": stack.target(stacks.PEER_HOST, cookie=peer),
        "oauth2_proxy_lean": stack.target(stacks.LEAN_PEER_HOST, cookie=lean_peer),
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
        "gate.stock_over_oauth2_proxy_lean": samples.ratio("stock", "oauth2_proxy_lean"),
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
            check_protected(name, target, oauth2_proxy.COOKIE, oauth2_proxy.IDENTITY)
        elif name == "oauth2_proxy_lean":
            check_protected(name, target, oauth2_proxy.COOKIE)
        else:
            check_protected(name, target)

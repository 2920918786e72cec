"""What a second, unchanged apply costs."""

from __future__ import annotations

import json
import statistics
from typing import Any

from bench import apart
from bench import stack as stacks
from bench.figures import Figures, Run, figure
from bench.processes import Processes

HOSTS = 200
REPEATS = 7


@figure
def apply(run: Run) -> Figures:
    """``apply.noop_200_hosts_ms``: median time of an apply over the admin socket that changes nothing.

    The first apply is real: Caddy runs in a network of its own, where it may have ports 80 and 443.
    """
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        apart.start_caddy(stack)
        stacks.start_panel(stack)
        document = json.dumps(_document()).encode()
        first_ms, answer = apart.apply(stack.directory / "admin.sock", document)
        if not answer["changed"]:
            raise AssertionError("the first apply changed nothing: the second proves nothing")
        times = []
        for _unused in range(REPEATS):
            took, again = apart.apply(stack.directory / "admin.sock", document)
            if again["changed"] or again["revision"] != answer["revision"]:
                raise AssertionError("an unchanged document was applied again")
            times.append(took)
    return {"apply.noop_200_hosts_ms": statistics.median(times), "apply.first_200_hosts_ms": first_ms}


def _document() -> dict[str, Any]:
    return {
        "owner": "bench",
        "settings": {
            "edge": {"panel_host": stacks.PANEL_HOST, "parent_domain": "bench.example", "tls": {"mode": "internal"}},
            "crowdsec": {"enabled": False},
        },
        "hosts": [
            {
                "name": f"host-{number}.bench.example",
                "upstreams": [{"url": f"http://10.0.0.{number % 250 + 1}:8000"}],
                "auth": {"required": number % 2 == 0},
                "waf": {"mode": "block" if number % 4 == 0 else "off"},
                "rate_limit": {"requests": 100, "window": 60},
            }
            for number in range(HOSTS)
        ],
    }

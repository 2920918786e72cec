"""What a second, unchanged apply costs."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import statistics
import time
from typing import Any

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
        _start_caddy_apart(stack)
        stacks.start_panel(stack)
        document = json.dumps(_document()).encode()
        first_ms, answer = _apply(stack, document)
        if not answer["changed"]:
            raise AssertionError("the first apply changed nothing: the second proves nothing")
        times = []
        for _unused in range(REPEATS):
            took, again = _apply(stack, document)
            if again["changed"] or again["revision"] != answer["revision"]:
                raise AssertionError("an unchanged document was applied again")
            times.append(took)
    return {"apply.noop_200_hosts_ms": statistics.median(times), "apply.first_200_hosts_ms": first_ms}


def _start_caddy_apart(stack: stacks.Stack) -> None:
    admin = stack.directory / "caddy-admin.sock"
    config = stack.directory / "bootstrap.json"
    config.write_text(json.dumps({"admin": {"listen": f"unix/{admin}|0660", "config": {"persist": False}}}))
    unshare = shutil.which("unshare") or "unshare"
    stack.pids["caddy"] = stack.processes.start(
        "caddy",
        [unshare, "--net", str(stack.caddy_binary), "run", "--config", str(config)],
        core=stack.cores.measured,
        environ=stacks.caddy_environ(stack.directory),
        ready=lambda: stacks.listens(admin),
    )


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


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("argos", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self._path)


def _apply(stack: stacks.Stack, document: bytes) -> tuple[float, dict[str, Any]]:
    connection = _UnixConnection(str(stack.directory / "admin.sock"))
    begun = time.perf_counter()
    headers = {"Content-Type": "application/json", "Argos-Actor": "bench"}
    connection.request("POST", "/v1/config/apply", document, headers)
    response = connection.getresponse()
    body = response.read()
    took = (time.perf_counter() - begun) * 1000
    connection.close()
    if response.status != 200:
        raise AssertionError(f"apply answered {response.status}: {body[:500].decode(errors='replace')}")
    return took, json.loads(body)

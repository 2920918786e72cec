"""One host of a thousand is flooded while another is visited (ING-8)."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench import apart, thousand
from bench import stack as stacks
from bench.disturbance import Disturbed
from bench.load import CONNECTIONS


@dataclass(frozen=True)
class Flood:
    """What is sent to which host, how it is answered, and which counter of Caddy's admin socket counts it."""

    name: str
    host: str
    status: int
    counter: tuple[str, str]


LIMITED = Flood("flood", thousand.name(0), 429, ("rate_limit", "refused"))
"""Over the host's limit: refused before anything else looks at it."""

INSPECTED = Flood("waf_flood", thousand.name(4), 401, ("waf", "requests"))
"""Under its limit: inspected whole by the WAF, at paranoia 1 in block, and then refused by the gate."""


@contextlib.contextmanager
def flooding(stack: stacks.Stack, caddy: str, flood: Flood) -> Iterator[Disturbed]:
    """Flood the host on as many connections again as the visitor has.

    Raises:
        AssertionError: it answers otherwise than the flood is meant, or the flood ended by itself.
    """
    argv = [shutil.which("wrk") or "wrk", "-t1", f"-c{CONNECTIONS}", "-d60s", "-H", f"Host: {flood.host}"]
    # The visitor's wrk shares its core with the flood's, which must not be what slows it.
    argv = ["taskset", "-c", str(stack.cores.driving), "nice", "-n", "19", *argv, "http://127.0.0.1:80/"]
    before = _count(stack, caddy, *flood.counter)
    process = subprocess.Popen([*apart.inside(stack, caddy), *argv], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while _count(stack, caddy, *flood.counter) == before:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError("the flood did not begin")
            time.sleep(0.05)
        with apart.visiting(stack, caddy):
            _check_answer(stack.ports[caddy], flood)
        yield Disturbed(process.pid, lambda: _count(stack, caddy, *flood.counter), time.monotonic())
        if process.poll() is not None:
            raise AssertionError("the flood ended by itself")
    finally:
        process.terminate()
        process.wait(10)


def _check_answer(port: int, flood: Flood) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={"Host": flood.host})
    status = connection.getresponse().status
    connection.close()
    if status != flood.status:
        raise AssertionError(f"the flooded host answers {status}, not {flood.status}: the flood is another than meant")


def _count(stack: stacks.Stack, caddy: str, source: str, counter: str) -> int:
    connection = apart.AdminConnection(str(apart.admin_socket(stack, caddy)))
    connection.request("GET", f"/argos/{source}", headers={"Host": "localhost"})
    answer = connection.getresponse().read()
    connection.close()
    return int(json.loads(answer)[counter])

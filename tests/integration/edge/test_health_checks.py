"""The fields of an active health check: how often it asks, how long it waits, and how often it wants to be sure.

No time is measured: of hosts that differ in one field, one is out while the other still is or again is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from edge_rig import EchoUpstream, Edge
from waiting import until

UNWELL, WELL = 500, 200


def host(name: str, upstream: EchoUpstream, **check: Any) -> dict[str, Any]:
    """A host with one upstream, that is 503 while the upstream is left out."""
    return {
        "name": f"{name}.home.example",
        "tls": {"mode": "off"},
        "upstreams": [{"url": upstream.url}],
        "proxy": {"health_check": {"path": "/health", "interval": 5, "fails": 1, "passes": 1, **check}},
    }


def serves(edge: Edge, name: str) -> bool:
    """Whether the host's upstream is not left out."""
    status = edge.ask(f"{name}.home.example", plain=True).status
    assert status in (200, 503)
    return status == 200


def checks(upstream: EchoUpstream) -> int:
    """How often it was asked for its health."""
    return upstream.paths.count("/health")


@contextmanager
def upstreams(*names: str) -> Iterator[dict[str, EchoUpstream]]:
    """Some, all unwell."""
    with ExitStack() as running:
        made = {name: running.enter_context(EchoUpstream()) for name in names}
        for upstream in made.values():
            upstream.statuses["/health"] = UNWELL
        yield made


def test_a_check_waits_as_long_as_its_timeout(edge: Edge, echo: EchoUpstream) -> None:
    slow = {"path": "/held", "interval": 300}
    echo.held.clear()
    try:
        edge.apply([host("brisk", echo, timeout=1, **slow), host("patient", echo, timeout=30, **slow)])
        until(lambda: not serves(edge, "brisk"))
        assert serves(edge, "patient")
    finally:
        echo.held.set()


def test_checks_come_by_the_interval_and_neither_one_failure_nor_one_pass_is_two(edge: Edge) -> None:
    mending, all_of_them = ("once", "twice", "seldom"), ("once", "twice", "seldom", "doubted")
    with upstreams(*all_of_them) as made:
        edge.apply(
            [
                host("once", made["once"]),
                host("twice", made["twice"], passes=2),
                host("seldom", made["seldom"], interval=300),
                host("doubted", made["doubted"], fails=2),
            ]
        )
        until(lambda: not any(serves(edge, name) for name in mending))

        def still_serves() -> bool:
            """One answer that came with certainty between the first check and the second."""
            before = checks(made["doubted"])
            served = serves(edge, "doubted")
            return served and before == checks(made["doubted"]) == 1

        until(still_serves)
        failed = checks(made["twice"])
        for name in mending:
            made[name].statuses["/health"] = WELL
        until(lambda: serves(edge, "once"))
        until(lambda: not serves(edge, "doubted"))
        assert checks(made["doubted"]) >= 2
        until(lambda: serves(edge, "twice"))
        assert checks(made["twice"]) >= failed + 2
        assert not serves(edge, "seldom")
        assert checks(made["seldom"]) == 1

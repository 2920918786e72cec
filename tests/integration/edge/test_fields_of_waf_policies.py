"""Fields of a named WAF policy: declared, and a real Caddy behaves so."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from argos import unix_http
from edge_rig import EchoUpstream, Edge
from waiting import until

FORM = "Content-Type: application/x-www-form-urlencoded\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n"
WORDS = b"It is <a> long; 'text' -- of 1=1 words (and more) "


def declare(edge: Edge, echo: EchoUpstream, *policies: dict[str, Any]) -> None:
    """Policies, and two hosts for each."""
    hosts = [
        {
            "name": f"{number}.{policy['name']}.home.example",
            "upstreams": [{"url": echo.url}],
            "tls": {"mode": "off"},
            "waf": {"policy": policy["name"]},
        }
        for policy in policies
        for number in (1, 2)
    ]
    edge.apply(hosts, waf_policies=list(policies))


def status(edge: Edge, policy: str, path: str = "/", body: bytes = b"", *, host: int = 1) -> int:
    """What a request to one of the policy's hosts is answered."""
    method = "POST" if body else "GET"
    return edge.ask(f"{host}.{policy}.home.example", path, FORM, method=method, body=body, plain=True).status


def test_an_answer_is_inspected_where_the_policy_says_so_and_refused_from_its_threshold_on(
    edge: Edge, echo: EchoUpstream
) -> None:
    declare(
        edge,
        echo,
        {"name": "strict", "response": True},
        {"name": "lenient", "response": True, "outbound_threshold": 1000},
        {"name": "blind", "response": False},
    )
    assert {name: status(edge, name, "/leak") for name in ("strict", "lenient", "blind")} == {
        "strict": 403,
        "lenient": 200,
        "blind": 200,
    }


def test_no_more_bodies_are_inspected_at_once_than_the_policy_says(edge: Edge, echo: EchoUpstream) -> None:
    """Who finds no place is refused after two seconds (``slotWait`` in argos-caddy/waf/slots.go)."""
    common = {"mode": "detect", "paranoia": 4, "body_limit": 1024 * 1024}
    declare(edge, echo, {"name": "one", "inspections": 1, **common}, {"name": "two", "inspections": 2, **common})
    with ThreadPoolExecutor(1) as beside:

        def beside_a_long_one(policy: str, words: int) -> tuple[int, bool]:
            """What a short body is answered meanwhile, and whether the long one was under inspection still."""
            before = inspected(edge)
            long = beside.submit(status, edge, policy, body=b"a=" + WORDS * words)
            until(lambda: inspected(edge) > before)
            answered = status(edge, policy, body=b"a=1", host=2)  # a host has a limit of its own
            under_way = not long.done()
            assert long.result(120) == 200
            return answered, under_way

        # The length doubles until this machine takes long enough over it.
        lengths = iter(2**power for power in range(10, 14))
        until(lambda: beside_a_long_one("one", next(lengths)) == (503, True))
        lengths = iter(2**power for power in range(8, 14))
        until(lambda: beside_a_long_one("two", next(lengths)) == (200, True))


def inspected(edge: Edge) -> int:
    """How many bodies the engine has begun to inspect."""
    answer = unix_http.exchange(Path(edge.context.admin_socket), "GET", "/argos/waf", None, {}, timeout=30)
    return int(json.loads(answer[1])["bodies"])

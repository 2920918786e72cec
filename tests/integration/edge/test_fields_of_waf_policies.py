"""Fields of a named WAF policy: declared, and a real Caddy behaves so."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from argos import unix_http
from edge_rig import EchoUpstream, Edge
from waiting import until

FORM = "Content-Type: application/x-www-form-urlencoded\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n"
SQLI = "1' UNION SELECT username, password FROM users-- -"
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
        lengths = (2**power for power in range(9, 15))
        long_enough = next(words for words in lengths if beside_a_long_one("one", words)[0] == 503)
        assert beside_a_long_one("two", long_enough) == (200, True)


def inspected(edge: Edge) -> int:
    """How many bodies the engine has begun to inspect."""
    answer = unix_http.exchange(Path(edge.context.admin_socket), "GET", "/argos/waf", None, {}, timeout=30)
    return int(json.loads(answer[1])["bodies"])


def test_each_policy_refuses_what_it_says_and_no_more(edge: Edge, echo: EchoUpstream) -> None:
    attack, odd, own = f"/?q={quote(SQLI)}", f"/?q={quote('a^b|c~d')}", "/?magic=boom"
    boom = 'SecRule ARGS:magic "@streq boom" "id:100001,phase:2,deny,status:403,msg:\'boom\'"'
    asked = {
        "plain": ({}, [403, 200, 200]),
        "watching": ({"mode": "detect"}, [200, 200, 200]),
        "away": ({"mode": "off", "custom_rules": [boom]}, [200, 200, 200]),
        "level-4": ({"paranoia": 4}, [403, 403, 200]),
        "patient": ({"inbound_threshold": 1000}, [200, 200, 200]),
        "boom": ({"custom_rules": [boom]}, [403, 200, 403]),
        "by-id": ({"custom_rules": [boom], "exclusions": [{"id": 100001}]}, [403, 200, 200]),
        "by-range": ({"custom_rules": [boom], "exclusions": [{"range": "100001-100009"}]}, [403, 200, 200]),
        "other-range": ({"custom_rules": [boom], "exclusions": [{"range": "942100-942999"}]}, [200, 200, 403]),
        "by-tag": ({"custom_rules": [boom], "exclusions": [{"tag": "attack-sqli"}]}, [200, 200, 403]),
    }
    declare(edge, echo, *({"name": name, **fields} for name, (fields, _unused) in asked.items()))
    found = {name: [status(edge, name, path) for path in (attack, odd, own)] for name in asked}
    assert found == {name: expected for name, (_unused, expected) in asked.items()}


def test_a_policy_and_a_host_that_are_declared_absent_are_gone(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, {"name": "goes"}, {"name": "stays"})
    assert status(edge, "goes") == status(edge, "stays") == 200
    hosts = [{"name": f"{number}.goes.home.example", "state": "absent"} for number in (1, 2)]
    edge.apply(hosts, waf_policies=[{"name": "goes", "state": "absent"}])
    assert (status(edge, "goes"), status(edge, "stays")) == (421, 200)
    assert set(edge.admin.config()["apps"]["waf"]["policies"]) == {"stays"}
